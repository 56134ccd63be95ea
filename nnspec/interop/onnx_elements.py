"""Ops that go element by element as ONNX nodes: all inputs in one order of axes, and what a convolution takes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from nnspec.interop.onnx_writer import Perm, Writer, channels_first, plain
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Op
from nnspec.ops import activation, rounding, rows
from nnspec.ops import elementwise as e

Rule: TypeAlias = Callable[[Writer, Call], None]


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


RULES: Mapping[type[Op], Rule] = {
    e.Cast: cast, rounding.Rounded: rounded, rows.StopGradient: alias, e.Step: step, e.Remainder: remainder, e.FloorDivide: floor_divide,
    e.Square: lambda w, c: through(w, c, lambda x: w.node("Mul", x, x)),
    e.Power: with_number("Pow", lambda op: op.exponent),  # type: ignore[attr-defined]  # Power's
    e.Log1p: lambda w, c: through(w, c, lambda x: w.node("Log", w.node("Add", x, w.number(1, c.inputs[0].dtype)))),
    e.Expm1: lambda w, c: through(w, c, lambda x: w.node("Sub", w.node("Exp", x), w.number(1, c.inputs[0].dtype))),
    activation.Softplus: lambda w, c: through(w, c, lambda x: w.node("Softplus", x)), activation.Gelu: gelu, activation.Clip: clip,
}  # fmt: skip
