"""Nodes that are a layer as they stand: convolutions, products, normalisation, pools, activations; the others are raised op by op."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Step
from nnspec.interop.raising.raiser import Raiser, numbers
from nnspec.interop.raising.windows import average_pool, convolution, max_pool, transposed
from nnspec.ir.graph import Value
from nnspec.ir.op import Array

Rule: TypeAlias = Callable[[Raiser, Step], "bool | None"]  # False: raise it op by op


def single(r: Raiser, s: Step, kind: str, **fields: Any) -> None:
    """A layer that works element by element, in whatever order of axes."""
    x, y = s.node[0], s.outputs[0]
    if x in r.flat and not r.perms(x):
        flat = r.flat[x]
        r.rows[y], r.flat[y] = 0, type(flat)(r.emit(kind, flat.source, made=flat.source.entry.shape, **fields), flat.shape, flat.perm)
        return
    perm = r.agreed([x], x.rank)
    r.put(y, r.emit(kind, r.get(x, perm), **fields), perm, r.rows[x])


def activation(kind: str, **fields: Any) -> Rule:
    def rule(r: Raiser, s: Step) -> bool:
        if r.known(s.node[0]) is not None or not s.node[0].dtype.is_float:
            return False
        single(r, s, kind, **fields)
        return True

    return rule


def with_number(kind: str, field: str, attribute: str, default: float) -> Rule:
    """An activation with one number."""

    def rule(r: Raiser, s: Step) -> bool:
        return bool(activation(kind, **{field: short(s.node.attribute(attribute, default))})(r, s))

    return rule


def short(value: Any) -> float:
    """A number of single precision as a person would have written it: in six digits, where they are as near as can be."""
    near = float(f"{float(value):.6g}")
    return near if abs(near - float(value)) <= 2e-7 * abs(near) else float(numbers(np.asarray(value, np.float32)))


def only_if(rule: Rule, **wanted: float) -> Rule:
    """The rule where attributes have the numbers that the layer stands for."""
    return lambda r, s: all(abs(float(s.node.attribute(k, v)) - v) < 1e-6 for k, v in wanted.items()) and rule(r, s)


def along_last(kind: str) -> Rule:
    """A layer over the last axis: the order that has the node's axis there."""

    def rule(r: Raiser, s: Step) -> bool:
        x, y, axis = s.node[0], s.outputs[0], int(s.node.attribute("axis", -1 if s.node.opset >= 13 else 1))
        axis = axis % x.rank
        if r.known(x) is not None or axis == r.rows[x] or (s.node.opset < 13 and prod(sizes(x)[axis + 1 :]) > 1):
            return False
        perm = r.channels_last(x, axis)
        r.put(y, r.emit(kind, r.get(x, perm)), perm, r.rows[x])
        return True

    return rule


def alias(r: Raiser, s: Step) -> None:
    r.alias(s.outputs[0], s.node[0])


def dropout(r: Raiser, s: Step) -> bool:
    x = s.node[0]
    rate = float(s.node.static(1).reshape(())) if s.node.has(1) else float(s.node.attribute("ratio", 0.5))
    if r.known(x) is not None or not 0 < rate < 1 or s.node.count > 1:
        return False
    single(r, s, "dropout", rate=short(rate))
    return True


def turned(r: Raiser, s: Step) -> None:
    x = s.node[0]
    r.alias(s.outputs[0], x, tuple(int(a) for a in s.node.attribute("perm", list(range(x.rank))[::-1])))


def reshaped(r: Raiser, s: Step) -> None:
    r.reshape(s.outputs[0], s.node[0])


