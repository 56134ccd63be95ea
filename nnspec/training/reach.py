"""How far numbers reach: what shows, of a gradient alone, that a step leaves finite numbers finite.

By induction: parameters are finite, and what an optimizer keeps is as small as steps with such gradients make it. What is less than half the
distance of the two largest numbers, added to a finite number, gives one. A model whose state was given to it is looked at first.
"""

from math import ceil, log2

import numpy as np

from nnspec.ir.graph import Value
from nnspec.ir.op import Array
from nnspec.ir.types import DType

LARGEST = {DType.float32: 128, DType.float64: 1024}  # below 2^so many a number is finite
ADDED = {DType.float32: 102, DType.float64: 969}  # below 2^so many it makes no finite number infinite
GRADIENT = {DType.float32: 60, DType.float64: 480}  # whose square is finite, and what is made of a mean of them
KEPT = 1e-5  # of what is kept at least so much is forgotten in a step, or nothing is shown


def below(x: Value, exponent: int) -> Value:
    """What is finite only where every ``|x| < 2^exponent``."""
    return x * 2.0 ** (LARGEST[x.dtype] - exponent)


def can(dtype: DType, *exponents: int) -> bool:
    """Whether ``below`` has a factor for each."""
    return all(0 < e < LARGEST[dtype] for e in exponents)


def bits(x: float) -> int:
    """The least n with ``x <= 2^n``."""
    return ceil(log2(x))


def small(name: str, values: Array, dtype: DType) -> bool:
    """Whether a slot that was given is one that steps of small gradients make: of moderate size, and means of squares not negative."""
    with np.errstate(invalid="ignore"):
        least = 0.0 if name in ("second", "sum", "largest") else -(2.0 ** GRADIENT[dtype])
        return bool(((values >= least) & (values <= 2.0 ** GRADIENT[dtype])).all())
