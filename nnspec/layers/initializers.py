"""What parameters start with: counted random numbers keyed by (seed, parameter path), so that nothing else moves them."""

from abc import abstractmethod
from math import prod, sqrt
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nnspec.ops.random import normal, normal_at, uniform
from nnspec.spec.model import Kind, NotNegative, Number

Array = NDArray[np.float64]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many inputs feed an output, and how many outputs an input feeds, of a kernel ``(*window, in, out)``."""
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    window = prod(shape[:-2])
    return shape[-2] * window, shape[-1] * window


class Initializer(Kind):
    """Values for a parameter of a shape, from the seed and the parameter's path."""

    registry: ClassVar[dict[str, type[Any]]] = {}

    @abstractmethod
    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        """The values in float64."""


class Zeros(Initializer, kind="zeros"):
    """0 everywhere."""

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return np.zeros(shape)


class Ones(Initializer, kind="ones"):
    """1 everywhere."""

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return np.ones(shape)


class Constant(Initializer, kind="constant", primary="value"):
    """One number everywhere."""

    value: Number

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return np.full(shape, float(self.value))


class Uniform(Initializer, kind="uniform"):
    """Evenly between ``minimum`` and ``maximum``: ±0.05."""

    minimum: Number = -0.05
    maximum: Number = 0.05

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        u = uniform(seed, path, prod(shape)).reshape(shape)
        return self.minimum + (self.maximum - self.minimum) * u


class Normal(Initializer, kind="normal"):
    """Normal with ``mean`` 0 and ``deviation`` 0.05."""

    mean: Number = 0.0
    deviation: NotNegative = 0.05

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return self.mean + self.deviation * normal(seed, path, prod(shape)).reshape(shape)


class TruncatedNormal(Initializer, kind="truncated_normal"):
    """Normal with ``mean`` 0 and ``deviation`` 0.05; what lies beyond two deviations is drawn again.

    The cut leaves 0.88 of the deviation, as in Keras.
    """

    mean: Number = 0.0
    deviation: NotNegative = 0.05

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return self.mean + self.deviation * truncated(seed, path, shape)


def truncated(seed: int, path: str, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers within ±2."""
    z = normal(seed, path, prod(shape))
    attempt, far = 0, np.flatnonzero(np.abs(z) > 2.0)
    while far.size:
        attempt += 1
        again = z[far] = normal_at(seed, f"{path}:{attempt}", far)
        far = far[np.abs(again) > 2.0]
    return z.reshape(shape)


class Scaled(Initializer):
    """Scaled to the kernel's fans; ``gain`` multiplies the variance."""

    gain: NotNegative = 1.0
    factor: ClassVar[float] = 1.0
    mode: ClassVar[Literal["in", "average"]] = "in"
    flat: ClassVar[bool] = True

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        into, out = fans(shape)
        variance = self.gain * self.factor / max(1.0, float(into) if self.mode == "in" else (into + out) / 2)
        if self.flat:
            return sqrt(3.0 * variance) * (2.0 * uniform(seed, path, prod(shape)).reshape(shape) - 1.0)
        return sqrt(variance) / 0.87962566103423978 * truncated(seed, path, shape)  # the deviation that truncation leaves


class GlorotUniform(Scaled, kind="glorot_uniform"):
    """Uniform within ±sqrt(6 / (in + out)). Source: Glorot and Bengio, 2010.

    ``in`` and ``out`` are how many numbers feed an output, and how many an input feeds: the window's size times channels.
    ``gain`` multiplies the variance.
    """

    mode = "average"


class GlorotNormal(Scaled, kind="glorot_normal"):
    """Truncated normal of variance 2 / (in + out).

    The spread is that after the cut at two deviations. ``in`` as for glorot_uniform; ``gain`` multiplies the variance. Source: Glorot and
    Bengio, 2010.
    """

    mode, flat = "average", False


class HeUniform(Scaled, kind="he_uniform"):
    """Uniform within ±sqrt(6 / in). Source: He et al., 2015.

    ``in`` as for glorot_uniform; ``gain`` multiplies the variance.
    """

    factor = 2.0


class HeNormal(Scaled, kind="he_normal"):
    """Truncated normal of variance 2 / in.

    The spread is that after the cut at two deviations. ``in`` as for glorot_uniform; ``gain`` multiplies the variance. Source: He et al., 2015.
    """

    factor, flat = 2.0, False


class LecunUniform(Scaled, kind="lecun_uniform"):
    """Uniform within ±sqrt(3 / in).

    ``in`` as for glorot_uniform; ``gain`` multiplies the variance. Source: LeCun et al., "Efficient BackProp", 1998.
    """


class LecunNormal(Scaled, kind="lecun_normal"):
    """Truncated normal of variance 1 / in.

    The spread is that after the cut at two deviations. ``in`` as for glorot_uniform; ``gain`` multiplies the variance. Source: LeCun et al.,
    1998; Klambauer et al., 2017.
    """

    flat = False


class Orthogonal(Initializer, kind="orthogonal"):
    """Rows or columns orthonormal, times ``gain``: the QR of normal numbers. Source: Saxe et al., 2013.

    A kernel ``(…, out)`` is one matrix, its last axis the columns.
    """

    gain: Number = 1.0

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        rows, columns = prod(shape[:-1]), shape[-1] if shape else 1
        z = normal(seed, path, rows * columns).reshape(rows, columns)
        q, r = np.linalg.qr(z if rows >= columns else z.T)
        q = q * np.sign(np.diag(r))
        return np.asarray(self.gain * (q if rows >= columns else q.T)).reshape(shape)


class Given(Initializer):
    """The numbers themselves; axes of length 1 may be left out."""

    numbers: Any

    def values(self, shape: tuple[int, ...], seed: int, path: str) -> Array:
        return np.asarray(self.numbers, np.float64).reshape(shape)


def default(init: str | float) -> Initializer:
    """A layer's own choice."""
    return Initializer.registry[init]() if isinstance(init, str) else Constant(value=init)
