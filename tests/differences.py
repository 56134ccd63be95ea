"""Gradients compared with differences of the function itself, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nnspec.autodiff import gradients, tensor_type
from nnspec.ir.graph import Value, abstract, constant
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import Array, Op
from nnspec.ir.types import DType
from nnspec.ops.reduce import sum_

STEP = 1e-3
STENCIL = ((2, -1 / 12), (1, 8 / 12), (-1, -8 / 12), (-2, 1 / 12))  # fourth order: the error is STEP**4 f'''''/30


def draws(seed: int, shape: tuple[int, ...], least: float = -2.0, most: float = 2.0) -> Array:
    return np.random.default_rng(seed).uniform(least, most, shape)


def weighted(outputs: Sequence[Value], square: bool = False) -> Value:
    """One number that every element of the outputs moves: the sum of elements (or squares) by unequal weights."""
    total: Value | None = None
    for i, y in enumerate(outputs):
        if y.dtype.is_float:
            part = sum_((y * y if square else y) * constant(draws(i, y.shape, 0.5, 1.5), y.dtype))
            total = part if total is None else total + part
    assert total is not None
    return total


def applied(op: Op, arrays: Sequence[Array]) -> tuple[list[Value], tuple[Value, ...]]:
    """Inputs that fit the arrays, and the op's outputs."""
    inputs = [abstract(tensor_type(a), f"x{i}") for i, a in enumerate(arrays)]
    y = op(*inputs)
    return inputs, y if isinstance(y, tuple) else (y,)


def run(outputs: Sequence[Value], inputs: Sequence[Value], arrays: Sequence[Array]) -> list[Array]:
    values = evaluate(outputs, dict(zip(inputs, arrays, strict=True)))
    return [values[v] for v in outputs]


def moved(f: Callable[[Sequence[Array]], float], arrays: Sequence[Array], i: int, direction: Array) -> float:
    """The derivative of ``f`` as array ``i`` moves along ``direction``."""
    total = 0.0
    for steps, weight in STENCIL:
        there = [a + steps * STEP * direction if j == i else a for j, a in enumerate(arrays)]
        total += weight * f(there)
    return total / STEP


def check_gradient(loss: Value, inputs: Sequence[Value], arrays: Sequence[Array], tolerance: float = 1e-6,
                   fixed: Sequence[int] = ()) -> None:
    """Every element's gradient of ``loss`` within ``tolerance`` of the tensor's largest."""
    wanted = [i for i, v in enumerate(inputs) if v.dtype.is_float]
    found = gradients(loss, [inputs[i] for i in wanted])

    def f(at: Sequence[Array]) -> float:
        return float(run([loss], inputs, at)[0])

    for i, g in zip(wanted, found, strict=True):
        if g is None and i in fixed:
            continue
        exact = np.zeros_like(arrays[i]) if g is None else run([g], inputs, arrays)[0]
        assert exact.shape == arrays[i].shape
        numeric = np.zeros(arrays[i].size)
        for k in range(numeric.size):
            unit = np.zeros(numeric.size)
            unit[k] = 1.0
            numeric[k] = moved(f, arrays, i, unit.reshape(arrays[i].shape))
        largest = float(np.max(np.abs(numeric), initial=1e-3))
        np.testing.assert_allclose(exact, numeric.reshape(exact.shape), rtol=0, atol=tolerance * largest)


def check_second(loss: Value, inputs: Sequence[Value], arrays: Sequence[Array], tolerance: float = 1e-6,
                 fixed: Sequence[int] = ()) -> None:
    """The gradient of a mixture of the gradient, against differences of that mixture along random directions."""
    wanted = [i for i, v in enumerate(inputs) if v.dtype.is_float and i not in fixed]
    first = [g for g in gradients(loss, [inputs[i] for i in wanted]) if g is not None]
    if not first:
        return
    mixture = weighted(first)
    second = gradients(mixture, [inputs[i] for i in wanted])

    def f(at: Sequence[Array]) -> float:
        return float(run([mixture], inputs, at)[0])

    for i, g in zip(wanted, second, strict=True):
        exact = np.zeros_like(arrays[i]) if g is None else run([g], inputs, arrays)[0]
        for seed in range(3):
            direction = draws(seed + 40, arrays[i].shape, -1, 1)
            numeric = moved(f, arrays, i, direction)
            scale = float(np.sum(np.abs(exact * direction))) + 1e-3
            assert abs(float(np.sum(exact * direction)) - numeric) <= tolerance * scale


def as_float(arrays: Sequence[Array], dtype: DType) -> list[Array]:
    """The floats among ``arrays`` as ``dtype``."""
    return [a.astype(dtype.numpy) if a.dtype.kind == "f" else a for a in arrays]
