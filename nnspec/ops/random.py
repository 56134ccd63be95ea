"""Counted randomness: Philox4x32-10, so that a number depends on its place alone.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC11.
The key is (seed, hash of layer path and draw name); the counter (element // words, row, step low, step high).
"""

from __future__ import annotations

from math import pi, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, case
from nnspec.ir.types import DType, Shape, TensorType, known, size
from nnspec.ops.elementwise import cast, cos, log, minimum, sin, sqrt
from nnspec.ops.movement import concat, reshape, slice_axis

Words = NDArray[np.uint32]
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(key: tuple[int, int], counter: Words) -> Words:
    """Four random 32-bit words for each counter of four: ``(n, 4) -> (n, 4)``."""
    a, b, c, d = (counter[:, i].astype(np.uint64) for i in range(4))
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = key
    for _ in range(10):
        p, q = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a, c = (q >> shift) ^ b ^ np.uint64(k0), (p >> shift) ^ d ^ np.uint64(k1)
        b, d = q & low, p & low
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([a, b, c, d], axis=1).astype(np.uint32)


def stream(text: str) -> int:
    """A draw's 32-bit number from its name (FNV-1a): the second half of the key."""
    h = 0x811C9DC5
    for byte in text.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def counters(n: int, row: int = 0, step: int = 0) -> Words:
    """Counters 0 to n - 1 of one row and step."""
    out = np.zeros((n, 4), np.uint32)
    out[:, 0] = np.arange(n)
    out[:, 1:] = row & 0xFFFFFFFF, step & 0xFFFFFFFF, (step >> 32) & 0xFFFFFFFF
    return out


def uniform(seed: int, name: str, n: int) -> NDArray[np.float64]:
    """``n`` numbers above 0 and below 1, 53 bits each, for a named draw."""
    words = philox((seed & 0xFFFFFFFF, stream(name)), counters(-(-n // 2))).astype(np.uint64)
    bits = (words[:, 0::2] << np.uint64(21)) | (words[:, 1::2] >> np.uint64(11))
    return ((bits.reshape(-1)[:n]).astype(np.float64) + 0.5) * 2.0**-53


def normal(seed: int, name: str, n: int) -> NDArray[np.float64]:
    """``n`` numbers of mean 0 and deviation 1 (Box and Muller), for a named draw."""
    u = uniform(seed, name, 2 * -(-n // 2)).reshape(-1, 2)
    radius, angle = np.sqrt(-2.0 * np.log(u[:, 0])), 2.0 * np.pi * u[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]


class RandomBits(Op):
    """Sixteen random bits for each element of ``shape``, the first axis being the row: from (seed, step)."""

    shape: Shape
    stream: int
    random = True
    samples = (case(np.array(7, np.uint32), np.array(3, np.int64), shape=(2, 5), stream=11, differentiable=False),
               case(np.array(0, np.uint32), np.array(1 << 33, np.int64), shape=(3, 4, 5), stream=1 << 31,
                    differentiable=False))

    def infer(self, *x: TensorType) -> TensorType:
        return TensorType(self.shape, DType.uint16)

    def reference(self, *x: Array) -> Any:
        rows, *rest = known(self.shape)
        width = prod(rest)
        words = -(-width // 8)
        counter = np.zeros((rows, words, 4), np.uint32)
        counter[..., 0] = np.arange(words)
        counter[..., 1] = np.arange(rows)[:, None]
        step = int(x[1])
        counter[..., 2], counter[..., 3] = step & 0xFFFFFFFF, step >> 32 & 0xFFFFFFFF
        bits = philox((int(x[0]), self.stream), counter.reshape(-1, 4)).astype("<u4").view("<u2")
        return bits.reshape(rows, words * 8)[:, :width].reshape(known(self.shape)).astype(np.uint16)

    def grad(self, g: Value, y: Value, *x: Value) -> Gradients:
        return (None, None)


def draw_uniform(shape: Shape, dtype: DType, draw: str, seed: Value, step: Value) -> Value:
    """Numbers of 32 bits from 0 up to 1, 1 not among them, for a named draw: each depends on (seed, step, row, element) alone."""
    bits = RandomBits((shape[0], size(shape[1:]), 2), stream(draw)).one(seed, step)
    largest = 1.0 - 2.0**-24 if dtype == DType.float32 else 1.0 - 2.0**-32
    return reshape(minimum(_fraction(bits, 0, dtype), largest), shape)


def draw_normal(shape: Shape, dtype: DType, draw: str, seed: Value, step: Value) -> Value:
    """Numbers of mean 0 and deviation 1 (Box and Muller: two from two), for a named draw, as ``draw_uniform``."""
    width = size(shape[1:])
    bits = RandomBits((shape[0], (width + 1) // 2, 4), stream(draw)).one(seed, step)
    radius = sqrt(log(_fraction(bits, 0, dtype) + 2.0**-33) * -2.0)
    angle = _fraction(bits, 2, dtype) * (2.0 * pi)
    return reshape(slice_axis(concat((radius * cos(angle), radius * sin(angle)), 1), 1, 0, width), shape)


def _fraction(bits: Value, first: int, dtype: DType) -> Value:
    """Two numbers of 16 bits along the last axis as the digits of one below 1."""
    high, low = (reshape(cast(slice_axis(bits, 2, i, i + 1), dtype), bits.shape[:2]) for i in (first, first + 1))
    return high * 2.0**-16 + low * 2.0**-32
