"""The rule about how much of an image, or of a series, those see who decide."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.layers.adaptive import AdaptiveAvgPool
from nnspec.layers.math import NOWHERE, Math
from nnspec.layers.pooling import AvgPool, Pooling
from nnspec.layers.reduction import ReduceMax, ReduceMean
from nnspec.lint.fields import Fields, fields
from nnspec.lint.rule import Rule
from nnspec.lint.view import View
from nnspec.network.graph import Leaf
from nnspec.spec.expressions import Call, ListLiteral, Number
from nnspec.spec.tensor_formulas import name_of, read

GLOBAL = ("global_avg_pool1d", "global_avg_pool2d", "global_avg_pool3d", "global_max_pool2d", "global_max_pool3d")  # a few words may decide
SMALLEST = 16  # sides below it are small enough for whatever looks at them
SERIES = 128  # of a series shorter than that, any part may be a whole


def over_all(leaf: Leaf) -> bool:
    """Whether a layer makes one number a channel of an image, or the mean of a series: by its kind, or by axes or a window that take all of it."""
    entry = leaf.entry
    if entry.kind in GLOBAL:
        return True
    if not leaf.inputs or leaf.inputs[0].type is None or len(leaf.inputs[0].shape) not in (2, 3, 4):
        return False
    sides = leaf.inputs[0].shape[:-1]
    if len(sides) == 1 and not isinstance(entry, AvgPool | ReduceMean | AdaptiveAvgPool | Math):
        return False
    if isinstance(entry, AdaptiveAvgPool):
        return all(n == 1 for n in entry.size)
    if isinstance(entry, Math):
        return _axes(entry) == set(range(len(sides)))
    if isinstance(entry, ReduceMean | ReduceMax) and entry.axes is not None:
        return {a % (len(sides) + 1) for a in entry.axes} == set(range(len(sides)))
    return isinstance(entry, Pooling) and tuple(entry.size) == tuple(sides)


def _axes(entry: Math) -> set[int]:
    """The axes of which a formula is a mean or the largest, and nothing else."""
    tree = read(entry.formula, NOWHERE)
    if not isinstance(tree, Call) or tree.function not in ("mean", "max") or not name_of(tree.arguments[0]):
        return set()
    axes = dict(tree.keywords).get("axis")
    items = axes.items if isinstance(axes, ListLiteral) else (axes,)
    return {int(n.value) for n in items if isinstance(n, Number)}


class ReceptiveField(Rule, number=31, name="receptive-field"):
    """What decides about a place, or about an image, sees only a small part of it."""

    why = """
        Without pools, strides or dilation a convolution of 3 x 3 widens what is seen by two pixels: three of them see 7 x 7. An object of
        half the image is then judged by its texture alone, and a mean over all places only counts such opinions. Source: Luo, Li,
        Urtasun, Zemel, "Understanding the effective receptive field", 2016; Araujo, Norris, Sim, "Computing receptive fields", Distill 2019.
        """
    hint = "more convolutions, a stride or a pool between them, or dilation"
    bad = """
        nnspec: 1
        inputs: {image: {shape: [64, 64, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - global_avg_pool2d                        # <-
          - dense: 10
        loss: cross_entropy
        """
    good = """
        nnspec: 1
        inputs: {image: {shape: [64, 64, 3]}}
        layers:
          - conv2d: {filters: 32, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - max_pool2d: 2
          - conv2d: {filters: 64, kernel: 3, padding: same, activation: relu}
          - global_avg_pool2d
          - dense: 10
        loss: cross_entropy
        """

    def find(self, view: View) -> Iterator[Problem]:
        losses = [target for target in view.losses if target.term.of.classes or target.term.of.two]
        if not losses:
            return
        seen = fields(view)
        below = view.network.ancestors(target.port.node for target in losses)
        for leaf in view.leaves:
            if over_all(leaf) and leaf.path in below and leaf.inputs and self._answers(view, leaf):
                yield from self._small(leaf, seen.get(leaf.inputs[0].node), 1 / 4, "the mean over all places is of what each sees")
        for target in losses:
            end = view.by_path.get(target.port.node)
            if end is not None and len(target.port.shape) == 3 and target.port.shape[-3] != 1:
                yield from self._small(end, seen.get(end.path), 1 / 8, "each place is judged by what it sees")

    def _answers(self, view: View, leaf: Leaf) -> bool:
        """Whether what is pooled goes on by nothing but means and maxima, and they are no gate beside the places themselves."""
        source = view.source(leaf)
        readers = view.readers(source, ("identity", "dropout")) if source is not None else None
        return readers is not None and all(over_all(reader) for reader in readers)

    def _small(self, leaf: Leaf, seen: Fields, least: float, what: str) -> Iterator[Problem]:
        if not seen:
            return
        least, smallest = (least, SMALLEST) if len(seen) > 1 else (1 / 16, SERIES)
        for size, side, _ in seen:
            if side >= smallest and size < least * side:
                shown = " x ".join(f"{n:g}" for n, _, _ in seen)
                whole = " x ".join(f"{n}" for _, n, _ in seen)
                yield self.at(leaf.place, f"'{leaf.path}': {what}, and that is {shown} of {whole}", found=f"a receptive field of {shown}",
                              wanted=f"at least {least * side:.0f} of {side}")  # fmt: skip
                return
