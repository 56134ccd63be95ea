"""Rules about what a network's last layers can say."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint.bounds import ALL
from nnspec.lint.ranges import SQUASHES, reach, told
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, activated_at, activation, bare
from nnspec.network.graph import Leaf

WITH_NOISE = (*NOTHING, "dropout", "spatial_dropout", "gaussian_noise")


class ClassesAndUnits(Rule, number=1, name="classes-and-units"):
    """The last layer has a unit for each class of the target."""

    severity = "error"
    why = """
        Cross entropy compares the score of each class with the class that a row has. With fewer units than classes some rows have no
        score at all; with more, some units stand for nothing. `$data.COLUMN.classes` follows the data.
        """
    hint = "write dense: $data.COLUMN.classes, which follows the data"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 9                               # <-
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: $data.digit.classes
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        return iter(())  # found while the network is built


class SoftmaxOfOne(Rule, number=2, name="softmax-of-one"):
    """Softmax over a single unit is always 1."""

    why = """
        Softmax divides by the sum over the last axis. Where that axis has one place the answer is 1 for every row, and no gradient
        passes: the network cannot learn. Of two classes one unit is the logit of the second one: that is sigmoid.
        """
    hint = "sigmoid makes a probability of one unit; softmax wants one unit a class"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: softmax}   # <-
        loss: mse
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: binary_cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            made = activation(leaf)
            if made is not None and made.kind in ("softmax", "log_softmax") and view.shape(leaf.path)[-1:] == (1,):
                always = "1" if made.kind == "softmax" else "0"
                yield self.at(activated_at(leaf), f"{made.kind} of one unit in '{leaf.path}' is always {always}", found="an axis of length 1",
                              wanted="one unit a class, or sigmoid")  # fmt: skip


class SoftmaxTwice(Rule, number=3, name="softmax-twice"):
    """Probabilities go through softmax once more."""

    why = """
        Softmax of numbers between 0 and 1 is nearly flat: of ten classes none can get more than 0.23, and gradients shrink by as much.
        Cross entropy reads logits, or sees through one softmax; a second one is computed as it stands.
        """
    hint = "leave one of them out"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 10, activation: softmax}
          - softmax                                  # <-
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 10, activation: softmax}
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            made = activation(leaf)
            if made is None or made.kind not in ("softmax", "log_softmax", "sigmoid") or not bare(leaf):
                continue
            source = view.before(leaf, WITH_NOISE)
            first = activation(source) if source is not None else None
            if source is not None and first is not None and first.kind == "softmax":
                yield self.at(leaf.place, f"'{leaf.path}' takes {made.kind} of what is softmax already", found=f"softmax in '{source.path}'")


class SquashedLogits(Rule, number=4, name="squashed-logits"):
    """The logits of a cross entropy cannot take every value."""

    why = """
        A logit runs from minus to plus infinity: that is how a network says no or yes for certain. Behind relu no class can be put below
        0, and where all are 0 no gradient passes; behind sigmoid or tanh the largest probability that ten classes can reach is
        0.23 or 0.45. Cross entropy takes softmax or sigmoid itself.
        """
    hint = "leave the activation of the last layer out: the loss reads logits"
    bad = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: {units: 10, activation: relu}     # <-
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        data: digits
        layers:
          - flatten
          - dense: {units: 64, activation: relu}
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            loss = target.term.of
            if not loss.classes and loss.kind != "binary_cross_entropy":
                continue
            leaf = view.last(target.port, WITH_NOISE)
            made = activation(leaf) if leaf is not None else None
            linked = ("softmax", "log_softmax") if target.output is not None and not loss.binary(target.output) else ("sigmoid", "log_sigmoid")
            if leaf is not None and made is not None and made.kind in linked:
                leaf = view.before(leaf, WITH_NOISE) if bare(leaf) else None
                made = activation(leaf) if leaf is not None else None
            if leaf is not None and made is not None and made.kind in SQUASHES and made.kind not in linked and made.kind != "softmax":
                yield self.at(activated_at(leaf), f"the logits of {loss.kind} come from {made.kind}, in '{leaf.path}'",
                              found=f"numbers {told(reach(made))}", wanted="logits of any size")  # fmt: skip


class UnreadLayer(Rule, number=5, name="unread-layer"):
    """Nothing reads a layer, or an input feeds nothing."""

    severity = "error"
    why = """
        A layer from which no way leads to an output or a loss is computed for nothing and learns nothing: mostly a `from` names another
        entry than was meant, or `outputs` forgets one.
        """
    hint = "name it in a later layer's from, in outputs, or leave it out"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, name: seen}
          - dense: {units: 16, activation: relu}     # <-
          - dense: {units: 3, from: seen}
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, name: seen}
          - dense: {units: 16, activation: relu, name: again}
          - concat: {from: [seen, again]}
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        return iter(())  # found while the network is built


class UnreachableTarget(Rule, number=7, name="unreachable-target"):
    """The last activation cannot make numbers such as the target has."""

    why = """
        A sigmoid ends at 0 and 1, tanh at -1 and 1, relu at 0. Where the target lies beyond, the error there never goes away, and the
        layer is driven to where its gradient vanishes. A standardized target has mean 0 and deviation 1, so half of it is
        negative. Either the target is brought into the range (`prepare`), or the last layer has no activation.
        """
    hint = "leave the last activation out, or prepare the target: min_max brings it to 0 to 1"
    bad = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [1.5, 4.0, 7.5, 12.0]}, target: y}
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}   # <-
        loss: mse
        """
    good = """
        nnspec: 1
        data:
          inline: {columns: {x: [[0, 1], [1, 1], [2, 0], [3, 2]], y: [1.5, 4.0, 7.5, 12.0]}, target: y}
          prepare: [min_max: y]
        layers:
          - dense: {units: 16, activation: relu}
          - dense: {units: 1, activation: sigmoid}
        loss: mse
        """

    def find(self, view: View) -> Iterator[Problem]:
        for target in view.losses:
            leaf = view.by_path.get(target.port.node)
            if not target.term.of.numbers or leaf is None or target.port.output or view.bounds[leaf.path] == ALL:
                continue
            low, high = view.bounds[leaf.path]
            for name in target.columns:
                spread = view.spread(name)
                if spread is not None and (spread[0] < low - _slack(low, high) or spread[1] > high + _slack(low, high)):
                    yield self._beyond(view, leaf, f"the target '{name}'", told(spread))
                    break
            else:
                if target.number is not None and not low <= target.number <= high:
                    yield self._beyond(view, leaf, "the target", f"{target.number:g}")

    def _beyond(self, view: View, end: Leaf, target: str, wanted: str) -> Problem:
        leaf = _bounding(view, end)
        made, behind = activation(leaf), "" if leaf is end or view.bounds[leaf.path] == view.bounds[end.path] else f", behind '{end.path}'"
        what = f"{made.kind if made else leaf.entry.kind} in '{leaf.path}'"
        return self.at(activated_at(leaf), f"{what} cannot reach {target}", found=f"numbers {told(view.bounds[end.path])}{behind}",
                       wanted=f"numbers {wanted}")  # fmt: skip


def _bounding(view: View, end: Leaf) -> Leaf:
    """The layer that keeps an output within its range: the activation behind which nothing has a range of any size."""
    leaf = end
    while activation(leaf) is None:
        before = [view.by_path[p.node] for p in leaf.inputs if p.node in view.by_path and not p.output and p.batched]
        bounded = [x for x in before if view.bounds[x.path] != ALL]
        if len(bounded) != 1:
            break
        (leaf,) = bounded
    return leaf


def _slack(low: float, high: float) -> float:
    """How far beyond an end a target may lie: a hundredth of the range, as rounding leaves it."""
    return 0.01 * min(high - low, 1.0)
