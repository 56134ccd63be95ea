"""Gradients are more of the same graph: reverse accumulation over calls, in the graph's own ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nnspec.ir.graph import Call, Value, calls_of, constant, origin
from nnspec.ir.op import Composite, Gradients
from nnspec.ir.types import TensorType
from nnspec.ops.elementwise import zeros_like
from nnspec.ops.movement import Reshape, broadcast_to


class Vjp(Composite):
    """The gradient of a composite, kept as one region until a backend claims it or it is expanded.

    Inputs are the composite's inputs, then the gradients of its outputs ``given``; outputs are the gradients of
    the inputs ``wanted``.
    """

    of: Composite
    given: tuple[int, ...]
    wanted: tuple[int, ...]

    def build(self, *x: Value) -> Any:
        n = len(x) - len(self.given)
        inputs, upstream = apart(x[:n]), x[n:]
        built = self.of.build(*inputs)
        outputs = built if isinstance(built, tuple) else (built,)
        seeds = {outputs[i]: g for i, g in zip(self.given, upstream, strict=True)}
        found = backpropagate(seeds, [inputs[i] for i in self.wanted])
        results = tuple(zeros_like(inputs[i]) if g is None else g for i, g in zip(self.wanted, found, strict=True))
        return results if len(results) > 1 else results[0]


def apart(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """The values, with one that stands several times replaced by a copy at each: its gradients there are not its sum."""
    counts = Counter(values)
    return tuple(Reshape(v.shape).one(v) if counts[v] > 1 else v for v in values)


def gradients(y: Value, wrt: Sequence[Value]) -> list[Value | None]:
    """d sum(y) / d each of ``wrt``; None where ``y`` does not depend on it."""
    return backpropagate({y: broadcast_to(constant(1, y.dtype), y.shape)}, wrt)


def backpropagate(seeds: Mapping[Value, Value], wrt: Sequence[Value]) -> list[Value | None]:
    """Gradients in ``wrt`` of outputs whose own gradients are ``seeds``."""
    calls = calls_of(seeds)
    needed: set[Value] = set(wrt)
    useful: set[Call] = set()
    for c in calls:
        if any(v in needed for v in c.inputs):
            useful.add(c)
            needed.update(v for v in c.outputs if v.dtype.is_float)
    total: dict[Value, Value] = dict(seeds)
    for c in reversed(calls):
        if c not in useful or not any(v in total for v in c.outputs):
            continue
        with origin(c.origin.layer, "backward"):
            for v, g in zip(c.inputs, _pull(c, [total.get(v) for v in c.outputs], needed), strict=True):
                if g is not None and v in needed:
                    assert g.shape == v.shape, f"{c}: gradient {g.type} for {v.type}"
                    total[v] = total[v] + g if v in total else g
    return [total.get(v) for v in wrt]


def _pull(c: Call, upstream: list[Value | None], needed: set[Value]) -> Gradients:
    """The gradients of a call's inputs."""
    single = len(c.outputs) == 1
    if not isinstance(c.op, Composite) or "grad" in _declared(c.op):
        found = c.op.grad(upstream[0] if single else tuple(upstream), c.outputs[0] if single else c.outputs, *c.inputs)
        if found is not NotImplemented:
            return found
    assert isinstance(c.op, Composite)
    given = tuple(i for i, g in enumerate(upstream) if g is not None)
    wanted = tuple(i for i, v in enumerate(c.inputs) if v in needed and v.dtype.is_float)
    results = Vjp(c.op, given, wanted)(*c.inputs, *(g for g in upstream if g is not None))
    by_input = dict(zip(wanted, results if isinstance(results, tuple) else (results,), strict=True))
    return tuple(by_input.get(i) for i in range(len(c.inputs)))


def _declared(op: Composite) -> set[str]:
    """What the op's classes below Composite declare."""
    return {name for cls in type(op).__mro__[: type(op).__mro__.index(Composite)] for name in vars(cls)}


def tensor_type(array: Any) -> TensorType:
    """The type of a NumPy array."""
    from nnspec.ir.types import DType

    a = np.asarray(array)
    return TensorType(tuple(a.shape), DType(a.dtype.name))
