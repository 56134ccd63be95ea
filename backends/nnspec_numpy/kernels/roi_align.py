"""Regions of feature maps: for each box two small matrices, of what its rows and its columns have of the map's, and their products."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import TensorType
from nnspec.ops.roi_align import FAR, Regions, RoiAlign, RoiAlignGrad

from .kernel import Arrays, Kernel, Run, Types, cut, flat, sequence, sizes

BOXES = 64  # whose matrices are made at once
Band = tuple[Array, slice]  # (cells, places), and which places of the map they are


def workspace(op: RoiAlign, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """A line of cells over the map's whole width."""
    widest = max(sizes(m)[2] * sizes(m)[3] for m in op.maps(inputs))
    return (flat(op.size[0] * widest, inputs[0].dtype),)


def grad_workspace(op: RoiAlignGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    _, height, width, channels = sizes(outputs[0])
    kind = outputs[0].dtype
    return flat(op.size[0] * width * channels, kind), flat(height * width * channels, kind)


def regions(op: Regions, boxes: Array, scale: float, height: int, width: int) -> Iterator[tuple[Band, Band]]:
    """For each box what its rows and columns have of the map's."""
    if not op.ratio:  # as many places as pixels, of each box others
        for box in boxes:
            rows, columns = op.bands(box, scale, height, width)
            yield part(rows), part(columns)
        return
    kind = boxes.dtype.type
    for i in range(0, len(boxes), BOXES):
        x1, y1, x2, y2 = (boxes[i : i + BOXES] * kind(scale) - kind(0.5 * op.aligned)).T
        yield from zip(bands(op, y1, y2, op.size[0], height), bands(op, x1, x2, op.size[1], width), strict=True)


def part(band: Array) -> Band:
    """What of a band is not 0, and where that is."""
    some = np.flatnonzero(band.any(0))
    where = slice(int(some[0]), int(some[-1]) + 1) if some.size else slice(0, 0)
    return band[:, where], where


def bands(op: Regions, first: Array, last: Array, cells: int, length: int) -> list[Band]:
    """``Regions.band`` of several boxes along one axis, for a fixed number of places in a cell."""
    each, kind = op.ratio, first.dtype
    extent = last - first if op.aligned else np.maximum(last - first, kind.type(1))
    cell = (extent / kind.type(cells))[:, None]
    n = np.arange(cells * each)
    place = first[:, None] + (n // each).astype(kind) * cell + ((n % each).astype(kind) + kind.type(0.5)) * (cell / kind.type(each))
    near = (np.abs(extent) < FAR) & (np.abs(first) < FAR)
    seen = near[:, None] & (place >= -1) & (place <= length)
    place = np.clip(np.where(seen, place, 0), 0, length - 1)
    below = np.floor(place).astype(np.int64)
    above, share = np.minimum(below + 1, length - 1), place - below
    start = np.where(seen, below, length).min(1)
    stop = np.where(seen, above + 1, 0).max(1)
    start = np.minimum(start, stop)
    widest = max(1, int((stop - start).max()))
    line = (np.arange(len(first))[:, None] * cells + n // each) * widest - start[:, None]
    places = np.stack([np.where(seen, line + p, 0) for p in (below, above)])
    shares = np.stack([np.where(seen, s, 0) for s in ((1 - share) / each, share / each)])
    found = np.bincount(places.reshape(-1), shares.reshape(-1), len(first) * cells * widest).astype(kind).reshape(-1, cells, widest)
    return [(found[k, :, : b - a], slice(a, b)) for k, (a, b) in enumerate(zip(start.tolist(), stop.tolist(), strict=True))]


def bind(op: RoiAlign, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    boxes, maps = inputs[0], op.maps(inputs)

    def run(row: int) -> None:
        y = outputs[0][row]
        if len(maps) > 1:
            y.fill(0)  # for a map that is not there
        for level, (m, scale) in enumerate(zip(maps, op.scales, strict=True)):
            own = np.arange(len(y)) if len(maps) == 1 else np.flatnonzero(inputs[1][row] == level)
            for k, (rows, columns) in zip(own.tolist(), regions(op, boxes[row, own], scale, *m.shape[1:3]), strict=True):
                read(m[row], rows, columns, y[k], space[0])

    return sequence([partial(quiet, run, row) for row in range(len(boxes))])


def read(image: Array, rows: Band, columns: Band, y: Array, space: Array) -> None:
    """``y = rows @ image @ columns`` over the places that the box sees."""
    height, width, channels = image.shape
    (a, down), (b, across) = rows, columns
    if not a.size or not b.size:
        y.fill(0)
        return
    seen = image.reshape(height, width * channels)[down, across.start * channels : across.stop * channels]
    line = cut(space, (len(a), seen.shape[1]))
    np.matmul(a, seen, out=line)
    np.matmul(b, line.reshape(len(a), b.shape[1], channels), out=y)


def bind_grad(op: RoiAlignGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    g, boxes = inputs[:2]

    def run(row: int) -> None:
        image = outputs[0][row]
        image.fill(0)
        own = np.arange(boxes.shape[1]) if op.level is None else np.flatnonzero(inputs[2][row] == op.level)
        for k, (rows, columns) in zip(own.tolist(), regions(op, boxes[row, own], op.scale, *image.shape[:2]), strict=True):
            add(image, rows, columns, g[row, k], space)

    return sequence([partial(quiet, run, row) for row in range(len(boxes))])


def add(image: Array, rows: Band, columns: Band, g: Array, space: Arrays) -> None:
    """``image += rows^T @ g @ columns^T`` over the places that the box saw."""
    channels = image.shape[2]
    (a, down), (b, across) = rows, columns
    if not a.size or not b.size:
        return
    line = cut(space[0], (len(a), b.shape[1], channels))
    np.matmul(b.T, g, out=line)
    more = cut(space[1], (a.shape[1], b.shape[1] * channels))
    np.matmul(a.T, line.reshape(len(a), -1), out=more)
    image[down, across] += more.reshape(a.shape[1], b.shape[1], channels)


def quiet(run: Any, row: int) -> None:
    """A box that is no number sees nothing, which is no news."""
    with np.errstate(invalid="ignore", over="ignore"):
        run(row)


ROI_ALIGN: dict[type[Any], Kernel] = {RoiAlign: Kernel(bind, workspace), RoiAlignGrad: Kernel(bind_grad, grad_workspace)}
