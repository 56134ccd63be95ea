"""Philox4x32-10 over planned memory, to the same bits as the op's reference.

A counter is (place in the row, row, step low, step high), and the step is the same for all. So after two rounds three
words still depend on the place or on the row alone, and the fourth is one of the place xor one of the row: these
rounds are done once a place and once a row. The other eight run over every counter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.random import MULTIPLIERS, WEYL, RandomBits

from .kernel import Arrays, Kernel, Run, Step, Types, cut, flat, sequence
from .move import move

CHUNK = 4096  # counters at a time: six arrays of 32 kB stay in a second-level cache
HALVES = 8  # numbers of 16 bits that a counter gives
ROUNDS = 10
LOW, HALF = np.array(0xFFFFFFFF, np.uint64), np.array(32, np.uint64)
M0, M1 = (np.array(m, np.uint64) for m in MULTIPLIERS)


def counters(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """How many counters a row takes, and how many rows and places of a row are done at a time."""
    words = -(-prod(shape[1:]) // HALVES)
    return words, max(1, min(shape[0], CHUNK // words)), min(words, CHUNK)


def workspace(op: RandomBits, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
    """Six words a counter, two of packed numbers, three for each place and each row."""
    shape = known(op.shape)
    words, rows, span = counters(shape)
    return (*(flat(rows * span, DType.int64) for _ in range(6)), flat(2 * rows * span, DType.int64),
            *(flat(words, DType.int64) for _ in range(3)), *(flat(shape[0], DType.int64) for _ in range(3)))


class Keys:
    """Each round's key: the seed and the draw's number, each moved on by a constant."""

    def __init__(self, stream: int) -> None:
        rounds = np.arange(ROUNDS, dtype=np.uint64)
        self._seed, self._k0 = np.zeros((), np.uint64), np.zeros(ROUNDS, np.uint64)
        self._moved = rounds * np.uint64(WEYL[0])
        self._k1 = (np.uint64(stream) + rounds * np.uint64(WEYL[1])) & LOW

    def prepare(self, seed: Array) -> Iterator[Step]:
        yield partial(np.copyto, self._seed, seed)
        yield partial(np.add, self._moved, self._seed, self._k0)
        yield partial(np.bitwise_and, self._k0, LOW, self._k0)

    def __getitem__(self, number: int) -> tuple[Array, Array]:
        only = slice(number, number + 1)
        return self._k0[only].reshape(()), self._k1[only].reshape(())


def two_rounds(keys: Keys, step: Array, by_place: Sequence[Array], by_row: Sequence[Array]) -> Iterator[Step]:
    """What the words are made of after two rounds: a, b and a part of c by place; a part of c, and d by row."""
    now = step.view(np.uint64)
    low, high, top, bottom = (np.zeros((), np.uint64) for _ in range(4))
    yield partial(np.bitwise_and, now, LOW, low)
    yield partial(np.right_shift, now, HALF, high)
    yield partial(np.multiply, low, M1, top)
    yield partial(np.bitwise_and, top, LOW, bottom)
    yield partial(np.right_shift, top, HALF, top)
    (first, second), (third, fourth) = keys[0], keys[1]
    a, b, c = by_place
    yield partial(np.multiply, np.arange(a.size, dtype=np.uint64), M0, a)
    yield partial(np.bitwise_and, a, LOW, c)
    yield from _xors(a, high, second)
    yield partial(np.multiply, a, M1, a)
    yield partial(np.bitwise_and, a, LOW, b)
    yield from _xors(a, bottom, third)
    r, e, d = by_row
    yield partial(np.bitwise_xor, np.arange(r.size, dtype=np.uint64), top, r)
    yield partial(np.bitwise_xor, r, first, r)
    yield partial(np.multiply, r, M0, e)
    yield partial(np.bitwise_and, e, LOW, d)
    yield from _xors(e, fourth)


def _xors(x: Array, *y: Array) -> Iterator[Step]:
    """The upper half of ``x`` xor every ``y``."""
    yield partial(np.right_shift, x, HALF, x)
    for z in y:
        yield partial(np.bitwise_xor, x, z, x)


def whole_round(words: Sequence[Array], k0: Array, k1: Array) -> Iterator[Step]:
    """One round over every counter: (a, b, c, d), each 32 bits in a number of 64, with two products."""
    a, b, c, d, p, q = words
    yield partial(np.multiply, a, M0, p)
    yield partial(np.multiply, c, M1, q)
    for product, kept, out, key in ((q, b, a, k0), (p, d, c, k1)):
        yield partial(np.right_shift, product, HALF, out)
        yield partial(np.bitwise_xor, out, kept, out)
        yield partial(np.bitwise_xor, out, key, out)
        yield partial(np.bitwise_and, product, LOW, kept)


def pack(words: Sequence[Array], packed: Array) -> Iterator[Step]:
    """The four words of a counter one after the other, as little-endian pairs."""
    for i, (low, high) in enumerate((words[:2], words[2:4])):
        yield partial(np.left_shift, high, HALF, high)
        yield partial(np.bitwise_or, low, high, packed[i::2])


def bind(op: RandomBits, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
    shape, keys, views = known(op.shape), Keys(op.stream), [s.view(np.uint64) for s in space]
    words, most, span = counters(shape)
    width, by_place, by_row = prod(shape[1:]), views[7:10], views[10:13]
    out = outputs[0].reshape(shape[0], width)
    steps = [*keys.prepare(inputs[0]), *two_rounds(keys, inputs[1], by_place, by_row)]
    for top in range(0, shape[0], most):
        for left in range(0, words, span):
            rows, places = slice(top, min(top + most, shape[0])), slice(left, min(left + span, words))
            size = rows.stop - rows.start, places.stop - places.start
            a, b, c, d, p, _ = every = [cut(v, size) for v in views[:6]]
            for target, source in ((a, by_place[0][places]), (b, by_place[1][places]), (c, by_place[2][places]),
                                   (p, by_row[1][rows, None]), (d, by_row[2][rows, None])):
                steps.append(partial(np.copyto, target, source))
            lines = [v.reshape(-1) for v in every]
            steps.append(partial(np.bitwise_xor, lines[2], lines[4], lines[2]))
            for number in range(2, ROUNDS):
                steps += whole_round(lines, *keys[number])
            target = out[rows, left * HALVES : places.stop * HALVES]
            if target.size == HALVES * prod(size) and target.flags.c_contiguous and target.ctypes.data % 8 == 0:
                steps += pack(lines, target.reshape(-1).view(np.uint64))
                continue
            packed = views[6][: 2 * prod(size)]
            steps += pack(lines, packed)
            steps.append(move(target, packed.view(np.uint16).reshape(size[0], -1)[:, : target.shape[1]]))
    return sequence(steps)


COUNTED: dict[type[Any], Kernel] = {RandomBits: Kernel(bind, workspace)}
