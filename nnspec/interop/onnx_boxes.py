"""Boxes and regions as ONNX nodes, whose number of boxes is open: what they say is brought back to as many as were declared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.interop.onnx_elements import Rule
from nnspec.interop.onnx_writer import Writer, channels_first
from nnspec.interop.ranges import ends
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import DType
from nnspec.ops.boxes import NonMaxSuppression
from nnspec.ops.roi_align import RoiAlign

MOST_GROUPS = 10_000
LOWEST = float(np.finfo(np.float32).min)  # above minus infinity, which takes no part


def single(w: Writer, value: Value) -> str:
    """Floats in the precision that ONNX's nodes of boxes ask for."""
    name = w.get(value)
    return name if value.dtype == DType.float32 else str(w.node("Cast", name, to=DType.float32))


def non_max_suppression(w: Writer, call: Call) -> None:
    """The survivors' scores, all others minus infinity; of these the largest. Groups become classes, in each of which the others score nothing."""
    op, (boxes, scores, *groups) = call.op, call.inputs
    assert isinstance(op, NonMaxSuppression)
    many: float = op.groups
    if groups and not many:
        first, last = ends(groups[0])
        many = last + 1 if first >= 0 else 0
        if not 0 < many <= MOST_GROUPS:
            raise w.refuse(call, "how many groups there are is not known")
    alone = single(w, scores)
    lowest = w.array(np.array(-np.inf, np.float32))
    by_class = w.node("Unsqueeze", alone, w.ints([1]))
    if groups:
        classes = w.array(np.arange(int(many)).reshape(-1, 1))
        own = w.node("Equal", w.node("Unsqueeze", w.node("Cast", w.get(groups[0]), to=DType.int64), w.ints([1])), classes)
        by_class = w.node("Where", own, by_class, lowest)
    chosen = w.node("NonMaxSuppression", single(w, boxes), by_class, w.ints([op.maximum]), w.array(np.array([op.overlap], np.float32)),
                    w.array(np.array([LOWEST], np.float32)))
    places = w.node("Gather", chosen, w.ints([0, 2]), axis=1)
    nothing = w.node("Expand", lowest, w.node("Shape", alone))
    kept = w.node("ScatterND", nothing, places, w.node("GatherND", alone, places))
    n = int(scores.shape[1])  # type: ignore[arg-type]  # boxes are never symbolic
    values, numbers = w.node("TopK", kept, w.ints([min(op.maximum, n)]), outputs=2)
    there = w.node("Greater", values, lowest)
    numbers = w.node("Where", there, numbers, w.number(0, DType.int64))
    if op.maximum > n:
        numbers = w.node("Pad", numbers, w.ints([0, 0, 0, op.maximum - n]), w.number(0, DType.int64))
    w.put(call.outputs[0], numbers)
    w.put(call.outputs[1], w.node("ReduceSum", w.node("Cast", there, to=DType.int32), w.ints([1]), keepdims=0))


def roi_align(w: Writer, call: Call) -> None:
    """All boxes from every map, and of each box what its own map says."""
    op, boxes, y = call.op, call.inputs[0], call.outputs[0]
    assert isinstance(op, RoiAlign)
    several = len(op.scales) > 1
    corners = w.node("Reshape", w.get(boxes), w.ints([-1, 4]))
    rows = w.node("Squeeze", w.length(boxes.shape[0]), w.ints([0]))
    counted = w.node("Unsqueeze", w.node("Range", w.number(0, DType.int64), rows, w.number(1, DType.int64)), w.ints([1]))
    row = w.node("Reshape", w.node("Expand", counted, w.shape(boxes.shape[:2])), w.ints([-1]))
    total = ""
    for level, (m, scale) in enumerate(zip(op.maps(call.inputs), op.scales, strict=True)):
        found = w.node("RoiAlign", w.get(m, channels_first(4)), corners, row, mode="avg", output_height=op.size[0], output_width=op.size[1],
                       sampling_ratio=op.ratio, spatial_scale=float(scale),
                       coordinate_transformation_mode="half_pixel" if op.aligned else "output_half_pixel")
        if several:
            wanted = w.node("Equal", w.node("Cast", w.node("Reshape", w.get(call.inputs[1]), w.ints([-1, 1, 1, 1])), to=DType.int64), w.ints([level]))
            found = w.node("Where", wanted, found, total or w.number(0, m.dtype))
        total = str(found)
    shape = (*y.shape[:2], y.shape[4], *op.size)
    w.put(y, w.node("Reshape", total, w.shape(shape, shape)), (0, 1, 4, 2, 3))


RULES: Mapping[type[Op], Rule] = {NonMaxSuppression: non_max_suppression, RoiAlign: roi_align}
