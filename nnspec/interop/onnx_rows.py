"""Products, rows and numbers as ONNX nodes, in the order of axes that they have here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnspec.interop.onnx_elements import Rule
from nnspec.interop.onnx_writer import Writer
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ir.types import Dim, DType
from nnspec.ops import index, matmul, rows


def product(w: Writer, call: Call) -> None:
    w.put(call.outputs[0], w.node("MatMul", *map(w.get, call.inputs)))


def linear(w: Writer, call: Call) -> None:
    w.put(call.outputs[0], w.node("Gemm", *map(w.get, call.inputs)))


def _ids(w: Writer, value: Value) -> str:
    name = w.get(value)
    return name if value.dtype in (DType.int32, DType.int64) else str(w.node("Cast", name, to=DType.int64))


def gather(w: Writer, call: Call) -> None:
    w.put(call.outputs[0], w.node("Gather", w.get(call.inputs[0]), _ids(w, call.inputs[1]), axis=0))


def one_hot(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, index.OneHot)
    values = w.array(np.array([0, 1], op.dtype.numpy))
    whole = w.get(call.inputs[0])
    if call.inputs[0].dtype != DType.int64:  # which runtimes ask for
        whole = w.node("Cast", whole, to=DType.int64)
    w.put(call.outputs[0], w.node("OneHot", whole, w.ints([op.depth]), values, axis=-1))


def pick(w: Writer, call: Call) -> None:
    x, ids = call.inputs
    places = w.node("Unsqueeze", _ids(w, ids), w.ints([-1]))
    w.put(call.outputs[0], w.node("Squeeze", w.node("GatherElements", w.get(x), places, axis=-1), w.ints([-1])))


def take_rows(w: Writer, call: Call) -> None:
    x, ids = call.inputs
    places = w.node("Unsqueeze", w.node("Cast", w.get(ids), to=DType.int64), w.ints([-1]))
    w.put(call.outputs[0], w.node("GatherND", w.get(x), places, batch_dims=1))


def add_rows(w: Writer, call: Call) -> None:
    """ScatterElements, which wants a number for each element: numbers are repeated along what is added."""
    (x, ids), y = call.inputs, call.outputs[0]
    axis = int(isinstance(call.op, rows.AddRows))  # rows of a batch, each its own
    many: Dim = 1
    for d in ids.shape[axis:]:
        many = many * d
    flat, rest = (*ids.shape[:axis], many), x.shape[ids.rank :]
    places = w.reshape(_ids(w, ids), ids.shape, (*flat, *(1,) * len(rest)))
    wide = w.node("Expand", places, w.shape((*flat, *rest)))
    empty = w.node("Expand", w.number(0, y.dtype), w.shape(y.shape))
    terms = w.reshape(w.get(x), x.shape, (*flat, *rest))
    w.put(y, w.node("ScatterElements", empty, wide, terms, axis=axis, reduction="add"))


def largest(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, rows.Largest)
    for v, name in zip(call.outputs, w.node("TopK", w.get(call.inputs[0]), w.ints([op.k]), outputs=2), strict=True):
        w.put(v, name)


RULES: Mapping[type[Op], Rule] = {
    matmul.MatMul: product, matmul.Linear: linear,
    index.Gather: gather, index.OneHot: one_hot, index.Pick: pick, index.ScatterAdd: add_rows,
    rows.TakeRows: take_rows, rows.AddRows: add_rows, rows.Largest: largest,
}  # fmt: skip
