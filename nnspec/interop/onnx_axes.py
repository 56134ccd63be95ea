"""Ops that go along axes as ONNX nodes: the order that is at hand stays, and axes are told by their numbers in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.interop.onnx_elements import Rule, agreed, alias
from nnspec.interop.onnx_writer import Perm, Writer, channels_first, plain
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import Dim, Shape, Symbol
from nnspec.ops import movement, reduce, resample, softmax


def ordered(w: Writer, x: Value) -> Perm:
    """An order in which a value is at hand; of several one with channels first."""
    return max(w.perms(x)) if w.perms(x) else plain(x.rank)


def last_axis(w: Writer, call: Call) -> None:
    x, perm = call.inputs[0], ordered(w, call.inputs[0])
    w.put(call.outputs[0], w.node(str(call.op.onnx), w.get(x, perm), axis=perm.index(x.rank - 1)), perm)


def reduction(w: Writer, call: Call) -> None:
    op, x, y = call.op, call.inputs[0], call.outputs[0]
    assert isinstance(op, reduce.Reduction)
    perm = ordered(w, x)
    rest = [a for a in perm if a not in op.axis]
    out = perm if op.keep else tuple(sorted(rest).index(a) for a in rest)
    axes = w.ints(sorted(perm.index(a) for a in op.axis))
    w.put(y, w.node(str(op.onnx), w.get(x, perm), axes, keepdims=int(op.keep)), out)


def arg_max(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, reduce.ArgMax)
    perm = ordered(w, x)
    rest = [a for a in perm if a != op.axis]
    w.put(call.outputs[0], w.node("ArgMax", w.get(x, perm), axis=perm.index(op.axis), keepdims=0), tuple(sorted(rest).index(a) for a in rest))


def concat(w: Writer, call: Call) -> None:
    op, y = call.op, call.outputs[0]
    assert isinstance(op, movement.Concat)
    perm = agreed(w, call.inputs, y.rank)
    w.put(y, w.node("Concat", *(w.get(v, perm) for v in call.inputs), axis=perm.index(op.axis)), perm)


def cut(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Slice)
    perm = ordered(w, x)
    axes = [i for i, d in enumerate(x.shape) if (op.start[i], op.stop[i], op.step[i]) != (0, d, 1)]
    if not axes:
        return alias(w, call)
    bounds = [_bound(w, [side[i] for i in axes]) for side in (op.start, op.stop)]
    w.put(call.outputs[0], w.node("Slice", w.get(x, perm), *bounds, w.ints(perm.index(i) for i in axes), w.ints(op.step[i] for i in axes)), perm)


def _bound(w: Writer, bounds: list[Any]) -> str:
    return w.shape(tuple(bounds)) if any(isinstance(b, Symbol) for b in bounds) else w.ints(bounds)


def pad(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Pad)
    if any(op.inner):
        raise w.refuse(call, "elements between neighbours")
    perm = ordered(w, x)
    around = w.ints([op.low[a] for a in perm] + [op.high[a] for a in perm])
    w.put(call.outputs[0], w.node("Pad", w.get(x, perm), around, w.number(op.value, x.dtype)), perm)


def transposed(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, movement.Transpose)
    for perm, name in list(w.names[call.inputs[0]].items()):  # the same tensor is the output in another order
        w.put(call.outputs[0], name, tuple(op.axes.index(a) for a in perm))


def reshaped(w: Writer, call: Call) -> None:
    """The order that is at hand, wherever axes that are joined stand side by side in it; else the one nearest to it in which they do."""
    x, y = call.inputs[0], call.outputs[0]
    if cells_to_places(w, call):
        return
    groups = runs(x.shape, y.shape)
    for perm in w.perms(x):
        if _lies(perm, x.shape, [a for old, _ in groups for a in old]):  # the elements lie as they do here
            return w.put(y, w.reshape(w.get(x, perm), tuple(x.shape[a] for a in perm), y.shape))
    have = ordered(w, x)
    groups = sorted(groups, key=lambda g: have.index(g[0][0]))
    order = tuple(a for old, _ in groups for a in old)
    perm = next((p for p in w.perms(x) if _lies(p, x.shape, list(order))), tuple(a for a in have if x.shape[a] == 1) + order)
    out = tuple(a for _, new in groups for a in new)
    w.put(y, w.reshape(w.get(x, perm), tuple(x.shape[a] for a in perm), tuple(y.shape[a] for a in out)), out)


def runs(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """The axes of a reshape's two sides that hold the same elements, as few at a time as there may be; those of length 1 before it are left out.

    ``(rows, 8, 8, 12)`` to ``(rows, 64, 3, 4)``: ``[([0], [0]), ([1, 2], [1]), ([3], [2, 3])]``.
    """
    if 0 in old:
        return [([i for i, d in enumerate(old) if d != 1], list(range(len(new))))]
    ends: dict[Dim, int] = {}  # by the product of axes so far, how many they are
    product: Dim = 1
    for i, d in enumerate(old):
        if d != 1:
            product = product * d
            ends[product] = i + 1
    found: list[tuple[list[int], list[int]]] = []
    start, begun, product = 0, 0, 1
    for j, d in enumerate(new):
        product = product * d
        if d != 1 and product in ends:
            found.append(([i for i in range(start, ends[product]) if old[i] != 1], list(range(begun, j + 1))))
            start, begun = ends[product], j + 1
    if not found:
        return [([], list(range(len(new))))]
    found[-1][1].extend(range(begun, len(new)))
    return found


def cells_to_places(w: Writer, call: Call) -> bool:
    """Whether cells of an image's channels became places, or places channels, which is one node: DepthToSpace, SpaceToDepth.

        (h, w, c r r) -> (h, w, c, r, r) or (h, w, r, r, c) -> (h, r, w, r, c) -> (h r, w r, c); from (h, w, r, r, c) back as well
    """
    y, turned = call.outputs[0], call.inputs[0]
    if not isinstance(turned.op, movement.Transpose) or turned.rank != 6 or y.rank != 4:
        return False
    cells, first = turned.inputs[0], channels_first(4)
    if not isinstance(cells.op, movement.Reshape) or cells.inputs[0].rank != 4 or first not in w.perms(cells.inputs[0]):
        return False
    x, r = cells.inputs[0], cells.shape[4]
    if not isinstance(r, int) or r < 2:
        return False
    (rows, high, wide, channels), (_, *less, _), (*_, c, _, _), out = x.shape, y.shape, cells.shape, y.shape[3]
    known: tuple[tuple[str, str | None, Perm, Shape, Shape], ...] = (  # turned how, between which shapes
        ("DepthToSpace", "CRD", (0, 1, 4, 2, 5, 3), (rows, high, wide, c, r, r), (rows, high * r, wide * r, c)),
        ("DepthToSpace", "DCR", (0, 1, 3, 2, 4, 5), (rows, high, wide, r, r, out), (rows, high * r, wide * r, out)),
        ("SpaceToDepth", None, (0, 1, 3, 2, 4, 5), (rows, less[0], r, less[1], r, channels), (rows, *less, channels * r * r)),
    )
    for kind, mode, axes, apart, together in known:
        if (turned.op.axes, cells.shape, y.shape) == (axes, apart, together):
            w.put(y, w.node(kind, w.get(x, first), blocksize=r, mode=mode), first)
            return True
    return False


def _lies(perm: Perm, shape: Shape, order: list[int]) -> bool:
    """Whether the axes that are longer than 1 follow one another as in ``order``."""
    return [a for a in perm if shape[a] != 1] == order


def expanded(w: Writer, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    perm = agreed(w, (x,), y.rank)
    own = (*(1,) * (y.rank - x.rank), *x.shape)
    shape = tuple(1 if isinstance(y.shape[a], Symbol) and own[a] == y.shape[a] else y.shape[a] for a in perm)
    w.put(y, w.node("Expand", w.spread(x, y.rank, perm), w.shape(shape)), perm)


def resampled(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, resample.Resample)
    n, m = x.shape[op.axis], op.length
    if not isinstance(n, int) or not isinstance(m, int):
        raise w.refuse(call, "a length that is not known")
    first, second, share = op.reads(n, m)
    perm = ordered(w, x)
    axis, name = perm.index(op.axis), w.get(x, perm)
    y = w.node("Gather", name, w.ints(first), axis=axis)
    if share.any():
        column = share.reshape(-1, *(1,) * (x.rank - axis - 1)).astype(x.dtype.numpy)
        other = w.node("Gather", name, w.ints(second), axis=axis)
        y = w.node("Add", w.node("Mul", y, w.array(1 - column)), w.node("Mul", other, w.array(column)))
    w.put(call.outputs[0], y, perm)


RULES: Mapping[type[Op], Rule] = {
    softmax.Softmax: last_axis, softmax.LogSoftmax: last_axis,
    reduce.Sum: reduction, reduce.Max: reduction, reduce.Min: reduction, reduce.ArgMax: arg_max,
    movement.Concat: concat, movement.Slice: cut, movement.Pad: pad, movement.Transpose: transposed, movement.Reshape: reshaped,
    movement.BroadcastTo: expanded, resample.Resample: resampled,
}  # fmt: skip
