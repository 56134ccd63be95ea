"""Rules about layers that cannot learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nnspec.errors import Place, Problem
from nnspec.layers.math import NOWHERE, Math
from nnspec.layers.source import Constant as ConstantLayer
from nnspec.lint.bounds import ALL
from nnspec.lint.rule import Rule
from nnspec.lint.view import NOTHING, View, activated_at, activation, bare
from nnspec.network.graph import Leaf
from nnspec.spec.expressions import Binary, Call, Compare, Conditional, Expression, Number, children
from nnspec.spec.tensor_formulas import name_of, names_of, read

STOPS = ("stop_gradient", "one_hot", "non_max_suppression")
MOST = 4  # places that are told of one layer
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
        ends = self._ends(view, dead)
        causes: dict[tuple[str, int, int], tuple[Place, str, list[str]]] = {}
        for leaf in dead.values():
            for end in ends[leaf.path]:
                place, why = self._told(view, end)
                causes.setdefault((place.file, place.line, place.column), (place, why, []))[2].append(leaf.path)
        for place, why, paths in causes.values():
            names = ", ".join(f"'{path}'" for path in paths[:3]) + (", …" if len(paths) > 3 else "")
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
        return (leaf.entry.kind in STOPS or (made is not None and made.kind == "step") or (whole and leaf.entry.kind != "top_k")
                or _sign(leaf) or _times_zero(view, leaf) or _never_rises(view, leaf) or _one_number(view, leaf))  # fmt: skip

    def _ends(self, view: View, dead: dict[str, Leaf]) -> dict[str, tuple[Leaf, ...]]:
        """For each layer where the gradients of those before it end: at what stops them, or at the last dead layer that no loss reads."""
        ends: dict[str, tuple[Leaf, ...]] = {}
        for leaf in reversed(view.leaves):
            if self._blocks(view, leaf):
                ends[leaf.path] = (leaf,)
                continue
            behind = {end.path: end for use in view.uses.get(leaf.path, ()) for end in ends[use.reader.path]}
            ends[leaf.path] = tuple(behind.values())[:MOST] or ((leaf,) if leaf.path in dead else ())
        return ends

    def _told(self, view: View, end: Leaf) -> tuple[Place, str]:
        if not self._blocks(view, end):
            return end.place, "no loss reads what it makes"
        made = activation(end)
        if _times_zero(view, end):
            return end.place, "all is multiplied by 0, and no gradient comes through that"
        if made is not None and _never_rises(view, end):
            return end.place, f"{made.kind} is given no number above 0, and has no gradient there"
        if _sign(end):
            return end.place, "no gradient comes through a sign, a comparison or whole parts"
        if _one_number(view, end):
            return end.place, f"'{end.path}' makes nothing but {view.bounds[end.path][0]:g}"
        step = made is not None and made.kind == "step"
        return (activated_at(end) if step else end.place), f"no gradient comes through {'step' if step else end.entry.kind}"


def _sign(leaf: Leaf) -> bool:
    """Whether a formula reads its input by signs and comparisons alone, which are flat everywhere."""
    tree = read(leaf.entry.formula, NOWHERE) if isinstance(leaf.entry, Math) else None
    return tree is not None and bool(names_of(tree)) and _flat(tree)


def _flat(tree: Expression) -> bool:
    if name_of(tree):
        return False
    if isinstance(tree, Compare) or (isinstance(tree, Call) and tree.function == "sign") or (isinstance(tree, Binary) and tree.operator == "//"):
        return True
    parts = tuple(children(tree))
    if isinstance(tree, Call) and tree.function == "where":
        parts = tree.arguments[1:]
    if isinstance(tree, Conditional):
        parts = (tree.value, tree.other)
    return all(_flat(part) for part in parts)


def _times_zero(view: View, leaf: Leaf) -> bool:
    """Whether a product has a factor that is 0 whatever comes."""
    entry = leaf.entry
    if isinstance(entry, Math):
        tree = read(entry.formula, NOWHERE)
        return isinstance(tree, Binary) and ((tree.operator == "*" and (_zero(tree.left) or _zero(tree.right)))
                                             or (tree.operator in ("/", "//") and _zero(tree.left)))  # fmt: skip
    if entry.kind != "multiply":
        return False
    given = [view.by_path.get(p.node) for p in leaf.inputs]
    return any(isinstance(x.entry, ConstantLayer) and not np.any(np.asarray(x.entry.value)) for x in given if x is not None)


def _zero(tree: Expression) -> bool:
    return isinstance(tree, Number) and tree.value == 0


def _never_rises(view: View, leaf: Leaf) -> bool:
    """Whether a relu reads what is never above 0: another activation's output, with its sign turned, or shifted."""
    made = activation(leaf)
    if made is None or made.kind not in FLAT_AT_ZERO or not bare(leaf) or leaf.inputs[0].output:
        return False
    return view.bounds.get(leaf.inputs[0].node, ALL)[1] <= 0


def _one_number(view: View, leaf: Leaf) -> bool:
    """Whether a layer of any input makes one number alone: what is cut off above where it begins."""
    low, high = view.bounds[leaf.path]
    return low == high and any(p.batched for p in leaf.inputs)
