"""ONNX's operators as ops of ours, one rule each. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce as fold
from math import prod
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.onnx_import import DTYPES, Node, NotImportedError, sizes, within
from nnspec.ir.graph import Value, constant
from nnspec.ir.types import DType
from nnspec.ops import activation, conv, movement, normalization, pool, reduce, softmax
from nnspec.ops import elementwise as e

Rule: TypeAlias = "Callable[[Node], Value | tuple[Value, ...]]"


def unary(function: Callable[[Value], Value]) -> Rule:
    return lambda n: function(n[0])


def binary(op: Any) -> Rule:
    return lambda n: op().one(n[0], n[1])


def many(op: Any) -> Rule:
    return lambda n: fold(lambda a, b: op().one(a, b), n.inputs)


def first(v: Value) -> Value:
    """Channels first to last."""
    return movement.transpose(v, (0, *range(2, v.rank), 1))


def last(v: Value) -> Value:
    """Channels last to first."""
    return movement.transpose(v, (0, v.rank - 1, *range(1, v.rank - 1)))


def number(n: Node, i: int, name: str, default: float) -> float:
    """A scalar by an input, or by the attribute of older opsets."""
    return float(n.static(i).reshape(())) if n.has(i) else float(n.attribute(name, default))


def along(n: Node, function: Callable[[Value], Value], default: int = -1) -> Value:
    """``function`` over an axis, which is moved to the end."""
    if n.opset < 13:
        raise NotImportedError("before opset 13 axes are taken together")
    axis = within(n.attribute("axis", default), n[0].rank)
    return movement.moveaxis(function(movement.moveaxis(n[0], axis, n[0].rank - 1)), n[0].rank - 1, axis)


def reduced(function: Callable[[Value, tuple[int, ...], bool], Value]) -> Rule:
    def rule(n: Node) -> Value:
        axes = n.axes(1, n[0].rank)
        if not axes and n.attribute("noop_with_empty_axes", 0):
            raise NotImportedError("noop_with_empty_axes") if axes is None else NotImportedError("no axes at all")
        if 0 in sizes(n[0]):
            raise NotImportedError("an axis of length 0")
        return function(n[0], tuple(axes or range(n[0].rank)), bool(n.attribute("keepdims", 1)))

    return rule


def means(x: Value, axes: tuple[int, ...], keep: bool) -> Value:
    whole(x)
    return reduce.mean(x, axes, keep)


def whole(x: Value) -> None:
    if not x.dtype.is_float:
        raise NotImportedError(f"the mean of {x.dtype}")


def padding(n: Node, spatial: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    auto, rank = n.attribute("auto_pad", "NOTSET"), len(spatial)
    if auto == "VALID":
        return ((0, 0),) * rank
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        around = conv.pads("same", spatial, size, stride, dilation)
        return around if auto == "SAME_UPPER" else tuple((b, a) for a, b in around)
    pads = n.attribute("pads", [0] * 2 * rank)
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def convolution(n: Node) -> Value:
    x, w = n[0], n[1]
    rank, size = x.rank - 2, sizes(w)[2:]
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    around = padding(n, sizes(x)[2:], size, stride, dilation)
    kernel = movement.transpose(w, (*range(2, w.rank), 1, 0))
    y = conv.Conv(stride, around, dilation, n.attribute("group", 1)).one(first(x), kernel)
    return last(y + n[2] if n.has(2) else y)


def pooled(op: type[pool.Pool]) -> Rule:
    def rule(n: Node) -> Value:
        x, size = n[0], tuple(n.attribute("kernel_shape"))
        stride, dilation = (tuple(n.attribute(k, [1] * len(size))) for k in ("strides", "dilations"))
        around = padding(n, sizes(x)[2:], size, stride, (1,) * len(size))
        if set(dilation) != {1} or n.attribute("ceil_mode", 0) or n.count > 1 or n.attribute("storage_order", 0):
            raise NotImportedError("dilations, ceil_mode, places of the largest")
        if not x.dtype.is_float:
            raise NotImportedError(f"a pool of {x.dtype}")
        y = first(x)
        if op is pool.AvgPool and n.attribute("count_include_pad", 0):
            nothing = (0,) * y.rank
            y = movement.Pad((0, *(a for a, _ in around), 0), (0, *(b for _, b in around), 0), nothing).one(y)
            around = ((0, 0),) * len(size)
        made = op(size, stride, around)(y)
        return last(made[0] if isinstance(made, tuple) else made)

    return rule


def everywhere(function: Callable[..., Value]) -> Rule:
    return lambda n: function(n[0], tuple(range(2, n[0].rank)), True)


def batch_norm(n: Node) -> Value:
    if n.attribute("training_mode", 0):
        raise NotImportedError("training_mode")
    scale, shift, mean, variance = (movement.reshape(n[i], (*sizes(n[i]), *(1,) * (n[0].rank - 2))) for i in range(1, 5))
    return (n[0] - mean) * (scale / e.sqrt(variance + float(n.attribute("epsilon", 1e-5)))) + shift


def layer_norm(n: Node) -> Value:
    x, axis = n[0], within(n.attribute("axis", -1), n[0].rank)
    if n.count > 1:
        raise NotImportedError("means and deviations as outputs")
    axes = tuple(range(axis, x.rank))
    centred = x - reduce.mean(x, axes, True)
    y = centred / e.sqrt(reduce.mean(e.square(centred), axes, True) + float(n.attribute("epsilon", 1e-5))) * n[1]
    return y + n[2] if n.has(2) else y


def instance_norm(n: Node) -> Value:
    op = normalization.GroupNorm(int(sizes(n[0])[1]), float(n.attribute("epsilon", 1e-5)))
    return last(op.one(first(n[0]), n[1], n[2]))


def local_response(n: Node) -> Value:
    size = int(n.attribute("size"))
    if size % 2 == 0:
        raise NotImportedError("an even size")
    alpha, beta, k = (float(n.attribute(name, d)) for name, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    return last(normalization.LocalResponseNorm(size, alpha, beta, k).one(first(n[0])))


def product(n: Node) -> Value:
    a, b = n[0], n[1]
    wide, high = movement.reshape(a, (1, *a.shape)) if a.rank == 1 else a, movement.reshape(b, (*b.shape, 1)) if b.rank == 1 else b
    y = wide @ high
    shape = sizes(y)
    cut = shape[: -2 if a.rank == 1 else len(shape) - 1] + (shape[-1:] if b.rank > 1 else ())
    return movement.reshape(y, cut)


def gemm(n: Node) -> Value:
    a, b = (movement.swap(v) if n.attribute(k, 0) else v for v, k in ((n[0], "transA"), (n[1], "transB")))
    y = (a @ b) * float(n.attribute("alpha", 1.0))
    return y + n[2] * float(n.attribute("beta", 1.0)) if n.has(2) else y


def reshaped(n: Node) -> Value:
    old, new = sizes(n[0]), n.ints(1)
    if not n.attribute("allowzero", 0):
        new = [old[i] if d == 0 else d for i, d in enumerate(new)]
    if -1 in new:
        rest = prod(d for d in new if d != -1)
        new[new.index(-1)] = prod(old) // rest
    return movement.reshape(n[0], tuple(new))


def flattened(n: Node) -> Value:
    shape, axis = sizes(n[0]), n.attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return movement.reshape(n[0], (prod(shape[:axis]), prod(shape[axis:])))


def squeezed(n: Node) -> Value:
    shape = sizes(n[0])
    axes = n.axes(1, len(shape))
    return movement.reshape(n[0], tuple(d for i, d in enumerate(shape) if (d != 1 if axes is None else i not in axes)))


def unsqueezed(n: Node) -> Value:
    given = n.ints(1) if n.has(1) else n.attribute("axes")
    rank = n[0].rank + len(given)
    axes, rest = {within(a, rank) for a in given}, iter(sizes(n[0]))
    return movement.reshape(n[0], tuple(1 if i in axes else next(rest) for i in range(rank)))


def joined(n: Node) -> Value:
    return movement.concat(tuple(n.inputs), within(n.attribute("axis"), n[0].rank))


def cut(n: Node) -> Value:
    shape = sizes(n[0])
    starts, stops = (n.ints(i) if n.has(i) else n.attribute(k) for i, k in ((1, "starts"), (2, "ends")))
    axes = n.ints(3) if n.has(3) else n.attribute("axes", list(range(len(starts))))
    steps = n.ints(4) if n.has(4) else [1] * len(starts)
    bounds = {i: (0, d, 1) for i, d in enumerate(shape)}
    for a, start, stop, step in zip(axes, starts, stops, steps, strict=True):
        if step <= 0:
            raise NotImportedError("a slice backwards")
        axis = within(a, len(shape))
        low, high, _ = slice(start, stop, step).indices(shape[axis])
        bounds[axis] = low, max(low, high), step
    begin, end, by = zip(*bounds.values(), strict=True)
    return movement.Slice(begin, end, by).one(n[0])


def transposed(n: Node) -> Value:
    return movement.transpose(n[0], tuple(n.attribute("perm", list(range(n[0].rank))[::-1])))


def expanded(n: Node) -> Value:
    return movement.broadcast_to(n[0], e.broadcast(sizes(n[0]), tuple(n.ints(1))))


def shape_of(n: Node) -> Value:
    start, end = n.attribute("start", 0), n.attribute("end", None)
    return constant(np.array(sizes(n[0])[start:end], np.int64), DType.int64)


def cast(n: Node) -> Value:
    from onnx import helper

    to = helper.tensor_dtype_to_np_dtype(n.attribute("to")).name
    if to not in DTYPES:
        raise NotImportedError(f"numbers as {to}")
    return e.cast(n[0], DTYPES[to])


def constant_node(n: Node) -> Value:
    value = n.attribute("value")
    if value is None:
        for name, dtype in (("value_float", DType.float32), ("value_floats", DType.float32), ("value_int", DType.int64), ("value_ints", DType.int64)):
            if (found := n.attribute(name)) is not None:
                return constant(found, dtype)
        raise NotImportedError("a constant that is no array of numbers")
    if value.dtype.name not in DTYPES:
        raise NotImportedError(f"numbers as {value.dtype.name}")
    return constant(value, DTYPES[value.dtype.name])


def clip(n: Node) -> Value:
    y = n[0]
    y = e.maximum(y, n[1] if n.has(1) else float(n.attribute("min"))) if n.has(1) or n.attribute("min") is not None else y
    return e.minimum(y, n[2] if n.has(2) else float(n.attribute("max"))) if n.has(2) or n.attribute("max") is not None else y


def leaky(n: Node, default: float = 0.01) -> Value:
    return e.where(e.less(n[0], 0.0), n[0] * float(n.attribute("alpha", default)), n[0])


def elu(n: Node) -> Value:
    return e.where(e.less(n[0], 0.0), e.expm1(e.minimum(n[0], 0.0)) * float(n.attribute("alpha", 1.0)), n[0])


def selu(n: Node) -> Value:
    alpha, gamma = float(n.attribute("alpha", 1.67326319217681884765625)), float(n.attribute("gamma", 1.05070102214813232421875))
    return e.where(e.less(n[0], 0.0), e.expm1(e.minimum(n[0], 0.0)) * (alpha * gamma), n[0] * gamma)


def hard_sigmoid(n: Node) -> Value:
    return activation.clip(n[0] * float(n.attribute("alpha", 0.2)) + float(n.attribute("beta", 0.5)), 0.0, 1.0)


def dropout(n: Node) -> Value:
    if n.has(2) and n.static(2).any():
        raise NotImportedError("training_mode")
    return n[0]


def divided(n: Node) -> Value:
    if not n[0].dtype.is_float:
        raise NotImportedError("whole numbers")
    return n[0] / n[1]


RULES: Mapping[str, Rule] = {
    "Add": binary(e.Add), "Sub": binary(e.Subtract), "Mul": binary(e.Multiply), "Div": divided, "Max": many(e.Maximum), "Min": many(e.Minimum),
    "Sum": many(e.Add), "Mean": lambda n: fold(Value.__add__, n.inputs) * (1.0 / len(n.inputs)),
    "Less": binary(e.Less), "LessOrEqual": binary(e.LessEqual), "Equal": binary(e.Equal), "And": binary(e.And), "Or": binary(e.Or),
    "Greater": lambda n: e.Less().one(n[1], n[0]), "GreaterOrEqual": lambda n: e.LessEqual().one(n[1], n[0]),
    "Not": lambda n: e.Not().one(n[0]), "Where": lambda n: e.Where().one(n[0], n[1], n[2]),
    "Abs": unary(e.absolute), "Neg": lambda n: e.Negative().one(n[0]), "Sign": unary(e.sign), "Floor": unary(e.floor), "Round": unary(e.round_),
    "Ceil": lambda n: -e.floor(-n[0]), "Exp": unary(e.exp), "Log": unary(e.log), "Sqrt": unary(e.sqrt), "Sin": unary(e.sin), "Cos": unary(e.cos),
    "Atan": unary(e.arctan), "Tanh": unary(e.tanh), "Erf": unary(e.erf), "Reciprocal": lambda n: 1.0 / n[0], "Identity": unary(lambda x: x),
    "Sigmoid": unary(e.sigmoid), "Relu": unary(e.relu), "Softplus": unary(activation.softplus), "Clip": clip,
    "LeakyRelu": leaky, "Elu": elu, "Selu": selu,
    "PRelu": lambda n: e.where(e.less(n[0], 0.0), n[0] * n[1], n[0]), "HardSigmoid": hard_sigmoid,
    "Softsign": lambda n: n[0] / (e.absolute(n[0]) + 1.0), "HardSwish": lambda n: n[0] * activation.clip(n[0] * (1 / 6) + 0.5, 0.0, 1.0),
    "Gelu": lambda n: activation.gelu(n[0], n.attribute("approximate", "none") == "tanh"), "Mish": lambda n: n[0] * e.tanh(activation.softplus(n[0])),
    "Softmax": lambda n: along(n, softmax.softmax), "LogSoftmax": lambda n: along(n, softmax.log_softmax),
    "Conv": convolution, "MaxPool": pooled(pool.MaxPool), "AveragePool": pooled(pool.AvgPool),
    "GlobalAveragePool": everywhere(reduce.mean), "GlobalMaxPool": everywhere(reduce.max_),
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "InstanceNormalization": instance_norm, "LRN": local_response,
    "MatMul": product, "Gemm": gemm,
    "ReduceSum": reduced(reduce.sum_), "ReduceMax": reduced(reduce.max_), "ReduceMin": reduced(reduce.min_), "ReduceMean": reduced(means),
    "ReduceL1": reduced(lambda x, a, k: reduce.sum_(e.absolute(x), a, k)),
    "ReduceL2": reduced(lambda x, a, k: e.sqrt(reduce.sum_(e.square(x), a, k))),
    "ReduceSumSquare": reduced(lambda x, a, k: reduce.sum_(e.square(x), a, k)), "ReduceLogSum": reduced(lambda x, a, k: e.log(reduce.sum_(x, a, k))),
    "Reshape": reshaped, "Flatten": flattened, "Squeeze": squeezed, "Unsqueeze": unsqueezed, "Concat": joined, "Slice": cut, "Transpose": transposed,
    "Expand": expanded, "Shape": shape_of, "Cast": cast, "Constant": constant_node, "Dropout": dropout,
}  # fmt: skip
