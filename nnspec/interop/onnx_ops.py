"""Every op as the ONNX nodes that compute it: by the name that it declares where it is one node, in several otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nnspec.interop import onnx_axes, onnx_boxes, onnx_elements, onnx_rows, onnx_windows
from nnspec.interop.onnx_elements import Rule, elementwise
from nnspec.interop.onnx_writer import Writer
from nnspec.ir.graph import Call
from nnspec.ir.op import Composite, Op
from nnspec.ops import activation, normalization, resample, softmax
from nnspec.ops import elementwise as e

RULES: Mapping[type[Op], Rule] = {**onnx_elements.RULES, **onnx_axes.RULES, **onnx_windows.RULES, **onnx_rows.RULES, **onnx_boxes.RULES}
WHOLE: Mapping[type[Op], Callable[[Call], bool]] = {  # composites that are one node, and when
    softmax.Softmax: lambda c: True,
    softmax.LogSoftmax: lambda c: True,
    activation.Softplus: lambda c: True,
    activation.Gelu: lambda c: True,
    activation.Clip: lambda c: True,
    normalization.LayerNorm: lambda c: c.op.axes in ((-1,), (c.inputs[0].rank - 1,)) and c.inputs[1].rank == 1,  # type: ignore[attr-defined]  # its own
    normalization.GroupNorm: lambda c: c.inputs[0].rank > 2,
    resample.Repeat: lambda c: True,
    normalization.LocalResponseNorm: lambda c: c.inputs[0].rank == 4 and c.op.size % 2 == 1,  # type: ignore[attr-defined]  # its own
}


def whole(call: Call) -> bool:
    """Whether a composite is written as it is."""
    return isinstance(call.op, Composite) and type(call.op) in WHOLE and WHOLE[type(call.op)](call)


def write(w: Writer, call: Call) -> None:
    """The nodes of a call. Raises SpecError where there are none."""
    rule = RULES.get(type(call.op))
    if rule is None and isinstance(call.op, e.Elementwise) and call.op.onnx is not None:
        rule = elementwise
    if rule is None:
        raise w.refuse(call, "random numbers" if call.op.random else "")
    rule(w, call)
