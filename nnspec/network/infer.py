"""The type of a layer's output, and its cost, read off the ops that it builds over abstract values."""

from __future__ import annotations

from typing import NamedTuple

from nnspec.ir.graph import Value, abstract, calls_of
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType, bind
from nnspec.layers.layer import Built, Entry, Mode, Param, Values, applied, one_row
from nnspec.network.graph import Port
from nnspec.ops.conv import Convolution
from nnspec.ops.matmul import Linear, MatMul

LARGEST_TENSOR = 1 << 40  # elements


class Inferred(NamedTuple):
    built: Built
    params: tuple[Param, ...]
    flops: int


def infer(entry: Entry, ports: tuple[Port, ...], dtype: DType, path: str) -> Inferred:
    """What the layer makes of inputs of these types; raises ShapeError."""
    x = tuple(abstract(p.type, f"x{i}") for i, p in enumerate(ports) if p.type is not None)
    batched = tuple(p.batched for p in ports)
    params = tuple(entry.parameters(one_row(x, batched)))
    for p in params:
        n = 1
        for d in p.shape:
            n *= d
        if n > LARGEST_TENSOR:
            raise ShapeError(f"parameter '{p.name}' is too large", f"{n:,} numbers: {p.shape}", f"at most {LARGEST_TENSOR:,}")
    values = Values({p.name: abstract(TensorType(p.shape, dtype), p.name, "parameter") for p in params})
    seed, step = (abstract(TensorType((), t), name, "scalar") for t, name in ((DType.uint32, "seed"), (DType.int64, "step")))
    built = applied(entry, x, values, Mode(seed=seed, step=step, path=path, batched=batched, dtype=dtype))
    return Inferred(built, params, flops(built.y, *built.outputs.values()))


def flops(*ends: Value) -> int:
    """Twice the multiply-adds of one row; symbolic axes count as one."""
    total = 0
    for c in calls_of(ends):
        if isinstance(c.op, (Convolution, MatMul, Linear)):
            total += c.op.flops(*(_one_row(v.type) for v in c.inputs))
    return total


def _one_row(t: TensorType) -> TensorType:
    return TensorType(tuple(bind(d, {"batch": 1}) for d in t.shape), t.dtype)
