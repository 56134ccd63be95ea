"""Columns that lie one after another, brought to rows: squares of as many lines as lanes are turned in registers."""

from __future__ import annotations

from nnspec_numpy.llvm.code import Register
from nnspec_numpy.llvm.vectors import Vectors


def turned(v: Vectors, source: Register, target: Register, pitch: Register, depth: Register, columns: Register, vectors: int,
           masked: bool) -> None:
    """``target[t, c] = source[c, t]`` for ``vectors`` of columns, ``pitch`` apart, and ``depth`` numbers of each.

    What is written behind the depth, up to a multiple of lanes, and behind the ``columns`` where the last vector is ``masked``, means nothing.
    """
    code, lanes = v.code, v.f.lanes
    width = str(vectors * lanes)
    last = v.plus(columns, "-1")

    def square(i: Register, _: list[Register]) -> list[Register]:
        t = v.times(i, str(lanes))
        mask = Vectors(code, v.f, depth).mask(t)
        below = v.at(target, v.times(t, width))
        for q in range(vectors):
            lines = []
            for c in range(lanes):
                place = str(q * lanes + c)
                if masked and q == vectors - 1:
                    place = code.let(f"select i1 {code.let(f'icmp slt i64 {place}, {last}')}, i64 {place}, i64 {last}")
                lines.append(v.load(v.at(v.at(source, v.times(place, pitch)), t), mask))
            for c, line in enumerate(transposed(v, lines)):
                v.store(line, v.at(below, str(c * vectors * lanes + q * lanes)), "")
        return []

    code.loop(v.parts(depth, lanes), square)


def transposed(v: Vectors, lines: list[Register]) -> list[Register]:
    """As many vectors as lanes, rows made columns: each round lays vectors that are half of all apart into one another."""
    n = len(lines)
    low = [i // 2 + (n if i % 2 else 0) for i in range(n)]
    halves = [_mask(low), _mask([i + n // 2 for i in low])]
    for _ in range(n.bit_length() - 1):
        pairs = [(lines[i], lines[i + n // 2]) for i in range(n // 2)]
        lines = [v.code.let(f"shufflevector {v.f.type} {a}, {v.f.type} {b}, {half}") for a, b in pairs for half in halves]
    return lines


def _mask(places: list[int]) -> str:
    return f"<{len(places)} x i32> <" + ", ".join(f"i32 {p}" for p in places) + ">"
