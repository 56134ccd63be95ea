"""Philox4x32-10 over planned memory, to the same bits as the op's reference."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.random import MULTIPLIERS, WEYL, RandomBits

from .kernel import Arrays, Kernel, Run, Types, cut, flat

CHUNK = 4096  # counters at a time: six arrays of 32 kB stay in a second-level cache
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
HALVES = 8  # numbers of 16 bits that a counter gives


def rows_at_a_time(shape: tuple[int, ...]) -> tuple[int, int]:
    """How many counters a row takes, and how many rows make a chunk."""
    words = -(-prod(shape[1:]) // HALVES)
    return words, max(1, min(shape[0], CHUNK // max(1, words)))


def workspace(op: RandomBits, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    words, rows = rows_at_a_time(known(op.shape))
    n = words * rows
    return (*(flat(n, DType.int64) for _ in range(6)), flat(4 * n, DType.uint32))


def rounds(a: Array, b: Array, c: Array, d: Array, p: Array, q: Array, seed: int, stream: int) -> None:
    """Ten rounds on four words a counter, held in 64-bit arrays; ``p`` and ``q`` are overwritten."""
    k0, k1 = seed, stream
    for _ in range(10):
        np.multiply(a, MULTIPLIERS[0], p)
        np.multiply(c, MULTIPLIERS[1], q)
        np.right_shift(q, SHIFT, a)
        np.bitwise_xor(a, b, a)
        np.bitwise_xor(a, np.uint64(k0), a)
        np.right_shift(p, SHIFT, c)
        np.bitwise_xor(c, d, c)
        np.bitwise_xor(c, np.uint64(k1), c)
        np.bitwise_and(q, LOW, b)
        np.bitwise_and(p, LOW, d)
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF


def bind(op: RandomBits, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    seed, step = inputs
    shape = known(op.shape)
    words, most = rows_at_a_time(shape)
    width = prod(shape[1:])
    out = outputs[0].reshape(shape[0], width)
    places = np.arange(words, dtype=np.uint64)
    chunks = []
    for first in range(0, shape[0], most):
        rows = min(most, shape[0] - first)
        six = [cut(s, (rows, words)).view(np.uint64) for s in space[:6]]
        packed = cut(space[6], (rows, words, 4))
        numbers = np.arange(first, first + rows, dtype=np.uint64)[:, None]
        chunks.append((six, packed, packed.view("<u2").reshape(rows, words * HALVES)[:, :width], numbers, out[first : first + rows]))

    def run() -> None:
        now, key = int(step), int(seed)
        low, high = np.uint64(now & 0xFFFFFFFF), np.uint64(now >> 32 & 0xFFFFFFFF)
        for (a, b, c, d, p, q), packed, halves, numbers, target in chunks:
            np.copyto(a, places)
            np.copyto(b, numbers)
            c.fill(low)
            d.fill(high)
            rounds(a, b, c, d, p, q, key, op.stream)
            for i, word in enumerate((a, b, c, d)):
                np.copyto(packed[:, :, i], word, casting="unsafe")
            np.copyto(target, halves)

    return run


COUNTED: dict[type[Any], Kernel] = {RandomBits: Kernel(bind, workspace)}
