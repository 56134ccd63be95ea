"""ONNX's recurrent networks, written out step by step. Source: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnspec.interop.nodes.node import Node, NotImportedError, Rule, fixed, sizes
from nnspec.ir.graph import Value, constant
from nnspec.ops import activation, movement
from nnspec.ops import elementwise as e

LONGEST = 1024  # steps that are written out
Function = Callable[[Value], Value]


def functions(alpha: float | None, beta: float | None) -> Mapping[str, Function]:
    """Activations by name in small letters."""
    def a(usual: float) -> float:
        return usual if alpha is None else alpha

    def b(usual: float) -> float:
        return usual if beta is None else beta

    return {
        "sigmoid": e.sigmoid, "tanh": e.tanh, "relu": e.relu, "affine": lambda x: x * a(1.0) + b(0.0),
        "leakyrelu": lambda x: e.where(e.less(x, 0.0), x * a(0.01), x), "thresholdedrelu": lambda x: e.where(e.greater(x, a(1.0)), x, 0.0),
        "scaledtanh": lambda x: e.tanh(x * b(1.0)) * a(1.0), "hardsigmoid": lambda x: activation.clip(x * a(0.2) + b(0.5), 0.0, 1.0),
        "elu": lambda x: e.where(e.less(x, 0.0), e.expm1(e.minimum(x, 0.0)) * a(1.0), x), "softsign": lambda x: x / (e.absolute(x) + 1.0),
        "softplus": activation.softplus,
    }  # fmt: skip


@dataclass(frozen=True)
class Weights:
    """Those of one direction: ``(gates * h, …)`` turned, one bias for what comes in and one for the state, and LSTM's peepholes."""

    w: Value
    r: Value
    of_input: Value
    of_state: Value
    peepholes: Sequence[Value]
    functions: Sequence[Function]
    clip: float | None

    def limited(self, x: Value) -> Value:
        return x if self.clip is None else activation.clip(x, -self.clip, self.clip)


State = tuple[Value, ...]  # the output, and LSTM's cell
Step = Callable[[Node, Weights, Value, State], State]


def gates(x: Value, count: int) -> list[Value]:
    """The last axis in parts."""
    h = sizes(x)[-1] // count
    return [movement.slice_axis(x, x.rank - 1, i * h, (i + 1) * h) for i in range(count)]


def plain_step(n: Node, w: Weights, x: Value, state: State) -> State:
    return (w.functions[0](w.limited(x + state[0] @ w.r + w.of_state)),)


def gru_step(n: Node, w: Weights, x: Value, state: State) -> State:
    (h,), f, g = state, *w.functions[:2]
    own, rest = gates(x, 3), gates(w.r, 3)
    bias = gates(w.of_state, 3)
    update, reset = (f(w.limited(own[i] + h @ rest[i] + bias[i])) for i in (0, 1))
    if n.attribute("linear_before_reset", 0):
        new = g(w.limited(own[2] + reset * (h @ rest[2] + bias[2])))
    else:
        new = g(w.limited(own[2] + (reset * h) @ rest[2] + bias[2]))
    return ((1.0 - update) * new + update * h,)


def lstm_step(n: Node, w: Weights, x: Value, state: State) -> State:
    (h, c), (f, g, last) = state, w.functions[:3]
    into, out, forget, new = gates(x + h @ w.r + w.of_state, 4)
    if w.peepholes:
        into, forget = into + w.peepholes[0] * c, forget + w.peepholes[2] * c
    opened = f(w.limited(into))
    kept = 1.0 - opened if n.attribute("input_forget", 0) else f(w.limited(forget))
    cell = kept * c + opened * g(w.limited(new))
    if w.peepholes:
        out = out + w.peepholes[1] * cell
    return f(w.limited(out)) * last(cell), cell


