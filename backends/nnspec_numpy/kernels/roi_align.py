"""Regions of feature maps: for each box two small matrices, of what its rows and its columns have of the map's, and their products."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import TensorType
from nnspec.ops.roi_align import Regions, RoiAlign, RoiAlignGrad

from .kernel import Arrays, Kernel, Run, Types, cut, flat, sequence, sizes


def workspace(op: RoiAlign, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """A line of cells over the map's whole width."""
    widest = max(sizes(m)[2] * sizes(m)[3] for m in op.maps(inputs))
    return (flat(op.size[0] * widest, inputs[0].dtype),)


def grad_workspace(op: RoiAlignGrad, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    _, height, width, channels = sizes(outputs[0])
    kind = outputs[0].dtype
    return flat(op.size[0] * width * channels, kind), flat(height * width * channels, kind)


def part(band: Array) -> tuple[Array, slice]:
    """What of a band is not 0, and where that is."""
    some = np.flatnonzero(band.any(0))
    where = slice(int(some[0]), int(some[-1]) + 1) if some.size else slice(0, 0)
    return band[:, where], where


def bind(op: RoiAlign, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    boxes, maps = inputs[0], op.maps(inputs)

    def run(row: int) -> None:
        for k, box in enumerate(boxes[row]):
            level = 0 if len(maps) == 1 else int(inputs[1][row, k])
            y = outputs[0][row, k]
            if not 0 <= level < len(maps):
                y.fill(0)
                continue
            read(op, box, maps[level][row], op.scales[level], y, space[0])

    return sequence([partial(run, row) for row in range(len(boxes))])


def read(op: Regions, box: Array, image: Array, scale: float, y: Array, space: Array) -> None:
    """``y = rows @ image @ columns`` over the places that the box sees."""
    height, width, channels = image.shape
    (rows, down), (columns, across) = (part(band) for band in op.bands(box, scale, height, width))
    if not rows.size or not columns.size:
        y.fill(0)
        return
    seen = image.reshape(height, width * channels)[down, across.start * channels : across.stop * channels]
    line = cut(space, (len(rows), seen.shape[1]))
    np.matmul(rows, seen, out=line)
    np.matmul(columns, line.reshape(len(rows), columns.shape[1], channels), out=y)


def bind_grad(op: RoiAlignGrad, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    g, boxes = inputs[:2]

    def run(row: int) -> None:
        image = outputs[0][row]
        image.fill(0)
        for k, box in enumerate(boxes[row]):
            if op.level is None or inputs[2][row, k] == op.level:
                add(op, box, image, g[row, k], space)

    return sequence([partial(run, row) for row in range(len(boxes))])


def add(op: RoiAlignGrad, box: Array, image: Array, g: Array, space: Arrays) -> None:
    """``image += rows^T @ g @ columns^T`` over the places that the box saw."""
    height, width, channels = image.shape
    (rows, down), (columns, across) = (part(band) for band in op.bands(box, op.scale, height, width))
    if not rows.size or not columns.size:
        return
    line = cut(space[0], (len(rows), columns.shape[1], channels))
    np.matmul(columns.T, g, out=line)
    more = cut(space[1], (rows.shape[1], columns.shape[1] * channels))
    np.matmul(rows.T, line.reshape(len(rows), -1), out=more)
    image[down, across] += more.reshape(rows.shape[1], columns.shape[1], channels)


ROI_ALIGN: dict[type[Any], Kernel] = {RoiAlign: Kernel(bind, workspace), RoiAlignGrad: Kernel(bind_grad, grad_workspace)}
