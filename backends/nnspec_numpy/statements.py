"""How each op is written with NumPy: a table from op class to lines, scratch memory and what may lie where."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from nnspec.codegen.emit import Line, literal
from nnspec.ir.op import Op
from nnspec.ir.program import Copy
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops import elementwise, index, matmul, movement, reduce, rounding, rows
from nnspec_numpy.choice import where_space, write_where
from nnspec_numpy.kernels.copies import described
from nnspec_numpy.kernels.matmul import planned as chosen
from nnspec_numpy.llvm.cpu import chosen as chosen_cpu
from nnspec_numpy.products import tiles
from nnspec_numpy.reductions import reduction, sum_space, write_sum
from nnspec_numpy.statement import Space, Statement, Types, matrices, plain

# One element at a time

def ufunc(name: str, arity: int = 1) -> Statement:
    def write(line: Line) -> Iterator[str]:
        yield f"{name}({', '.join(line.x)}, out={line.y})"

    return Statement(write, in_place=tuple(range(arity)), literal=tuple(range(arity)))


def write_relu(line: Line) -> Iterator[str]:
    yield f"maximum({line.x[0]}, 0, out={line.y})"


def step_space(op: Op, x: Types, y: Types) -> Space:
    return (TensorType(y[0].shape, DType.bool),)


def write_step(line: Line) -> Iterator[str]:
    yield f"greater({line.x[0]}, 0, out={line.w[0]})"
    yield f"copyto({line.y}, {line.w[0]})"


POWERS = {2.0: "square({x}, out={y})", 0.5: "sqrt({x}, out={y})", -1.0: "reciprocal({x}, out={y})",
          1.0: "copyto({y}, {x})"}


def write_power(line: Line) -> Iterator[str]:
    assert isinstance(line.op, elementwise.Power)
    exponent, dtype = line.op.exponent, line.step.outputs[0].type.dtype
    text = POWERS.get(exponent) if dtype.is_float else None
    fixed = literal(np.asarray(exponent, dtype.numpy))
    yield (text or f"power({{x}}, {fixed}, out={{y}})").format(x=line.x[0], y=line.y)


def write_copy(line: Line) -> Iterator[str]:
    x, y = line.step.inputs[0], line.step.outputs[0]
    if isinstance(line.op, Copy) and not x.literal and (way := described(y, x)):
        yield f"{line.bound(way)}()"
        return
    yield f"copyto({line.y}, {line.x[0]})"


def write_cast(line: Line) -> Iterator[str]:
    yield f'copyto({line.y}, {line.x[0]}, casting="unsafe")'


def write_rounded(line: Line) -> Iterator[str]:
    assert isinstance(line.op, rounding.Rounded)
    yield f"rounded({line.x[0]}, '{line.op.to}', out={line.y})"


# Places and proofs

def argmax_space(op: reduce.ArgMax, x: Types, y: Types) -> Space:
    shape = known(x[0].shape)
    last = (*shape[: op.axis], *shape[op.axis + 1 :], shape[op.axis])
    return () if op.axis == len(shape) - 1 else (TensorType(last, x[0].dtype),)


def write_argmax(line: Line) -> Iterator[str]:
    assert isinstance(line.op, reduce.ArgMax)
    x, axis, source = line.step.inputs[0], line.op.axis, line.x[0]
    if line.w:
        order = (*(i for i in range(len(x.shape)) if i != axis), axis)
        turned = line.view(x, "turned", tuple(x.shape[i] for i in order), tuple(x.strides[i] for i in order))
        source = line.w[0]
        yield f"copyto({source}, {turned})"
    yield f"argmax({source}, axis=-1, out={line.y})"


def write_all_finite(line: Line) -> Iterator[str]:
    arrays = [a for a in line.step.inputs if a.type.dtype.is_float]
    flat = [line.view(a, "flat", (prod(a.shape),), (1,)) for a in arrays]
    yield f"all_finite({', '.join(flat)}, out={line.y})" if flat else f"copyto({line.y}, True)"


# Products

def write_matmul(line: Line) -> Iterator[str]:
    a, y = line.step.inputs[0], line.step.outputs[0]
    if isinstance(line.op, matmul.MatMul) and (way := chosen(line.op, line.step.inputs, line.step.outputs, line.step.workspace)).right:
        yield f"{line.bound(str(way))}()"
    elif len(y.shape) == 2 and (tile := tiles(y.shape[0], a.shape[-1], y.shape[1])) != y.shape:
        yield f"product({line.x[0]}, {line.x[1]}, {tile[0]}, {tile[1]}, out={line.y})"
    else:
        yield f"matmul({line.x[0]}, {line.x[1]}, out={line.y})"


def write_linear(line: Line) -> Iterator[str]:
    yield from write_matmul(line)
    yield f"add({line.y}, {line.x[2]}, out={line.y})"


# Elements by number

def ids_space(op: Op, x: Types, y: Types) -> Space:
    return () if x[1].dtype == DType.int64 else (TensorType(x[1].shape, DType.int64),)


def write_gather(line: Line) -> Iterator[str]:
    ids = line.x[1]
    if line.w:
        ids = line.w[0]
        yield f"copyto({ids}, {line.x[1]})"
    yield f'take({line.x[0]}, {ids}, axis=0, mode="clip", out={line.y})'


def one_hot_space(op: index.OneHot, x: Types, y: Types) -> Space:
    wide = () if x[0].dtype == DType.int64 else (TensorType(x[0].shape, DType.int64),)
    return TensorType(y[0].shape, DType.bool), np.arange(op.depth, dtype=np.int64), *wide


def write_one_hot(line: Line) -> Iterator[str]:
    ids = line.step.inputs[0]
    hits, classes, *wide = line.w
    if wide:
        yield f"copyto({wide[0]}, {line.x[0]})"
        ids = line.step.workspace[2]
    column = line.view(ids, "column", (*ids.shape, 1), (*ids.strides, 1))
    yield f"equal({column}, {classes}, out={hits})"
    yield f"copyto({line.y}, {hits})"


def pick_space(op: Op, x: Types, y: Types) -> Space:
    shape = known(x[1].shape)
    first = np.arange(prod(shape), dtype=np.int64).reshape(shape) * known(x[0].shape)[-1]
    return TensorType(shape, DType.int64), first


def write_pick(line: Line) -> Iterator[str]:
    x = line.step.inputs[0]
    place, first = line.w
    yield f"copyto({place}, {line.x[1]})"
    yield f"add({place}, {first}, out={place})"
    yield f'take({line.view(x, "flat", (prod(x.shape),), (1,))}, {place}, mode="clip", out={line.y})'


# Movement

def write_pad(line: Line) -> Iterator[str]:
    assert isinstance(line.op, movement.Pad)
    y = line.step.outputs[0]
    where = line.op.inside(y.shape)
    offset = sum(s.start * t for s, t in zip(where, y.strides, strict=True))
    strides = tuple(s.step * t for s, t in zip(where, y.strides, strict=True))
    if chosen_cpu() is not None and all(y.shape):
        yield f"{line.bound(str(line.op))}()"
        return
    inside = line.view(y, "inside", line.step.inputs[0].shape, strides, offset)
    yield f"copyto({line.y}, {literal(np.asarray(line.op.value, y.type.dtype.numpy))})"
    yield f"copyto({inside}, {line.x[0]})"


STATEMENTS: dict[type[Op], Statement] = {
    **{getattr(elementwise, op): ufunc(name, 2) for op, name in {
        "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide", "Raise": "power",
        "FloorDivide": "floor_divide", "Remainder": "remainder",
        "Maximum": "maximum", "Minimum": "minimum", "Less": "less", "LessEqual": "less_equal", "Equal": "equal",
        "And": "logical_and", "Or": "logical_or"}.items()},
    **{getattr(elementwise, op): ufunc(name) for op, name in {
        "Negative": "negative", "Exp": "exp", "Expm1": "expm1", "Log": "log", "Log1p": "log1p", "Sqrt": "sqrt",
        "Square": "square", "Abs": "absolute", "Sign": "sign", "Floor": "floor", "Round": "rint", "Sin": "sin", "Cos": "cos",
        "Arctan": "arctan", "Tanh": "tanh", "Cosh": "cosh", "Sinh": "sinh", "Not": "logical_not"}.items()},
    elementwise.Relu: Statement(write_relu, in_place=(0,)),
    elementwise.Step: Statement(write_step, workspace=step_space),
    elementwise.Power: Statement(write_power, in_place=(0,)),
    elementwise.Cast: Statement(write_cast),
    elementwise.Where: Statement(write_where, in_place=(1,), literal=(1, 2), workspace=where_space),
    Copy: Statement(write_copy, literal=(0,)),
    rows.StopGradient: Statement(write_copy),
    rounding.Rounded: Statement(write_rounded, in_place=(0,)),
    reduce.Sum: Statement(write_sum, workspace=sum_space),
    reduce.Max: reduction("maximum"),
    reduce.Min: reduction("minimum"),
    reduce.ArgMax: Statement(write_argmax, reads=plain, writes=plain, workspace=argmax_space),
    reduce.AllFinite: Statement(write_all_finite, reads=plain),
    matmul.MatMul: Statement(write_matmul, reads=matrices, writes=matrices),
    matmul.Linear: Statement(write_linear, reads=matrices, writes=matrices),
    index.Gather: Statement(write_gather, reads=plain, writes=plain, workspace=ids_space),
    index.OneHot: Statement(write_one_hot, workspace=one_hot_space),
    index.Pick: Statement(write_pick, reads=plain, writes=plain, workspace=pick_space),
    movement.Pad: Statement(write_pad),
}
NUMPY = ("absolute", "add", "arctan", "argmax", "bitwise_and", "copyto", "cos", "cosh", "divide", "equal", "exp", "expm1",
         "floor", "floor_divide", "greater", "inf", "less", "less_equal", "log", "log1p", "logical_and", "logical_not", "logical_or", "matmul",
         "maximum", "minimum", "multiply", "nan", "negative", "power", "reciprocal", "remainder", "rint", "sign", "sin", "sinh", "sqrt", "square",
         "subtract", "take", "tanh")
FUNCTIONS = ("all_finite", "product", "rounded")
