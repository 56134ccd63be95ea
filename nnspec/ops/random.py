"""Counted randomness: Philox4x32-10, so that a number depends on its place alone.

Source: Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC11.
The key is (seed, hash of layer path and draw name); the counter (element // words, row, step low, step high).
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnspec.ir.graph import Value
from nnspec.ir.op import Array, Gradients, Op, case
from nnspec.ir.types import DType, Shape, TensorType, known, size
from nnspec.ops.elementwise import cast, cos, log, minimum, sin, sqrt
from nnspec.ops.movement import concat, reshape, slice_axis

Words = NDArray[np.uint32]
Wide = NDArray[np.uint64]
Floats = NDArray[np.float64]
Pair: TypeAlias = "Callable[[tuple[int, int], NDArray[np.intp]], tuple[Floats, Floats]]"
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOWEST = 0xFFFFFFFF
LOW, SHIFT = np.uint64(LOWEST), np.uint64(32)
CHUNK = 8192  # counters that are worked out at a time
FEW = 6  # with so many at most Python's own numbers are quicker than arrays


def philox(key: tuple[int, int], counter: Words) -> Words:
    """Four random 32-bit words for each counter of four: ``(n, 4) -> (n, 4)``."""
    if len(counter) <= FEW:
        return np.array([_one(key, *words) for words in counter.tolist()], np.uint32).reshape(-1, 4)
    out = np.empty((len(counter), 4), np.uint32)
    for at in range(0, len(counter), CHUNK):
        part = _rounds(key, *(counter[at : at + CHUNK, i].astype(np.uint64) for i in range(4)))
        for i, words in enumerate(part):
            out[at : at + CHUNK, i] = words
    return out


def _one(key: tuple[int, int], a: int, b: int, c: int, d: int) -> tuple[int, int, int, int]:
    """Ten rounds for one counter."""
    (m0, m1), (k0, k1) = (0xD2511F53, 0xCD9E8D57), key
    for _ in range(10):
        p, q = a * m0, c * m1
        a, b, c, d = q >> 32 ^ b ^ k0, q & LOWEST, p >> 32 ^ d ^ k1, p & LOWEST
        k0, k1 = k0 + WEYL[0] & LOWEST, k1 + WEYL[1] & LOWEST
    return a, b, c, d


def _rounds(key: tuple[int, int], a: Wide, b: Wide, c: Wide, d: Wide) -> tuple[Wide, Wide, Wide, Wide]:
    """Ten rounds in place over words of 32 bits, each in 64: few enough at a time that they stay in the processor's cache."""
    p, q = np.empty_like(a), np.empty_like(c)
    k0, k1 = key
    for _ in range(10):
        np.multiply(a, MULTIPLIERS[0], out=p)
        np.multiply(c, MULTIPLIERS[1], out=q)
        for high, other, product, k in ((a, b, q, k0), (c, d, p, k1)):
            np.right_shift(product, SHIFT, out=high)
            np.bitwise_xor(high, other, out=high)
            np.bitwise_xor(high, np.uint64(k), out=high)
            np.bitwise_and(product, LOW, out=other)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return a, b, c, d


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


def uniform(seed: int, name: str, n: int) -> Floats:
    """``n`` numbers above 0 and below 1, 53 bits each, for a named draw."""
    return _drawn(seed, name, n, _pair)


def normal(seed: int, name: str, n: int) -> Floats:
    """``n`` numbers of mean 0 and deviation 1 (Box and Muller), for a named draw."""
    return _drawn(seed, name, n, _round_pair)


def normal_at(seed: int, name: str, places: NDArray[np.intp]) -> Floats:
    """Those of ``normal`` that stand at these places."""
    first, second = _round_pair((seed & LOWEST, stream(name)), places // 2)
    return np.where(places % 2, second, first)


def _drawn(seed: int, name: str, n: int, pair: Pair) -> Floats:
    """Two numbers for each counter, one after another."""
    key, out = (seed & LOWEST, stream(name)), np.empty((-(-n // 2), 2))
    for at in range(0, len(out), CHUNK):
        part = out[at : at + CHUNK]
        part[:, 0], part[:, 1] = pair(key, np.arange(at, at + len(part)))
    return out.reshape(-1)[:n]


def _pair(key: tuple[int, int], counter: NDArray[np.intp]) -> tuple[Floats, Floats]:
    zeros = (np.zeros(len(counter), np.uint64) for _ in range(3))
    a, b, c, d = _rounds(key, counter.astype(np.uint64), *zeros)
    return _fraction_of(a, b), _fraction_of(c, d)


def _fraction_of(high: Wide, low: Wide) -> Floats:
    """53 bits of two words as a number between 0 and 1."""
    return ((high << np.uint64(21) | low >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _round_pair(key: tuple[int, int], counter: NDArray[np.intp]) -> tuple[Floats, Floats]:
    u, v = _pair(key, counter)
    radius, angle = np.sqrt(-2.0 * np.log(u)), 2.0 * np.pi * v
    return radius * np.cos(angle), radius * np.sin(angle)


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
