"""The ONNX names that ops declare: known to ONNX, and where an op is one node there, of equal numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.ir.op import Op, Sample
from nnspec.ops.elementwise import Cast, Elementwise
from nnspec.ops.movement import Concat, Transpose
from nnspec.ops.reduce import Max, Min, Reduction, Sum
from tests.test_ops import CASES, OPS, arrays_of, results

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
OPSET = 23
NAMED = {name: cls.onnx for name, cls in OPS.items() if cls.onnx is not None}


@pytest.mark.parametrize("name", NAMED)
def test_onnx_knows_the_name(name: str) -> None:
    assert onnx.defs.get_schema(NAMED[name], OPSET).name == NAMED[name]


def attributes(op: Op) -> dict[str, Any] | None:
    """The node's attributes, for ops that are one node whose inputs are ours; None for the others."""
    match op:
        case Cast() | Max() | Min():
            return None
        case Elementwise():
            return {}
        case Transpose(axes=axes):
            return {"perm": axes}
        case Concat(axis=axis):
            return {"axis": axis}
    match op.name:
        case "MatMul" | "Softplus" | "Linear":
            return {}
        case "Softmax" | "LogSoftmax":
            return {"axis": -1}
        case "Gelu":
            return {"approximate": "tanh" if op.approximate else "none"}  # type: ignore[attr-defined]  # Gelu's
    return None


def simple(cls: type[Op], sample: Sample) -> bool:
    op = cls(**sample.attributes)
    return cls.onnx is not None and (attributes(op) is not None or isinstance(op, Reduction))


@pytest.mark.parametrize(("cls", "sample"), [p for p in CASES if simple(*p.values)])
def test_onnx_computes_the_same(cls: type[Op], sample: Sample) -> None:
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    op, arrays = cls(**sample.attributes), [np.array(a) for a in arrays_of(cls, sample)]
    wanted = results(op, arrays)
    extra: dict[str, Any] = attributes(op) or {}
    if isinstance(op, Reduction):
        extra = {"keepdims": int(op.keep)}
        arrays = [*arrays, np.array(op.axis, np.int64)]
    assert isinstance(op, Sum | Max | Min) == isinstance(op, Reduction)
    names = [f"x{i}" for i in range(len(arrays))]
    node = helper.make_node(cls.onnx, names, ["y"], **extra)
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in arrays]
    graph = helper.make_graph([node], "one", [helper.make_tensor_value_info(n, k, a.shape)
                                              for n, k, a in zip(names, kinds, arrays, strict=True)],
                              [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    (found,) = ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))
    np.testing.assert_allclose(found, wanted[0], rtol=1e-6, atol=1e-7)
