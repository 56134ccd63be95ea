"""Nests without order among their elements: one element at a time, and what is reduced to a single number."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd

from nnspec.ir.graph import Call
from nnspec.ir.types import DType
from nnspec.ops.fused import ends
from nnspec.ops.reduce import AllFinite
from nnspec_numpy.llvm.code import IN_MEMORY, Carried, Register
from nnspec_numpy.llvm.nest import Bases, Nest, Operand, Values

SHORT = 4  # rows of less than so many vectors are joined, where that makes them whole vectors
RUN = 32  # rounds that one accumulator takes before it is added to another: sums of sums lose fewer digits


class Flat(Nest):
    """All elements as one line where operands lie so; else rows, and loops over them."""

    def loops(self, bases: Bases) -> None:
        self.ending = [c for c in self.calls if ends(c)]
        self.kept = [(v, o) for v, o in self.stores if not ends(v.call)]
        values = [self.start(c)[1] for c in self.ending]
        kinds = [self.start(c)[0] for c in self.ending]
        for sizes, start in self.parts(bases):
            def inner(inside: Bases, now: list[Register], n: int = sizes[-1]) -> list[Register]:
                return self._along(n, inside, list(zip(kinds, now, strict=True)))

            values = self.walk(range(len(sizes) - 1), sizes[:-1], start, inner, list(zip(kinds, values, strict=True)))
        for c, acc in zip(self.ending, values, strict=True):
            for v, o in self.stores:
                if v.call is c:
                    self.stored(bases[o.position], o.dtype, self.across(c, acc))

    def parts(self, bases: Bases) -> list[tuple[list[int], Bases]]:
        """What is walked: all at once, or joined rows and then those that are left."""
        whole = [(self.dims, bases)]
        if len(self.dims) != 2:
            return whole
        rows, n = self.dims
        each = self.lanes // gcd(n, self.lanes)
        reduced = [o for v, o in self.stores if ends(v.call)]
        walked = [o for o in self.operands if o not in reduced]
        full = [o for o in walked if o.strides == (n, 1)]
        columns = [o for o in self.wide.values() if o.strides == (0, 1)]
        if n % self.lanes == 0 or n >= SHORT * self.lanes or rows < 2 * each or len(full) + len(columns) != len(walked):
            return whole
        start = {**bases, **{o.position: self.repeated(bases[o.position], o.dtype, n, each) for o in columns}}
        for o in full:
            o.strides = (n * each, 1)
        parts = [([rows // each, n * each], start)]
        left = rows % each
        if left:
            done = str(rows // each * n * each)
            parts.append(([1, left * n], {**start, **{o.position: self.moved(bases[o.position], o.dtype, done) for o in full}}))
        return parts

    def repeated(self, base: Register, dtype: DType, n: int, times: int) -> Register:
        """A table on the stack: a row of ``n`` elements, ``times`` over."""
        code, kind = self.code, IN_MEMORY[dtype]
        table = code.stack(n * times, kind)

        def again(i: Register, _: list[Register]) -> list[Register]:
            def copy(j: Register, _: list[Register]) -> list[Register]:
                x = code.let(f"load {kind}, ptr {self.moved(base, dtype, j)}")
                place = code.let(f"add i64 {code.let(f'mul i64 {i}, {n}')}, {j}")
                code.do(f"store {kind} {x}, ptr {self.moved(table, dtype, place)}")
                return []

            return code.loop(n, copy)

        code.loop(times, again)
        return table

    def _along(self, n: int, bases: Bases, carried: list[Carried]) -> list[Register]:
        """The last axis: several vectors at a time, then one at a time, then what is left under a mask."""
        values = [v for _, v in carried]
        rows, together = self.constant_along(bases), self.together()
        vectors, left = divmod(n, self.lanes)
        rounds, rest = divmod(vectors, together)
        done = rounds * together * self.lanes

        def round_(i: Register, now: list[Register]) -> list[Register]:
            first = i if i == "0" else self.code.let(f"mul nuw nsw i64 {i}, {together * self.lanes}")
            places = [first] + [str(k * self.lanes) if first == "0" else self.code.let(f"add nuw nsw i64 {first}, {k * self.lanes}")
                                for k in range(1, together)]
            return self._blocks(places, bases, rows, now, None)

        def run(i: Register, now: list[Register]) -> list[Register]:
            start = i if i == "0" else self.code.let(f"mul nuw nsw i64 {i}, {RUN}")
            fresh = self.code.loop(RUN, lambda j, x: round_(self._sum(start, j), x), [self.start(c) for c in self.ending])
            return [self.joined(c, a, b) for c, a, b in zip(self.ending, now, fresh, strict=True)]

        if self.ending and rounds >= 2 * RUN:
            values = self.code.loop(rounds // RUN, run, carried)
            whole = rounds // RUN * RUN
            if rounds > whole:
                values = self.code.loop(rounds - whole, lambda j, x: round_(self._sum(str(whole), j), x), self._typed(carried, values))
        elif rounds:
            values = self.code.loop(rounds, round_, carried)
        if rest:
            values = self._blocks([str(done + k * self.lanes) for k in range(rest)], bases, rows, values, None)
        if left:
            values = self._blocks([str(n - left)], bases, rows, values, left)
        return values

    def _typed(self, carried: list[Carried], values: list[Register]) -> list[Carried]:
        return [(t, v) for (t, _), v in zip(carried, values, strict=True)]

    def _sum(self, a: Register, b: Register) -> Register:
        return b if a == "0" else a if b == "0" else self.code.let(f"add nuw nsw i64 {a}, {b}")

    def _blocks(self, places: Iterable[Register], bases: Bases, rows: Values, values: list[Register], left: int | None) -> list[Register]:
        """Computes all before it writes any: what is written may lie where something was read."""
        writes: list[tuple[Operand, Register, Register]] = []
        known: list[Values] = []
        for place in places:
            here = {**self.spread, **rows}
            self.compute(self.calls, here, bases, place, left)
            values = [acc if self._proves(c, left) else self._gathered(c, acc, here, left) for c, acc in zip(self.ending, values, strict=True)]
            writes += [(o, place, here[v]) for v, o in self.kept]
            known.append(here)
        values = [self.proven(c, acc, list(dict.fromkeys(here[v] for here in known for v in c.inputs))) if self._proves(c, left) else acc
                  for c, acc in zip(self.ending, values, strict=True)]
        for o, place, x in writes:
            self.write(self.moved(bases[o.position], o.dtype, place), o.dtype, x, left)
        return values

    def _proves(self, c: Call, left: int | None) -> bool:
        return isinstance(c.op, AllFinite) and left is None

    def _gathered(self, c: Call, acc: Register, here: Values, left: int | None) -> Register:
        return self.gathered(c, acc, [here[v] for v in c.inputs], left)
