"""Runs any graph op by op with the ops' references: slow, plain, and the oracle for every compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from nnspec.ir.graph import Call, Graph, Value, abstract, calls_of
from nnspec.ir.op import Array, Composite, Input
from nnspec.ir.types import DType, TensorType


def interpret(graph: Graph, inputs: Mapping[str, Array], watch: Callable[[Call, tuple[Array, ...]], None] | None = None,
              ) -> dict[str, Array]:
    """The graph's outputs for named inputs; ``watch`` sees each call with its results as they are made."""
    fed = {v: inputs[name] for name, v in graph.inputs.items()}
    values = evaluate(graph.outputs.values(), fed, watch)
    return {name: values[v] for name, v in graph.outputs.items()}


def evaluate(outputs: Iterable[Value], fed: Mapping[Value, Array],
             watch: Callable[[Call, tuple[Array, ...]], None] | None = None) -> dict[Value, Array]:
    """Every value that ``outputs`` need, with ``fed`` given. A value is dropped after its last use."""
    outputs = list(outputs)
    calls = calls_of(outputs)
    last = {v: c for c in calls for v in c.inputs}
    kept = set(outputs)
    values: dict[Value, Array] = dict(fed)
    with np.errstate(all="ignore"):
        for c in calls:
            if isinstance(c.op, Input):
                if c.outputs[0] not in values:
                    raise KeyError(c.op.label)
                continue
            results = run(c, [values[v] for v in c.inputs])
            values.update(zip(c.outputs, results, strict=True))
            if watch is not None:
                watch(c, results)
            for v in set(c.inputs):
                if last[v] is c and v not in kept and v not in fed:
                    del values[v]
    return values


def run(c: Call, inputs: list[Array]) -> tuple[Array, ...]:
    """One call's results, each of the dtype and shape that its type promises."""
    out = c.op.reference(*inputs)
    results = out if isinstance(out, tuple) else (out,)
    return tuple(np.asarray(r, dtype=v.type.dtype.numpy) for r, v in zip(results, c.outputs, strict=True))


def run_composite(op: Composite, x: tuple[Array, ...]) -> Any:
    """A composite's result through what it is built from."""
    types = [TensorType(tuple(a.shape), DType(a.dtype.name)) for a in map(np.asarray, x)]
    inputs = [abstract(t) for t in types]
    built = op.build(*inputs)
    outputs = built if isinstance(built, tuple) else (built,)
    values = evaluate(outputs, dict(zip(inputs, map(np.asarray, x), strict=True)))
    return tuple(values[v] for v in outputs) if isinstance(built, tuple) else values[built]
