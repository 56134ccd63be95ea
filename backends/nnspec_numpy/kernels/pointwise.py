"""Functions of one element that NumPy does not have: sigmoid and erf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import pi, sqrt
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import Erf, Sigmoid

from .kernel import Arrays, Kernel, Run, Step, Types, elements, flat, sequence

CHUNK = 8192  # elements at a time: all intermediates stay in a second-level cache

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969): numerators and
# denominators for |x| up to 0.46875, up to 4, and above; each in the order in which Horner's rule takes them.
NEAR = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
     3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
     2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
     1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
     3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)
FAR = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
     1.60837851487422766e-2, 6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
     2.33520497626869185e-3),
)
NEAR_END, MIDDLE_END = 0.46875, 4.0

# Single precision: x p(x^2) / q(x^2) up to SINGLE_END, from where erf rounds to 1; fitted so that the largest relative
# error is least (1.9e-8), and evaluated in double precision: within 0.9 units in the last place.
SINGLE = ((2.05008265516e-06, 0.000284883748314, 0.00376565536599, 0.0527488423525, 0.190407340151, 1.12837914613),
          (3.80917206033e-05, 0.00116254511817, 0.0149692934403, 0.114109476147, 0.502076852371, 1.0))
SINGLE_END = 3.92


def bind_sigmoid(op: Sigmoid, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y = inputs[0].reshape(-1), outputs[0].reshape(-1)
    steps: list[Step] = []
    for i in range(0, x.size, CHUNK):
        part = y[i : i + CHUNK]
        steps += [partial(np.negative, x[i : i + CHUNK], part), partial(np.exp, part, part),
                  partial(np.add, part, 1.0, part), partial(np.reciprocal, part, part)]
    return sequence(steps)


def ratio(coefficients: tuple[Sequence[float], Sequence[float]], z: Array, out: Array, below: Array) -> None:
    """``out = p(z) / q(z)`` by Horner's rule; ``below`` is overwritten."""
    for values, target in zip(coefficients, (out, below), strict=True):
        np.multiply(z, values[0], target)
        for c in values[1:-1]:
            np.add(target, c, target)
            np.multiply(target, z, target)
        np.add(target, values[-1], target)
    np.divide(out, below, out)


def erf(x: Array, y: Array, a: Array, z: Array, t: Array, u: Array, mask: Array) -> None:
    """One chunk; ``a``, ``z``, ``t``, ``u`` and ``mask`` are overwritten."""
    np.absolute(x, a)
    # Up to NEAR_END: x p(x^2) / q(x^2). The argument is kept in range, so that nothing overflows elsewhere.
    np.minimum(a, NEAR_END, out=z)
    np.multiply(z, z, z)
    ratio(NEAR, z, t, u)
    np.multiply(x, t, y)
    # Up to MIDDLE_END: 1 - exp(-x^2) p(|x|) / q(|x|).
    np.minimum(a, MIDDLE_END, out=z)
    ratio(MIDDLE, z, t, u)
    np.multiply(z, z, z)
    np.negative(z, z)
    np.exp(z, z)
    np.multiply(t, z, t)
    np.subtract(1.0, t, t)
    np.copysign(t, x, t)
    np.greater(a, NEAR_END, mask)
    np.copyto(y, t, where=mask)
    # Above: 1 - exp(-x^2) / |x| (1/sqrt(pi) - w p(w) / q(w)) with w = 1/x^2.
    np.greater(a, MIDDLE_END, mask)
    if mask.any():
        np.maximum(a, MIDDLE_END, out=a)
        np.multiply(a, a, z)
        np.reciprocal(z, z)
        ratio(FAR, z, t, u)
        np.multiply(t, z, t)
        np.subtract(1.0 / sqrt(pi), t, t)
        np.divide(t, a, t)
        np.multiply(a, a, z)
        np.negative(z, z)
        np.exp(z, z)
        np.multiply(t, z, t)
        np.subtract(1.0, t, t)
        np.copysign(t, x, t)
        np.copyto(y, t, where=mask)


def single_erf(x: Array, y: Array, a: Array, z: Array, t: Array, u: Array) -> None:
    """One chunk in single precision; the others, in double precision, are overwritten."""
    np.copyto(a, x)
    np.minimum(a, SINGLE_END, out=a)
    np.maximum(a, -SINGLE_END, out=a)
    np.multiply(a, a, z)
    ratio(SINGLE, z, t, u)
    np.multiply(a, t, t)
    np.copyto(y, t, casting="same_kind")


def erf_workspace(op: Erf, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    n = min(CHUNK, elements(outputs[0].shape))
    mask = [flat(n, DType.bool)] if outputs[0].dtype == DType.float64 else []
    return (*(flat(n, DType.float64) for _ in range(4)), *mask)


def bind_erf(op: Erf, inputs: Arrays, outputs: Arrays, workspace: Arrays) -> Run:
    x, y = inputs[0].reshape(-1), outputs[0].reshape(-1)
    function: Callable[..., None] = erf if x.dtype == np.float64 else single_erf
    steps: list[Step] = []
    for i in range(0, x.size, CHUNK):
        part = x[i : i + CHUNK]
        steps.append(partial(function, part, y[i : i + CHUNK], *(w[: part.size] for w in workspace)))
    return sequence(steps)


POINTWISE: dict[type[Any], Kernel] = {Sigmoid: Kernel(bind_sigmoid), Erf: Kernel(bind_erf, erf_workspace)}
