"""Ops that take elements by number, as layers: parts and borders where the numbers say such, tables of vectors, the largest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Source
from nnspec.interop.raising.entries import added, unwrapped
from nnspec.interop.raising.raiser import Raiser
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Array, Op
from nnspec.ops import boxes, index, reduce, roi_align, rows
from nnspec.ops import grid_sample as sampling

Rule: TypeAlias = Callable[[Raiser, Call], None]
MOST = 10_000  # numbers in a spec


def gathered(r: Raiser, call: Call) -> None:
    """Along the first axis: by numbers that are known, or from a table that is."""
    table, ids = call.inputs
    known, held = r.known(ids), r.known(table)
    if held is not None:
        return embedded(r, call.outputs[0], held, ids)
    if known is None:
        raise NotImportedError("elements of every row by numbers of every row")
    chosen(r, table, call.outputs[0], known)


def embedded(r: Raiser, y: Value, table: Array, ids: Value) -> None:
    """Vectors of a table for whole numbers."""
    if table.dtype.kind != "f" or r.rows[ids] or 0 in table.shape:
        raise NotImportedError("a table of whole numbers")
    units = int(np.prod(table.shape[1:], dtype=np.int64))
    weights = {"embedding": np.ascontiguousarray(table.reshape(len(table), units))}
    own, made = unwrapped(ids, len(table)), (*sizes(ids)[1:], units)
    source = r.emit("embedding", r.get(own), weights=weights, made=made, vocabulary=len(table), units=units)
    shape = sizes(y)[1:]
    r.put(y, source if table.ndim == 2 else r.once(source, "reshape", shape=list(shape), made=shape))


def chosen(r: Raiser, x: Value, y: Value, ids: Array) -> None:
    """Places of the first axis, in whatever order of axes is at hand."""
    if r.rows[x] == 0:
        raise NotImportedError("a part of the rows")
    if ids.size > MOST or ids.size == 0:
        raise NotImportedError(f"{ids.size:,} numbers of elements")
    perm, k = r.agreed([x], x.rank), ids.ndim
    at, n = perm.index(0) - 1, sizes(x)[0]
    wanted = [i for a in perm for i in (range(k) if a == 0 else (a - 1 + k,))]
    found = words(np.where(ids < 0, ids + n, ids), n, at, x.rank - 2) if k == 1 else None
    if found is not None:
        source = r.emit(found[0], r.get(x, perm), **found[1])
    else:
        source = r.emit("gather", r.get(x, perm), indices=ids.tolist(), axis=at or None)
    r.put(y, source, tuple(wanted), wanted[0])


def words(ids: Array, n: int, at: int, places: int) -> tuple[str, dict[str, Any]] | None:
    """Numbers along axis ``at`` of ``places`` and channels as what they do: a part, a border, places repeated."""
    m, first, last = len(ids), int(ids[0]), int(ids[-1])
    if (ids == np.arange(first, first + m)).all():
        return "slice", {k: v for k, v, d in (("axes", at, 0), ("start", first, 0), ("stop", last + 1, n)) if v != d} or {"axes": at}
    if not 1 <= places <= 3 or at == places:
        return None
    if n > 1 and 0 < first < n and (ids == np.pad(np.arange(n), (first, max(m - n - first, 0)), "reflect")[:m]).all() and m >= n + first:
        return f"pad{places}d", {"size": around(first, m - n - first, at, places), "mode": "reflect"}
    if first == 0 and m > n and n > 1 and last == n - 2 and (ids == np.pad(np.arange(n), (0, m - n), "reflect")).all():
        return f"pad{places}d", {"size": around(0, m - n, at, places), "mode": "reflect"}
    if m > n and m % n == 0 and (ids == np.repeat(np.arange(n), m // n)).all():
        return f"upsample{places}d", {"factor": [m // n if i == at else 1 for i in range(places)]}
    low = int((ids == 0).sum()) - 1
    if m > n and low >= 0 and m - n - low >= 0 and (ids == np.pad(np.arange(n), (low, m - n - low), "edge")).all():
        return f"pad{places}d", {"size": around(low, m - n - low, at, places), "mode": "edge"}
    return None


def around(low: int, high: int, at: int, places: int) -> list[int]:
    """How much lies at both ends of every axis."""
    return [n for i in range(places) for n in ((low, high) if i == at else (0, 0))]


def taken(r: Raiser, call: Call) -> None:
    """Of each row the elements that its own numbers choose."""
    x, ids = call.inputs
    known = r.known(ids)
    table = r.known(x)
    if r.rows[x if table is None else ids]:
        raise NotImportedError("rows that are not the first axis")
    if table is not None:  # which is the same for all rows
        own = unwrapped(ids, sizes(x)[1])
        r.put(call.outputs[0], r.emit("gather", r.constant(r.part(table, x.rank, tuple(range(x.rank)), keep=True)), r.get(own)))
        return
    if known is not None:
        if (known != known[:1]).any():
            raise NotImportedError("numbers that differ from row to row")
        if known[0].size > MOST:
            raise NotImportedError(f"{known[0].size:,} numbers of elements")
        r.put(call.outputs[0], r.emit("gather", r.get(x), indices=known[0].tolist()))
        return
    r.put(call.outputs[0], r.emit("gather", r.get(x), r.get(unwrapped(ids, sizes(x)[1]))))


def largest(r: Raiser, call: Call) -> None:
    x = call.inputs[0]
    source = r.emit("top_k", r.get(x), k=call.op.k)  # type: ignore[attr-defined]  # Largest's
    r.put(call.outputs[0], source)
    r.put(call.outputs[1], Source(source.entry, "indices"))


def place_of_largest(r: Raiser, call: Call) -> None:
    """Where the largest stands along an axis: the first of the places of the largest."""
    x, axis = call.inputs[0], call.op.axis  # type: ignore[attr-defined]  # ArgMax's
    if axis == r.rows[x]:
        raise NotImportedError("a reduction over rows")
    perm = r.channels_last(x, axis)
    source = r.get(x, perm)
    if not x.dtype.is_float:
        source = r.emit("cast", source, dtype="float32", made=tuple(sizes(x)[a] for a in perm[1:]))
    best = r.emit("top_k", source, k=1)
    left = perm[:-1]
    order = tuple(sorted(left).index(a) for a in left)
    r.put(call.outputs[0], r.emit("squeeze", Source(best.entry, "indices"), axes=-1), order, order[0])


def sampled(r: Raiser, call: Call) -> None:
    """An image at places that a second input gives."""
    image, grid = call.inputs
    op: Any = call.op
    held = r.known(grid)
    if held is not None and (held != held[:1]).any():
        raise NotImportedError("a constant that differs from row to row")
    places = r.get(grid) if held is None else r.constant(np.ascontiguousarray(held[0]))
    said = (("method", "nearest", op.nearest), ("padding", "border", op.border), ("align", "corners", op.corners))
    fields: dict[str, Any] = {key: word for key, word, so in said if so}
    if image.rank != 4:
        raise NotImportedError(f"grid_sample over {image.rank - 2} axes")
    r.put(call.outputs[0], r.emit("grid_sample", r.get(image), places, **fields))


def suppressed(r: Raiser, call: Call) -> None:
    """The best boxes of each row."""
    if any(r.known(v) is not None for v in call.inputs[:2]):
        raise NotImportedError("boxes or scores that are known")
    op: Any = call.op
    given = [r.get(v) if (a := r.known(v)) is None else r.constant(r.part(a, v.rank, tuple(range(v.rank)), keep=True)) for v in call.inputs]
    source = r.emit("best_boxes", *given, maximum=op.maximum, iou_threshold=op.overlap)
    r.put(call.outputs[0], source)
    r.put(call.outputs[1], Source(source.entry, "count"))


def regions(r: Raiser, call: Call) -> None:
    """Boxes of one map, cell by cell."""
    given, op = call.inputs, call.op
    size, ratio, aligned, scales = op.size, op.ratio, op.aligned, op.scales  # type: ignore[attr-defined]  # RoiAlign's
    if len(given) != 2 or len(scales) != 1 or any(r.known(v) is not None for v in given):
        raise NotImportedError("regions of several maps, or of what is known")
    r.put(call.outputs[0], r.emit("roi_align", r.get(given[1]), r.get(given[0]), size=size[0] if size[0] == size[1] else list(size),
                                  sampling_ratio=ratio or None, aligned=True if aligned else None, scale=None if scales[0] == 1 else scales[0]))


PICKS: Mapping[type[Op], Rule] = {
    index.Gather: gathered, rows.TakeRows: taken, rows.Largest: largest, rows.AddRows: added, reduce.ArgMax: place_of_largest,
    sampling.GridSample: sampled, boxes.NonMaxSuppression: suppressed, roi_align.RoiAlign: regions,
}  # fmt: skip
