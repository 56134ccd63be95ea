"""Rules about layers that cannot learn."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Place, Problem
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dense import Dense
from nnspec.layers.initializers import Constant, Initializer, Ones, Zeros
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, activated_at, activation, at, bare
from nnspec.network.graph import Leaf

STOPS = ("stop_gradient", "one_hot", "non_max_suppression")
FLAT_AT_ZERO = ("relu", "relu6", "squared_relu")
THROUGH = (*NOTHING, "dropout", "spatial_dropout")


class DeadLayers(Rule, number=14, name="dead-layers"):
    """No gradient reaches a layer that should learn."""

    why = """
        Weights move by the gradient of the loss. Before a `step`, a `stop_gradient`, a `one_hot` or a cast to whole numbers there is none, and
        none in a layer whose output no loss reads: such weights stay what they were drawn as. Where that is meant, `trainable: false` says so.
        """
    hint = "let a loss read what it makes, by layers that have gradients; or freeze it: trainable: false"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu}
          - stop_gradient                            # <-
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, trainable: false}
          - stop_gradient
          - dense: 3
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        if not any(target.term.weight != 0 for target in view.losses):
            return
        fed = self._fed(view)
        dead = {leaf.path: leaf for leaf in view.leaves if leaf.weights not in fed and self._learns(leaf)}
        causes: dict[tuple[str, int, int], tuple[Place, str, list[str]]] = {}
        for leaf in reversed(dead.values()):  # what is read before what reads it
            for place, why in self._causes(view, leaf, dead):
                causes.setdefault((place.file, place.line, place.column), (place, why, []))[2].append(leaf.path)
        for place, why, paths in causes.values():
            names = ", ".join(f"'{path}'" for path in paths[::-1][:3]) + (", …" if len(paths) > 3 else "")
            yield self.at(place, f"{why}: {names} cannot learn", found=f"no gradient for {'them' if len(paths) > 1 else 'it'}",
                          wanted="a way for gradients, or trainable: false")  # fmt: skip

    def _learns(self, leaf: Leaf) -> bool:
        return not leaf.frozen and leaf.only != "inference" and leaf.path == leaf.weights and any(p.trainable for p in leaf.params)

    def _fed(self, view: View) -> set[str]:
        """The paths of the weights that a gradient reaches."""
        reached: set[str] = set()
        weights: set[str] = set()
        stack: list[tuple[str, str]] = []
        for target in view.losses:
            if target.term.weight != 0:
                leaf = view.last(target.port)
                stack.append((target.port.node, target.port.output))
                if target.term.kind == "perceptron" and leaf is not None:  # it reads what went into the step
                    weights.add(leaf.weights)
                    reached.add(leaf.path)
                    stack += [(p.node, p.output) for p in leaf.inputs]
        while stack:
            path, output = stack.pop()
            leaf = view.by_path.get(path)
            if leaf is None:
                continue
            if output and any(p.name == output for p in leaf.params):
                weights.add(leaf.weights)  # a parameter itself
                continue
            if path in reached or self._blocks(view, leaf):
                continue
            reached.add(path)
            weights.add(leaf.weights)
            stack += [(p.node, p.output) for p in leaf.inputs if p.type is not None and p.type.dtype.is_float]
        return weights

    def _blocks(self, view: View, leaf: Leaf) -> bool:
        """Whether no gradient comes through a layer."""
        made = activation(leaf)
        whole = not str(view.network.nodes[leaf.path]["dtype"]).startswith(("float", "bfloat"))
        return leaf.entry.kind in STOPS or (made is not None and made.kind == "step") or (whole and leaf.entry.kind != "top_k")

    def _causes(self, view: View, leaf: Leaf, dead: dict[str, Leaf]) -> Iterator[tuple[Place, str]]:
        """Where the gradient of a dead layer ends: at what stops it, or at the last layer that no loss reads."""
        seen: set[str] = set()
        stack, blocked, later = [leaf], False, False
        while stack:
            here = stack.pop()
            if here.path in seen:
                continue
            seen.add(here.path)
            if self._blocks(view, here):
                made = activation(here)
                what = "step" if made is not None and made.kind == "step" else here.entry.kind
                blocked = True
                yield (activated_at(here) if what == "step" else here.place), f"no gradient comes through {what}"
                continue
            later = later or (here is not leaf and here.path in dead)
            stack += [use.reader for use in view.uses.get(here.path, ())]
        if not blocked and not later:
            yield leaf.place, "no loss reads what it makes"


class EqualWeights(Rule, number=15, name="equal-weights"):
    """Hidden units that start alike stay alike, or never start."""

    why = """
        With a kernel of zeros every unit of a hidden layer gives 0, and behind relu, whose gradient at 0 is 0, none ever moves. With two
        layers of one number each all units get the same gradient and stay copies of one. Initial values are drawn to break that symmetry.
        Source: Goodfellow, Bengio, Courville, "Deep learning", 2016, 8.4. (The last layer of a network or of a residual branch may begin at 0.)
        """
    hint = "leave init of the kernel out, or write he_normal or glorot_uniform"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, init: {kernel: zeros}}   # <-
          - dense: 3
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 16, activation: relu, init: {kernel: he_normal}}
          - dense: {units: 3, init: {kernel: zeros}}
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        for leaf in view.leaves:
            value = _constant(leaf.init.get("kernel"))
            if value is None or leaf.frozen or leaf.path != leaf.weights or not isinstance(leaf.entry, Dense | Kernelled):
                continue
            readers = view.readers(leaf, THROUGH) or []
            acts = [a for a in (activation(leaf), *(activation(r) for r in readers if bare(r))) if a is not None]
            stuck = value == 0 and _constant(leaf.init.get("bias"), 0.0) == 0 and bool(acts) and all(a.kind in FLAT_AT_ZERO for a in acts)
            behind = [x for r in readers for x in ((view.readers(r, THROUGH) or []) if bare(r) else [r])]
            copies = view.shape(leaf.path)[-1:] != (1,) and bool(behind) and all(
                isinstance(r.entry, Dense | Kernelled) and _constant(r.init.get("kernel")) is not None for r in behind)  # fmt: skip
            if stuck:
                yield self.at(at(leaf, "init"), f"'{leaf.path}' gives 0 and never moves: {acts[0].kind} has no gradient at 0", found="kernel: 0",
                              wanted="a kernel that is drawn")  # fmt: skip
            elif copies:
                yield self.at(at(leaf, "init"), f"all units of '{leaf.path}' start alike, and so do those behind them: they stay copies of one",
                              found=f"kernel: {value:g}", wanted="a kernel that is drawn")  # fmt: skip


def _constant(init: Initializer | None, otherwise: float | None = None) -> float | None:
    """The one number that an initialiser gives, if it gives one."""
    match init:
        case None:
            return otherwise
        case Zeros():
            return 0.0
        case Ones():
            return 1.0
        case Constant():
            return float(init.value)
    return None
