"""ONNX's boxes of which the best are kept, regions of feature maps, and convolutions whose windows are bent. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from nnspec.interop.nodes.axes import first, last
from nnspec.interop.nodes.node import Node, NotImportedError, Rule, bounded, fixed, sizes
from nnspec.interop.nodes.sampling import Read
from nnspec.interop.nodes.windows import windows
from nnspec.interop.onnx_idioms import JOINED
from nnspec.interop.ranges import ends
from nnspec.ir.graph import Value
from nnspec.ir.op import Constant
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import index, movement, rows
from nnspec.ops.boxes import NonMaxSuppression
from nnspec.ops.grid_sample import inside
from nnspec.ops.roi_align import RoiAlign


def suppressed(n: Node) -> Value:
    """``(image, class, box)`` of the boxes that are kept. How many they are has to be known: it is the length of the answer."""
    boxes, scores = n[0], n[1]
    images, classes, count = sizes(scores)
    most = min(n.ints(2)[0] if n.has(2) else 0, count)
    if most <= 0:
        return fixed(np.zeros((0, 3)))
    flat = movement.reshape(scores, (images * classes, count))
    if n.has(4):
        flat = e.where(e.greater(flat, float(n.static(4).reshape(()))), flat, -np.inf)
    each = movement.broadcast_to(movement.reshape(corners(n, boxes), (images, 1, count, 4)), (images, classes, count, 4))
    op = NonMaxSuppression(most, float(n.static(3).reshape(())) if n.has(3) else 0.0)
    numbers, counts = op(movement.reshape(each, (images * classes, count, 4)), flat)
    kept = n.worked_out(counts)
    row, place = np.nonzero(np.arange(most) < kept[:, None])
    ids = index.gather(movement.reshape(numbers, (images * classes * most,)), fixed(row * most + place))
    return movement.concat((fixed(np.stack([row // classes, row % classes], 1)), movement.reshape(ids, (len(row), 1))), 1)


def kept(n: Node) -> tuple[Value, ...]:
    """Numbers and counts of the boxes of each row that are kept: what several nodes say together, boxes being corners in order."""
    boxes, scores, many = n[0], n[1], int(n.attribute("groups", 0))
    groups = (n[2],) if n.has(2) else ()
    if groups and not ((found := ends(groups[0]))[0] >= 0 and found[1] < many):  # what is in no group takes no part
        scores = e.where(e.both(e.greater_equal(groups[0], 0), e.less(groups[0], many)), scores, -np.inf)
    op = NonMaxSuppression(int(n.attribute("maximum")), float(n.attribute("overlap")), many if groups else 0)
    numbers, counts = op(boxes, scores, *groups)
    return numbers, counts


def corners(n: Node, boxes: Value) -> Value:
    """The least and the largest corner, from two corners in whatever order, or from a centre and two lengths."""
    a, b, c, d = (movement.slice_axis(boxes, 2, i, i + 1) for i in range(4))
    if n.attribute("center_point_box", 0):
        parts = (a - c * 0.5, b - d * 0.5, a + c * 0.5, b + d * 0.5)
    else:
        parts = (e.minimum(a, c), e.minimum(b, d), e.maximum(a, c), e.maximum(b, d))
    return movement.concat(parts, 2)


def regions(n: Node) -> Value:
    """Every region cell by cell from its own image: all are read from every image, and of those its own is taken."""
    if n.text("mode", "avg", "max") == "max":
        raise NotImportedError("mode: max")
    x, boxes = first(n[0]), n[1]
    images, count = sizes(x)[0], sizes(boxes)[0]
    usual = "half_pixel" if n.opset >= 16 else "output_half_pixel"
    aligned = n.text("coordinate_transformation_mode", usual, "half_pixel", "output_half_pixel") == "half_pixel"
    size = int(n.attribute("output_height", 1)), int(n.attribute("output_width", 1))
    if min(size) < 1 or n.attribute("sampling_ratio", 0) < 0:
        raise NotImportedError(f"regions of {size} cells")
    op = RoiAlign(size, int(n.attribute("sampling_ratio", 0)), aligned, (float(n.attribute("spatial_scale", 1.0)),))
    each, ids = count // max(images, 1), n[2]
    if isinstance(ids.op, Constant) and np.array_equal(ids.op.data.reshape(-1), np.repeat(np.arange(images), each)):  # every row has as many
        y = op.one(movement.reshape(boxes, (images, each, 4)), x)
        return last(movement.reshape(y, (count, *sizes(y)[2:])))
    bounded(images * count * prod(size) * sizes(x)[-1])
    y = op.one(movement.broadcast_to(movement.reshape(boxes, (1, count, 4)), (images, count, 4)), x)
    ids = e.cast(n[2], DType.int64) * count + fixed(np.arange(count))
    return last(index.gather(movement.reshape(y, (images * count, *sizes(y)[2:])), ids))


def bent(n: Node) -> Value:
    """A convolution whose every tap is read at a place of its own, linear between the four around, zeros outside."""
    x, kernel, offset = first(n[0]), n[1], n[2]
    if x.rank != 4:
        raise NotImportedError(f"{x.rank - 2} axes of places")
    w, groups, parts = windows(n, sizes(kernel)[2:]), int(n.attribute("group", 1)), int(n.attribute("offset_group", 1))
    images, high, wide, channels = sizes(x)
    taps, out, made = prod(w.size), prod(w.out), sizes(kernel)[0]
    if sizes(offset) != (images, parts * taps * 2, *w.out) or channels % parts or channels % groups or made % groups:
        raise NotImportedError(f"offsets of {sizes(offset)} for {parts} groups of {taps} taps over {w.out}")
    bounded(images * out * taps * channels)
    moved = movement.reshape(offset, (images, parts, taps, 2, out))
    shares = movement.reshape(n[4], (images, parts, taps, out)) if n.has(4) else None
    read, columns, deep = Read("linear", "zeros", True), [], channels // parts
    for g in range(parts):
        table = movement.reshape(movement.slice_axis(x, 3, g * deep, (g + 1) * deep), (images, high * wide, deep))
        for t, tap in enumerate(np.ndindex(*w.size)):
            base = np.indices(w.out).reshape(2, out) * np.array(w.stride)[:, None] + (np.array(tap) * w.dilation - [a for a, _ in w.pads])[:, None]
            row, column = (movement.reshape(_part(moved, g, t, i), (images, out)) + fixed(base[i], x.dtype) for i in (0, 1))
            y = None
            for r, down in read.at(row, high):
                for c, across in read.at(column, wide):
                    part = rows.take_rows(table, inside(r, high) * wide + inside(c, wide)) * movement.reshape(down * across, (images, out, 1))
                    y = part if y is None else y + part
            assert y is not None
            if shares is not None:
                y = y * movement.reshape(_part(shares, g, t), (images, out, 1))
            columns.append(movement.reshape(y, (images, out, 1, deep)))
    whole = movement.concat(tuple(movement.concat(tuple(columns[g * taps : (g + 1) * taps]), 2) for g in range(parts)), 3)
    answers = []
    for g in range(groups):
        a, b = g * (channels // groups), (g + 1) * (channels // groups)
        flat = movement.reshape(movement.slice_axis(whole, 3, a, b), (images * out, taps * (b - a)))
        own = movement.slice_axis(kernel, 0, g * (made // groups), (g + 1) * (made // groups))
        turned = movement.reshape(movement.transpose(own, (2, 3, 1, 0)), (taps * (b - a), made // groups))
        answers.append(flat @ turned)
    y = movement.reshape(movement.concat(tuple(answers), 1), (images, *w.out, made))
    return last(y + n[3] if n.has(3) else y)


def _part(v: Value, *at: int) -> Value:
    """``v[:, at…]``."""
    for i in at:
        v = movement.reshape(movement.slice_axis(v, 1, i, i + 1), (sizes(v)[0], *sizes(v)[2:]))
    return v


RULES: Mapping[str, Rule] = {"NonMaxSuppression": suppressed, JOINED: kept, "RoiAlign": regions, "DeformConv": bent}