def recurrent(count: int, usual: Sequence[str], step: Step) -> Rule:
    """A rule for so many gates and usual activations of a direction."""

    def rule(n: Node) -> tuple[Value, ...]:
        early = bool(n.attribute("layout", 0))  # rows first
        x = movement.transpose(n[0], (1, 0, 2)) if early else n[0]
        length, rows, _ = sizes(x)
        directions, h = sizes(n[1])[0], sizes(n[2])[2]
        way = n.text("direction", "forward", "reverse", "bidirectional")
        if directions != 1 + (way == "bidirectional") or length > LONGEST:
            raise NotImportedError(f"{directions} directions, {length} steps, of which at most {LONGEST:,} are written out")
        mask = None
        if n.has(4):
            lengths = movement.reshape(e.cast(n[4], fixed(0).dtype), (1, rows, 1))
            mask = e.Less().one(fixed(np.arange(length).reshape(-1, 1, 1)), lengths)
        found = []
        for d in range(directions):
            back = way == "reverse" or d == 1
            found.append(run(n, step, weights(n, d, directions, count, usual), x, starts(n, d, rows, h, early, len(usual) == 3), mask, back))
        ys = movement.concat(tuple(movement.reshape(y, (length, 1, rows, h)) for y, _ in found), 1)
        ends = [movement.concat(tuple(movement.reshape(s[i], (1, rows, h)) for _, s in found), 0) for i in range(len(found[0][1]))]
        if early:
            return movement.transpose(ys, (2, 0, 1, 3)), *(movement.transpose(v, (1, 0, 2)) for v in ends)
        return ys, *ends

    return rule


def part(v: Value, d: int) -> Value:
    """One direction's share of the first axis."""
    return movement.reshape(movement.slice_axis(v, 0, d, d + 1), sizes(v)[1:])


def weights(n: Node, d: int, directions: int, count: int, usual: Sequence[str]) -> Weights:
    r = movement.swap(part(n[2], d))
    wide = sizes(r)[1]
    bias = gates(part(n[3], d), 2) if n.has(3) else [constant(np.zeros(wide), r.dtype)] * 2
    named = [str(s.decode() if isinstance(s, bytes) else s).lower() for s in n.attribute("activations", list(usual) * directions)]
    own = named[d * len(usual) : (d + 1) * len(usual)]
    alpha, beta = (list(n.attribute(k, [])) for k in ("activation_alpha", "activation_beta"))
    made = []
    for i, name in enumerate(own):
        at = d * len(usual) + i
        known = functions(*(float(v[at]) if at < len(v) else None for v in (alpha, beta)))
        if name not in known:
            raise NotImportedError(f"the activation '{name[:50]}'")
        made.append(known[name])
    if len(made) != len(usual):
        raise NotImportedError(f"{len(named)} activations for {directions} directions of {len(usual)}")
    peepholes = gates(part(n[7], d), 3) if count == 4 and n.has(7) else []
    return Weights(movement.swap(part(n[1], d)), r, bias[0], bias[1], peepholes, made, n.attribute("clip"))


def starts(n: Node, d: int, rows: int, h: int, early: bool, cell: bool) -> State:
    """What every state is before the first step."""
    def start(i: int) -> Value:
        if not n.has(i):
            return constant(np.zeros((rows, h)), n[0].dtype)
        return part(movement.transpose(n[i], (1, 0, 2)) if early else n[i], d)

    return (start(5), start(6)) if cell else (start(5),)


def run(n: Node, step: Step, w: Weights, x: Value, state: State, mask: Value | None, back: bool) -> tuple[Value, State]:
    """The outputs of all steps and the last states; a row that is over keeps its states and gives zeros."""
    length, rows, deep = sizes(x)
    inputs = movement.reshape(movement.reshape(x, (length * rows, deep)) @ w.w, (length, rows, sizes(w.w)[1])) + w.of_input
    ys: dict[int, Value] = {}
    for t in range(length)[:: -1 if back else 1]:
        new = step(n, w, part(inputs, t), state)
        if mask is None:
            state, ys[t] = new, new[0]
        else:
            on = part(mask, t)
            state, ys[t] = tuple(e.Where().one(on, a, b) for a, b in zip(new, state, strict=True)), e.where(on, new[0], 0.0)
    return movement.concat(tuple(movement.reshape(ys[t], (1, *sizes(ys[t]))) for t in range(length)), 0), state


RULES: Mapping[str, Rule] = {
    "RNN": recurrent(1, ("tanh",), plain_step), "GRU": recurrent(3, ("sigmoid", "tanh"), gru_step),
    "LSTM": recurrent(4, ("sigmoid", "tanh", "tanh"), lstm_step),
}  # fmt: skip
