"""Every op as the ONNX nodes that compute it: by the name that it declares where it is one node, in several otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.onnx_writer import Perm, Writer, channels_first, plain
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Composite, Op
from nnspec.ir.types import DType, Symbol
from nnspec.ops import activation, conv, index, matmul, movement, normalization, pool, reduce, resample, rounding, rows, softmax
from nnspec.ops import elementwise as e

Rule: TypeAlias = Callable[[Writer, Call], None]
WHOLE: Mapping[type[Op], Callable[[Call], bool]] = {  # composites that are one node, and when
    softmax.Softmax: lambda c: True,
    softmax.LogSoftmax: lambda c: True,
    activation.Softplus: lambda c: True,
    activation.Gelu: lambda c: True,
    activation.Clip: lambda c: True,
    normalization.LayerNorm: lambda c: c.op.axes in ((-1,), (c.inputs[0].rank - 1,)) and c.inputs[1].rank == 1,  # type: ignore[attr-defined]  # its own
    normalization.GroupNorm: lambda c: c.inputs[0].rank > 2,
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


# Element by element


def agreed(w: Writer, values: tuple[Value, ...], rank: int) -> Perm:
    """The order of axes for which the fewest values have to be transposed; of equals one with channels first."""
    moving = [v for v in values if v not in w.known]
    orders = {p for v in moving if v.rank == rank for p in w.perms(v)} | {plain(rank)}

    def cost(perm: Perm) -> int:
        return sum(perm not in w.perms(v) if v.rank == rank else v.rank > 0 and perm != plain(rank) for v in moving)

    return min(sorted(orders, reverse=True), key=lambda p: (cost(p), p == plain(rank)))


def through(w: Writer, call: Call, make: Callable[..., str]) -> None:
    """``make`` on the names of the inputs, all in one order."""
    (y,) = call.outputs
    perm = agreed(w, call.inputs, y.rank)
    w.put(y, make(*(w.spread(v, y.rank, perm) for v in call.inputs)), perm)


def elementwise(w: Writer, call: Call) -> None:
    if not folded(w, call):
        through(w, call, lambda *x: w.node(str(call.op.onnx), *x))


def folded(w: Writer, call: Call) -> bool:
    """Whether the call was taken into the convolution before it: a channel's factor into the kernel, what is added into its bias.

        (conv(x, w) + b - mean) * scale + beta   ->   conv(x, w * scale, (b - mean) * scale + beta)
    """
    (y,) = call.outputs
    if len(call.inputs) != 2 or not y.dtype.is_float or type(call.op) not in (e.Add, e.Subtract, e.Multiply):
        return False
    a, b = call.inputs
    x, c = (a, b) if b in w.known else (b, a)
    perm = channels_first(y.rank) if y.rank > 2 else ()
    if isinstance(call.op, e.Subtract) and x is b:
        return False
    if c not in w.known or x in w.known or x.shape != y.shape or w.uses[x] != 1 or w.perms(x) != [perm]:
        return False
    node = w.made.get(w.get(x, perm))
    if node is None or node.kind not in ("Conv", "ConvTranspose") or node.inputs[1] not in w.initializers:
        return False
    array, channels = w.known[c], int(y.shape[-1])  # type: ignore[arg-type]  # of a kernel that is known
    if array.size != 1 and (array.shape[-1] != channels or array.size != channels):
        return False
    values = np.broadcast_to(array.reshape(-1), (channels,))
    bias = w.initializers[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(channels, y.dtype.numpy)
    kernel = w.initializers[node.inputs[1]]
    if isinstance(call.op, e.Multiply):
        if node.kind != "Conv":
            return False
        scaled = np.ascontiguousarray(kernel * values.reshape(-1, *(1,) * (kernel.ndim - 1)))
        node.inputs[1] = w.array(scaled, f"{node.layer or 'conv'}/kernel_folded")  # another convolution may read the kernel as it was
        bias = bias * values
    else:
        bias = bias + values if isinstance(call.op, e.Add) else bias - values
    if len(node.inputs) > 2:
        w.initializers[node.inputs[2]] = bias
    elif not isinstance(call.op, e.Multiply):
        node.inputs.append(w.array(bias, f"{node.layer or 'conv'}/bias"))
    w.put(y, w.get(x, perm), perm)
    return True


def cast(w: Writer, call: Call) -> None:
    through(w, call, lambda x: w.node("Cast", x, to=call.outputs[0].dtype))


def alias(w: Writer, call: Call) -> None:
    for perm, name in list(w.names[call.inputs[0]].items()):
        w.put(call.outputs[0], name, perm)


def rounded(w: Writer, call: Call) -> None:
    to, own = call.op.to, call.outputs[0].dtype  # type: ignore[attr-defined]  # Rounded's
    through(w, call, lambda x: w.node("Cast", w.node("Cast", x, to=to), to=own))


def step(w: Writer, call: Call) -> None:
    dtype = call.outputs[0].dtype
    through(w, call, lambda x: w.node("Cast", w.node("Greater", x, w.number(0, dtype)), to=dtype))


def with_number(kind: str, number: Callable[[Op], float], first: bool = False) -> Rule:
    """A node of the value and a number."""

    def rule(w: Writer, call: Call) -> None:
        def make(x: str) -> str:
            n = w.number(number(call.op), call.inputs[0].dtype)
            return str(w.node(kind, *((n, x) if first else (x, n))))

        through(w, call, make)

    return rule


def remainder(w: Writer, call: Call) -> None:
    if not call.outputs[0].dtype.is_float:
        through(w, call, lambda a, b: w.node("Mod", a, b))
    else:
        through(w, call, lambda a, b: w.node("Sub", a, w.node("Mul", b, w.node("Floor", w.node("Div", a, b)))))


def floor_divide(w: Writer, call: Call) -> None:
    if not call.outputs[0].dtype.is_float:  # Div of whole numbers cuts: what is left goes first
        through(w, call, lambda a, b: w.node("Div", w.node("Sub", a, w.node("Mod", a, b)), b))
    else:
        through(w, call, lambda a, b: w.node("Floor", w.node("Div", a, b)))


def clip(w: Writer, call: Call) -> None:
    op, dtype = call.op, call.inputs[0].dtype
    through(w, call, lambda x: w.node("Clip", x, w.number(op.low, dtype), w.number(op.high, dtype)))  # type: ignore[attr-defined]  # Clip's


def gelu(w: Writer, call: Call) -> None:
    kind = "tanh" if call.op.approximate else "none"  # type: ignore[attr-defined]  # Gelu's
    through(w, call, lambda x: w.node("Gelu", x, approximate=kind))


# Along axes


def ordered(w: Writer, x: Value) -> Perm:
    """An order in which a value is at hand; of several one with channels first."""
    return max(w.perms(x)) if w.perms(x) else plain(x.rank)


def last_axis(w: Writer, call: Call) -> None:
    x, perm = call.inputs[0], ordered(w, call.inputs[0])
    w.put(call.outputs[0], w.node(str(call.op.onnx), w.get(x, perm), axis=perm.index(x.rank - 1)), perm)


def reduction(w: Writer, call: Call) -> None:
    op, x, y = call.op, call.inputs[0], call.outputs[0]
    assert isinstance(op, reduce.Reduction)
    perm = ordered(w, x)
    rest = [a for a in perm if a not in op.axis]
    out = perm if op.keep else tuple(sorted(rest).index(a) for a in rest)
    axes = w.ints(sorted(perm.index(a) for a in op.axis))
    w.put(y, w.node(str(op.onnx), w.get(x, perm), axes, keepdims=int(op.keep)), out)


def arg_max(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, reduce.ArgMax)
    perm = ordered(w, x)
    rest = [a for a in perm if a != op.axis]
    w.put(call.outputs[0], w.node("ArgMax", w.get(x, perm), axis=perm.index(op.axis), keepdims=0), tuple(sorted(rest).index(a) for a in rest))


def concat(w: Writer, call: Call) -> None:
    op, y = call.op, call.outputs[0]
    assert isinstance(op, movement.Concat)
    perm = agreed(w, call.inputs, y.rank)
    w.put(y, w.node("Concat", *(w.get(v, perm) for v in call.inputs), axis=perm.index(op.axis)), perm)


def cut(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Slice)
    perm = ordered(w, x)
    axes = [i for i, d in enumerate(x.shape) if (op.start[i], op.stop[i], op.step[i]) != (0, d, 1)]
    if not axes:
        return alias(w, call)
    bounds = [_bound(w, [side[i] for i in axes]) for side in (op.start, op.stop)]
    w.put(call.outputs[0], w.node("Slice", w.get(x, perm), *bounds, w.ints(perm.index(i) for i in axes), w.ints(op.step[i] for i in axes)), perm)


def _bound(w: Writer, bounds: list[Any]) -> str:
    return w.shape(tuple(bounds)) if any(isinstance(b, Symbol) for b in bounds) else w.ints(bounds)


def pad(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, movement.Pad)
    if any(op.inner):
        raise w.refuse(call, "elements between neighbours")
    perm = ordered(w, x)
    around = w.ints([op.low[a] for a in perm] + [op.high[a] for a in perm])
    w.put(call.outputs[0], w.node("Pad", w.get(x, perm), around, w.number(op.value, x.dtype)), perm)


def transposed(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, movement.Transpose)
    for perm, name in list(w.names[call.inputs[0]].items()):  # the same tensor is the output in another order
        w.put(call.outputs[0], name, tuple(op.axes.index(a) for a in perm))


def reshaped(w: Writer, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    long = [a for a in range(x.rank) if x.shape[a] != 1]
    for perm in w.perms(x):
        if [a for a in perm if x.shape[a] != 1] == long:  # the elements lie as they do here
            shape = tuple(x.shape[a] for a in perm)
            return w.put(y, w.reshape(w.get(x, perm), shape, y.shape))
    w.put(y, w.reshape(w.get(x), x.shape, y.shape))


def expanded(w: Writer, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    perm = agreed(w, (x,), y.rank)
    own = (*(1,) * (y.rank - x.rank), *x.shape)
    shape = tuple(1 if isinstance(y.shape[a], Symbol) and own[a] == y.shape[a] else y.shape[a] for a in perm)
    w.put(y, w.node("Expand", w.spread(x, y.rank, perm), w.shape(shape)), perm)


def resampled(w: Writer, call: Call) -> None:
    op, x = call.op, call.inputs[0]
    assert isinstance(op, resample.Resample)
    n, m = x.shape[op.axis], op.length
    if not isinstance(n, int) or not isinstance(m, int):
        raise w.refuse(call, "a length that is not known")
    first, second, share = op.reads(n, m)
    perm = ordered(w, x)
    axis, name = perm.index(op.axis), w.get(x, perm)
    y = w.node("Gather", name, w.ints(first), axis=axis)
    if share.any():
        column = share.reshape(-1, *(1,) * (x.rank - axis - 1)).astype(x.dtype.numpy)
        other = w.node("Gather", name, w.ints(second), axis=axis)
        y = w.node("Add", w.node("Mul", y, w.array(1 - column)), w.node("Mul", other, w.array(column)))
    w.put(call.outputs[0], y, perm)


# Windows


def _windows(padding: conv.Padding, x: Value, size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> dict[str, Any]:
    spatial = x.shape[1:-1]
    if padding == "same" and any(isinstance(d, Symbol) for d in spatial):
        return {"auto_pad": "SAME_UPPER", "strides": stride}
    around = conv.pads(padding, spatial, size, stride, dilation)
    return {"pads": [low for low, _ in around] + [high for _, high in around], "strides": stride}


def convolution(w: Writer, call: Call) -> None:
    op, (x, kernel) = call.op, call.inputs
    assert isinstance(op, conv.Conv)
    size = tuple(int(d) for d in kernel.shape[:-2])  # type: ignore[arg-type]  # bound
    n = len(size)
    first = channels_first(x.rank)
    y = w.node("Conv", w.get(x, first), w.get(kernel, (n + 1, n, *range(n))), kernel_shape=size, dilations=op.dilation, group=op.groups,
               **_windows(op.padding, x, size, op.stride, op.dilation))
    w.put(call.outputs[0], y, first)


def convolution_back(w: Writer, call: Call) -> None:
    op, (g, kernel), y = call.op, call.inputs, call.outputs[0]
    assert isinstance(op, conv.ConvInputGrad)
    size = tuple(int(d) for d in kernel.shape[:-2])  # type: ignore[arg-type]  # bound
    if op.padding == "same" and any(isinstance(d, Symbol) for d in op.spatial):
        raise w.refuse(call, "a length that is not known")
    around = conv.pads(op.padding, op.spatial, size, op.stride, op.dilation)
    rest = [d - ((n - 1) * s + (k - 1) * dil + 1 - a - b)
            for d, n, s, k, dil, (a, b) in zip(op.spatial, g.shape[1:-1], op.stride, size, op.dilation, around, strict=True)]
    if any(isinstance(r, Symbol) for r in rest):
        raise w.refuse(call, "a length that is not known")
    n, first = len(size), channels_first(g.rank)
    pads = [low for low, _ in around] + [high for _, high in around]
    made = w.node("ConvTranspose", w.get(g, first), w.get(kernel, (n + 1, n, *range(n))), kernel_shape=size, dilations=op.dilation, group=op.groups,
                  strides=op.stride, pads=pads, output_padding=rest)
    w.put(y, made, first)


def pooled(kind: str, **more: int) -> Rule:
    def rule(w: Writer, call: Call) -> None:
        op, x = call.op, call.inputs[0]
        assert isinstance(op, pool.Pool)
        if any(w.uses[v] for v in call.outputs[1:]):
            raise w.refuse(call, "the places of the largest")
        first = channels_first(x.rank)
        made = w.node(kind, w.get(x, first), kernel_shape=op.size, **more, **_windows(op.padding, x, op.size, op.stride, (1,) * len(op.size)))
        w.put(call.outputs[0], made, first)

    return rule


# Normalisation


def layer_norm(w: Writer, call: Call) -> None:
    w.put(call.outputs[0], w.node("LayerNormalization", *map(w.get, call.inputs), axis=-1, epsilon=float(call.op.epsilon)))  # type: ignore[attr-defined]


def group_norm(w: Writer, call: Call) -> None:
    op, (x, gamma, beta) = call.op, call.inputs
    assert isinstance(op, normalization.GroupNorm)
    first = channels_first(x.rank)
    made = w.node("GroupNormalization", w.get(x, first), w.get(gamma), w.get(beta), num_groups=op.groups, epsilon=float(op.epsilon))
    w.put(call.outputs[0], made, first)


def local_response(w: Writer, call: Call) -> None:
    op, first = call.op, channels_first(4)
    assert isinstance(op, normalization.LocalResponseNorm)
    made = w.node("LRN", w.get(call.inputs[0], first), size=op.size, alpha=float(op.alpha), beta=float(op.beta), bias=float(op.k))
    w.put(call.outputs[0], made, first)


# Products, rows and numbers


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
    w.put(call.outputs[0], w.node("OneHot", _ids(w, call.inputs[0]), w.ints([op.depth]), values, axis=-1))


def pick(w: Writer, call: Call) -> None:
    x, ids = call.inputs
    places = w.node("Unsqueeze", _ids(w, ids), w.ints([-1]))
    w.put(call.outputs[0], w.node("Squeeze", w.node("GatherElements", w.get(x), places, axis=-1), w.ints([-1])))


def take_rows(w: Writer, call: Call) -> None:
    x, ids = call.inputs
    places = w.node("Unsqueeze", w.node("Cast", w.get(ids), to=DType.int64), w.ints([-1]))
    w.put(call.outputs[0], w.node("GatherND", w.get(x), places, batch_dims=1))


def largest(w: Writer, call: Call) -> None:
    op = call.op
    assert isinstance(op, rows.Largest)
    for v, name in zip(call.outputs, w.node("TopK", w.get(call.inputs[0]), w.ints([op.k]), outputs=2), strict=True):
        w.put(v, name)


RULES: Mapping[type[Op], Rule] = {
    e.Cast: cast, rounding.Rounded: rounded, rows.StopGradient: alias, e.Step: step, e.Remainder: remainder, e.FloorDivide: floor_divide,
    e.Square: lambda w, c: through(w, c, lambda x: w.node("Mul", x, x)),
    e.Power: with_number("Pow", lambda op: op.exponent),  # type: ignore[attr-defined]  # Power's
    e.Log1p: lambda w, c: through(w, c, lambda x: w.node("Log", w.node("Add", x, w.number(1, c.inputs[0].dtype)))),
    e.Expm1: lambda w, c: through(w, c, lambda x: w.node("Sub", w.node("Exp", x), w.number(1, c.inputs[0].dtype))),
    activation.Softplus: lambda w, c: through(w, c, lambda x: w.node("Softplus", x)), activation.Gelu: gelu, activation.Clip: clip,
    softmax.Softmax: last_axis, softmax.LogSoftmax: last_axis,
    reduce.Sum: reduction, reduce.Max: reduction, reduce.Min: reduction, reduce.ArgMax: arg_max,
    movement.Concat: concat, movement.Slice: cut, movement.Pad: pad, movement.Transpose: transposed, movement.Reshape: reshaped,
    movement.BroadcastTo: expanded, resample.Resample: resampled,
    conv.Conv: convolution, conv.ConvInputGrad: convolution_back,
    pool.MaxPool: pooled("MaxPool"), pool.WindowMax: pooled("MaxPool"), pool.AvgPool: pooled("AveragePool", count_include_pad=0),
    normalization.LayerNorm: layer_norm, normalization.GroupNorm: group_norm, normalization.LocalResponseNorm: local_response,
    matmul.MatMul: product, matmul.Linear: linear,
    index.Gather: gather, index.OneHot: one_hot, index.Pick: pick, rows.TakeRows: take_rows, rows.Largest: largest,
}  # fmt: skip
