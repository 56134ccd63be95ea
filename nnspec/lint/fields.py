"""How much of the input each layer of a network sees: its receptive field, an axis at a time."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import TypeAlias

from nnspec.layers.activations import Activate, Activation
from nnspec.layers.convolution import Kernelled
from nnspec.layers.dropout import Dropped
from nnspec.layers.math import ALONG, NOWHERE, Math
from nnspec.layers.normalization import BatchNorm, LayerNorm
from nnspec.layers.pooling import Pooling
from nnspec.layers.transposed import Transposed
from nnspec.lint.view import View
from nnspec.network.graph import Leaf, Port
from nnspec.spec.expressions import Call, Expression, children
from nnspec.spec.tensor_formulas import read

Axis: TypeAlias = tuple[float, int, float]  # pixels that are seen, of how many there are, and how far apart two neighbours look
Fields: TypeAlias = tuple[Axis, ...] | None  # None where all is seen, or it is not known

PLAIN = ("add", "subtract", "multiply", "maximum", "minimum", "average", "concat", "dense", "only", "cast", "stop_gradient", "gaussian_noise",
         "group_norm", "instance_norm", "rms_norm", "local_response_norm")
SCALED = ("upsample1d", "upsample2d", "upsample3d", "resize1d", "resize2d", "resize3d", "pixel_shuffle")


def fields(view: View) -> dict[str, Fields]:
    """For each layer over places what of the input it sees; layers that see all, and those behind them, are None."""
    seen: dict[str, Fields] = {}
    for name, type in view.network.inputs.items():
        sides = type.shape[1:-1]
        seen[name] = tuple((1.0, n, 1.0) for n in sides if isinstance(n, int)) if sides and all(isinstance(n, int) for n in sides) else None
    for leaf in view.leaves:
        seen[leaf.path] = _behind(view, leaf, seen)
    return seen


def _in_place(leaf: Leaf) -> bool:
    """Whether a norm, or a formula, works at each place alone."""
    if isinstance(leaf.entry, LayerNorm):
        return leaf.entry.axes == (-1,)
    return isinstance(leaf.entry, Math) and not any(isinstance(e, Call) and e.function in ALONG for e in parts(read(leaf.entry.formula, NOWHERE)))


def parts(tree: Expression) -> Iterator[Expression]:
    """A formula and all that it is made of."""
    yield tree
    for child in children(tree):
        yield from parts(child)


def _gate(port: Port) -> bool:
    """Whether what comes in has one number a channel, however much that has seen: it weighs channels, and says nothing of places."""
    return port.type is not None and all(n == 1 for n in port.shape[:-1])


def _behind(view: View, leaf: Leaf, seen: dict[str, Fields]) -> Fields:
    """What a layer sees, by what its inputs see."""
    entry = leaf.entry
    given = [seen.get(p.node) for p in leaf.inputs if p.batched and not (entry.kind == "multiply" and _gate(p))]
    if not given or any(g is None for g in given):
        return None
    known = [g for g in given if g is not None]
    first = known[0]
    if any(len(g) != len(first) for g in known):
        return None
    if isinstance(entry, Transposed):
        return tuple((r + (ceil(((k - 1) * d + 1) / s) - 1) * j, n, j / s)
                     for (r, n, j), k, s, d in zip(first, entry.kernel, entry.stride, entry.dilation, strict=False))  # fmt: skip
    if isinstance(entry, Kernelled):
        return tuple((r + (k - 1) * d * j, n, j * s) for (r, n, j), k, s, d in zip(first, entry.kernel, entry.stride, entry.dilation, strict=False))
    if isinstance(entry, Pooling):
        return tuple((r + (k - 1) * j, n, j * s) for (r, n, j), k, s in zip(first, entry.size, entry.stride or entry.size, strict=False))
    if entry.kind in SCALED and leaf.inputs[0].type is not None:
        before, after = leaf.inputs[0].shape[:-1], view.shape(leaf.path)[:-1]
        if all(isinstance(a, int) and isinstance(b, int) for a, b in zip(before, after, strict=True)):
            return tuple((r + j, n, j * float(a) / float(str(b))) for (r, n, j), a, b in zip(first, before, after, strict=True))  # type: ignore[arg-type]  # numbers
        return None
    if isinstance(entry, Activation | Activate | BatchNorm | Dropped) or entry.kind in PLAIN or _in_place(leaf):
        axis = getattr(entry, "axis", -1)
        if entry.kind == "concat" and axis not in (-1, len(first)):
            return None
        return tuple(max(column, key=lambda a: a[0]) for column in zip(*known, strict=True))
    return None