def clip(r: Raiser, s: Step) -> bool:
    """The clips that have a name."""
    bounds = [float(s.node.static(i).reshape(())) if s.node.has(i) else s.node.attribute(k) for i, k in ((1, "min"), (2, "max"))]
    names: Mapping[tuple[Any, Any], str] = {(0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh", (0.0, None): "relu"}
    name = names.get((bounds[0], bounds[1]))
    return name is not None and bool(activation(name)(r, s))


def prelu(r: Raiser, s: Step) -> bool:
    x, slope = s.node[0], r.array(s.node[1], "a slope")
    channels = sizes(x)[1] if x.rank > 1 else 1
    if slope.size == 1:
        perm, weights = r.agreed([x], x.rank), slope.reshape(1)
    elif slope.size == channels and slope.shape[:1] == (channels,) or (slope.ndim == x.rank and slope.shape[1] == slope.size):
        perm, weights = r.channels_last(x), slope.reshape(-1)
    else:
        return False
    r.put(s.outputs[0], r.emit("prelu", r.get(x, perm), weights={"alpha": weights}, shared=True if slope.size == 1 else None), perm, r.rows[x])
    return True


# Products


def dense(r: Raiser, x: Value, y: Value, kernel: Array, bias: Array | None) -> None:
    """A fully connected layer; behind a flatten its rows stand in the order in which the elements lie here."""
    units, perm = kernel.shape[1], None
    flat = r.flat.get(x)
    if flat is not None and not r.perms(x):
        kernel = kernel.reshape(*flat.shape[1:], units).transpose(*(a - 1 for a in flat.perm[1:]), len(flat.shape) - 1).reshape(-1, units)
        source = r.once(flat.source, "flatten", made=(prod(flat.shape[1:]),))
    else:
        perm = r.channels_last(x, x.rank - 1)
        source = r.get(x, perm)
    weights = {"kernel": np.ascontiguousarray(kernel)} | ({"bias": np.ascontiguousarray(bias)} if bias is not None else {})
    made = r.emit("dense", source, weights=weights, units=units, bias=None if bias is not None else False)
    r.put(y, made, perm, r.rows[x])


def gemm(r: Raiser, s: Step) -> bool:
    n = s.node
    kernel = r.known(n[1])
    if n.attribute("transA", 0) or kernel is None or r.known(n[0]) is not None or r.rows[n[0]]:
        return False
    kernel = (kernel.T if n.attribute("transB", 0) else kernel) * kernel.dtype.type(n.attribute("alpha", 1.0))
    if not n.has(2):
        dense(r, n[0], s.outputs[0], kernel, None)
        return True
    bias = r.known(n[2])
    if bias is None or bias.size not in (1, kernel.shape[1]) or bias.shape[-1:] not in ((), (1,), (kernel.shape[1],)):
        return False
    beta = bias.dtype.type(n.attribute("beta", 1.0))
    dense(r, n[0], s.outputs[0], kernel, np.broadcast_to(bias.reshape(-1) * beta, kernel.shape[1:]))
    return True


def product(r: Raiser, s: Step) -> bool:
    x, kernel = s.node[0], r.known(s.node[1])
    if kernel is None or kernel.ndim != 2 or r.known(x) is not None or x.rank < 2 or r.rows[x] == x.rank - 1:
        return False
    dense(r, x, s.outputs[0], kernel, None)
    return True


# Normalisation


def batch_norm(r: Raiser, s: Step) -> bool:
    n, x = s.node, s.node[0]
    epsilon, momentum = short(n.attribute("epsilon", 1e-5)), short(n.attribute("momentum", 0.9))
    held = [r.known(n[i]) for i in range(1, 5)]
    if epsilon <= 0 or not 0 <= momentum <= 1 or any(a is None for a in held) or r.known(x) is not None or n.attribute("training_mode", 0):
        return False
    weights = {k: a for k, a in zip(("gamma", "beta", "moving_mean", "moving_variance"), held, strict=True) if a is not None}
    perm = r.channels_last(x)
    r.put(s.outputs[0], r.emit("batch_norm", r.get(x, perm), weights=weights, epsilon=epsilon, momentum=momentum), perm, r.rows[x])
    return True


def instance_norm(r: Raiser, s: Step) -> bool:
    n, x = s.node, s.node[0]
    perm = r.channels_last(x)
    weights = {"gamma": r.array(n[1], "a scale"), "beta": r.array(n[2], "a shift")}
    r.put(s.outputs[0], r.emit("instance_norm", r.get(x, perm), weights=weights, epsilon=short(n.attribute("epsilon", 1e-5))), perm, r.rows[x])
    return True


def group_norm(r: Raiser, s: Step) -> bool:
    n, x, groups = s.node, s.node[0], int(s.node.attribute("num_groups"))
    scale, shift = r.array(n[1], "a scale"), r.array(n[2], "a shift")
    channels = sizes(x)[1]
    scale, shift = (np.repeat(a, channels // a.size) for a in (scale, shift))  # before opset 21 one a group
    perm = r.channels_last(x)
    epsilon = short(n.attribute("epsilon", 1e-5))
    kind = "instance_norm" if groups == channels else "group_norm"
    made = r.emit(kind, r.get(x, perm), weights={"gamma": scale, "beta": shift}, groups=None if groups == channels else groups, epsilon=epsilon)
    r.put(s.outputs[0], made, perm, r.rows[x])
    return True


def layer_norm(r: Raiser, s: Step) -> bool:
    n, x = s.node, s.node[0]
    axis = int(n.attribute("axis", -1)) % x.rank
    scale, shift = r.known(n[1]), r.known(n[2]) if n.has(2) else None
    shape = sizes(x)[axis:]
    if r.known(x) is not None or r.rows[x] or axis == 0 or n.count > 1 or scale is None or (n.has(2) and shift is None):
        return False
    weights = {k: np.ascontiguousarray(np.broadcast_to(a, shape)) for k, a in (("gamma", scale), ("beta", shift)) if a is not None}
    axes = list(range(axis - x.rank, 0))
    r.put(s.outputs[0], r.emit("layer_norm", r.get(x), weights=weights, epsilon=short(n.attribute("epsilon", 1e-5)),
                               axes=axes if len(axes) > 1 else None, center=None if n.has(2) else False))  # fmt: skip
    return True


def local_response(r: Raiser, s: Step) -> bool:
    n, x = s.node, s.node[0]
    alpha, beta, k = (short(n.attribute(name, d)) for name, d in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    perm = r.channels_last(x)
    if r.known(x) is not None or k <= 0 or alpha < 0:
        return False
    r.put(s.outputs[0], r.emit("local_response_norm", r.get(x, perm), size=int(n.attribute("size")), alpha=alpha, beta=beta, k=k), perm, r.rows[x])
    return True


# Several values


def merge(kind: str) -> Rule:
    """Element by element, where none of the values is a number alone."""

    def rule(r: Raiser, s: Step) -> bool:
        values, y = s.node.inputs, s.outputs[0]
        arrays = [r.known(v) for v in values]
        if len(values) == 1 and arrays[0] is None:
            r.alias(y, values[0])
            return True
        if all(a is not None for a in arrays) or any(a is not None and a.size == 1 for a in arrays) or not y.dtype.is_float:
            return False
        if any(a is None and v.rank < y.rank for a, v in zip(arrays, values, strict=True)):
            return False
        perm = r.agreed(values, y.rank)
        rows = r.rows[next(v for v, a in zip(values, arrays, strict=True) if a is None)]
        parts = [r.get(v, perm) if a is None else r.constant(r.part(a, y.rank, perm)) for v, a in zip(values, arrays, strict=True)]
        r.put(y, r.emit(kind, *parts), perm, rows)
        return True

    return rule


def concat(r: Raiser, s: Step) -> bool:
    values, y = s.node.inputs, s.outputs[0]
    if all(r.known(v) is not None for v in values):
        return False
    axis, perm = int(s.node.attribute("axis")) % y.rank, r.agreed(values, y.rank)
    if axis == perm[0]:
        raise NotImportedError("rows are joined")
    if len(values) == 1:
        r.alias(y, values[0])
        return True
    parts = []
    for v in values:
        a = r.known(v)
        if a is None:
            parts.append(r.get(v, perm))
            continue
        full = a.transpose(perm)
        if (full != full[:1]).any():
            raise NotImportedError("a constant that differs from row to row")
        parts.append(r.constant(np.ascontiguousarray(full[0])))
    at = perm.index(axis) - 1
    r.put(y, r.emit("concat", *parts, axis=None if at == y.rank - 2 else at), perm, r.rows[next(v for v in values if r.known(v) is None)])
    return True


# Over places


def everywhere(kind: str) -> Rule:
    """A global pool, which leaves the axes with length 1."""

    def rule(r: Raiser, s: Step) -> bool:
        x = s.node[0]
        if r.known(x) is not None or not 3 <= x.rank <= 5 or r.rows[x]:
            return False
        perm = r.channels_last(x)
        r.put(s.outputs[0], r.emit(f"global_{kind}_pool{x.rank - 2}d", r.get(x, perm), keep=True), perm)
        return True

    return rule


def reduced(kind: str) -> Rule:
    """A reduction over axes; over all places but channels it is a global pool."""

    def rule(r: Raiser, s: Step) -> bool:
        n, x, y = s.node, s.node[0], s.outputs[0]
        axes = tuple(n.axes(1, x.rank) or range(x.rank))
        keep = bool(n.attribute("keepdims", 1))
        if r.known(x) is not None or (n.attribute("noop_with_empty_axes", 0) and not n.axes(1, x.rank)) or not x.dtype.is_float:
            return False
        reduction(r, x, y, axes, keep, kind)
        return True

    return rule


def reduction(r: Raiser, x: Value, y: Value, axes: tuple[int, ...], keep: bool, kind: str) -> None:
    """``reduce_sum`` and its kin in the order of axes that is at hand."""
    if r.rows[x] in axes:
        raise NotImportedError("a reduction over rows")
    perm = r.agreed([x], x.rank)
    source = r.get(x, perm)
    left = perm if keep else tuple(a for a in perm if a not in axes)
    order = left if keep else tuple(sorted(left).index(a) for a in left)
    places = sorted(perm.index(a) - 1 for a in axes)
    pooled = {"reduce_mean": "avg", "reduce_max": "max"}.get(kind)
    if pooled and 3 <= x.rank <= 5 and places == list(range(x.rank - 2)):
        made = r.emit(f"global_{pooled}_pool{x.rank - 2}d", source, keep=True if keep else None)
    else:
        made = r.emit(kind, source, axes=places if len(places) > 1 else places[0], keep=True if keep else None)
    r.put(y, made, order, order[0])


NODES: Mapping[str, Rule] = {
    "Conv": convolution, "ConvTranspose": transposed, "MaxPool": max_pool, "AveragePool": average_pool,
    "GlobalAveragePool": everywhere("avg"), "GlobalMaxPool": everywhere("max"),
    "Gemm": gemm, "MatMul": product,
    "BatchNormalization": batch_norm, "InstanceNormalization": instance_norm, "GroupNormalization": group_norm,
    "LayerNormalization": layer_norm, "LRN": local_response,
    "Relu": activation("relu"), "Sigmoid": activation("sigmoid"), "Tanh": activation("tanh"), "Atan": activation("arctan"),
    "Softplus": activation("softplus"), "Softsign": activation("softsign"), "Mish": activation("mish"), "Exp": activation("exponential"),
    "HardSwish": activation("hard_silu"), "LeakyRelu": with_number("leaky_relu", "slope", "alpha", 0.01),
    "Elu": with_number("elu", "alpha", "alpha", 1.0), "Celu": with_number("celu", "alpha", "alpha", 1.0),
    "Selu": only_if(activation("selu"), alpha=1.6732632423543772, gamma=1.0507009873554805),
    "HardSigmoid": lambda r, s: abs(s.node.attribute("alpha", 0.2) - 1 / 6) < 1e-6 and only_if(activation("hard_sigmoid"), beta=0.5)(r, s),
    "Gelu": lambda r, s: activation("gelu", approximate=True if s.node.attribute("approximate", "none") == "tanh" else None)(r, s),
    "PRelu": prelu, "Clip": clip, "Softmax": along_last("softmax"), "LogSoftmax": along_last("log_softmax"),
    "Identity": alias, "Dropout": dropout, "Transpose": turned,
    "Reshape": reshaped, "Flatten": reshaped, "Squeeze": reshaped, "Unsqueeze": reshaped,
    "Add": merge("add"), "Sum": merge("add"), "Sub": merge("subtract"), "Mul": merge("multiply"), "Max": merge("maximum"),
    "Min": merge("minimum"), "Mean": merge("average"), "Concat": concat,
    "ReduceMean": reduced("reduce_mean"), "ReduceSum": reduced("reduce_sum"), "ReduceMax": reduced("reduce_max"), "ReduceMin": reduced("reduce_min"),
}  # fmt: skip
