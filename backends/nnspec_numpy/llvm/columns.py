"""Nests that add up rows: strips of neighbouring columns, whose sums stay in registers over all rows."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.graph import Call
from nnspec.ir.types import DType
from nnspec.ops.fused import ends
from nnspec.ops.reduce import Reduction
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import IN_MEMORY, Register, number
from nnspec_numpy.llvm.flat import Flat
from nnspec_numpy.llvm.lanes import Lanes
from nnspec_numpy.llvm.nest import Bases, Operand

WIDEST = 4  # vectors of a strip
CHUNK = 64  # rows that are added before they join the sum: sums of sums lose fewer digits
Strip = Sequence[tuple[Register, int | None]]  # where each vector begins, and how much of it is left


def by_column(c: Call) -> bool:
    """Whether a call reduces the first axes, and leaves others."""
    return isinstance(c.op, Reduction) and ends(c) and len(c.op.axis) < c.inputs[0].rank


class Columns(Flat):
    """Strips outside, rows inside; what is reduced to one number goes along."""

    whole_rows = True

    def bounds(self, parts: int) -> list[int]:
        """Rows are shared, and never what there are sums of."""
        sums = [o for v, o in self.stores if by_column(v.call)]
        return [0, self.dims[0]] if len(self.dims) > 1 and any(o.strides[0] for o in sums) else super().bounds(parts)

    def loops(self, bases: Bases) -> None:
        self.sums = [c for c in self.calls if by_column(c)]
        self.ending = [c for c in self.calls if ends(c) and c not in self.sums]
        self.kept = [(v, o) for v, o in self.stores if not ends(v.call)]
        self.targets: dict[Call, list[Operand]] = {c: [o for v, o in self.stores if v.call is c] for c in self.sums}
        parts = self.parts(bases)
        folded = len(parts) > 1 or parts[0][0] != self.dims
        n = self.dims[-1]
        tables = {c: self._table(c, parts[0][0][-1]) for c in self.sums} if folded else {}
        totals = [self.start(c)[1] for c in self.ending]
        self.beside = [i for i in range(len(self.dims) - 1) if any(o.strides[i] for places in self.targets.values() for o in places)]
        kinds = [self.start(c)[0] for c in self.ending]
        for sizes, start in parts:
            def strips(inside: Bases, now: list[Register], sizes: Sequence[int] = sizes) -> list[Register]:
                return self._strips(sizes, inside, now, tables)

            totals = self.walk(self.beside, [sizes[i] for i in self.beside], start, strips, list(zip(kinds, totals, strict=True)))
        for c, acc in zip(self.ending, totals, strict=True):
            for o in (o for v, o in self.stores if v.call is c):
                self.stored(bases[o.position], o.dtype, self.across(c, acc))
        for c, table in tables.items():
            self._fold(c, table, parts[0][0][-1] // n, n, bases)

    def _strips(self, sizes: Sequence[int], bases: Bases, totals: list[Register], tables: dict[Call, Register]) -> list[Register]:
        """All columns of all rows: strip after strip, and the last with what is left."""
        width = WIDEST if self.together() > 1 and len(self.sums) < 3 else 2
        vectors, left = divmod(sizes[-1], self.lanes)
        strips, rest = divmod(vectors, width)
        kinds = [self.start(c)[0] for c in self.ending]

        def strip(i: Register, now: list[Register]) -> list[Register]:
            first = i if i == "0" else self.code.let(f"mul nuw nsw i64 {i}, {width * self.lanes}")
            places = [first] + [str(k * self.lanes) if first == "0" else self.code.let(f"add nuw nsw i64 {first}, {k * self.lanes}")
                                for k in range(1, width)]
            return self._strip([(p, None) for p in places], sizes, bases, now, tables)

        if strips:
            totals = self.code.loop(strips, strip, list(zip(kinds, totals, strict=True)))
        last: list[tuple[Register, int | None]] = [(str((strips * width + k) * self.lanes), None) for k in range(rest)]
        if left:
            last.append((str(sizes[-1] - left), left))
        return self._strip(last, sizes, bases, totals, tables) if last else totals

    def _strip(self, strip: Strip, sizes: Sequence[int], bases: Bases, totals: list[Register], tables: dict[Call, Register]) -> list[Register]:
        """All rows of one strip."""
        fresh = [self.start(c) for c in self.sums for _ in strip]
        kinds = [*(self.start(c)[0] for c in self.ending), *(t for t, _ in fresh)]
        begin = [*totals, *(v for _, v in fresh)]

        def row(inside: Bases, now: list[Register]) -> list[Register]:
            return self._row(strip, inside, now)

        def chunk(inside: Bases, now: list[Register]) -> list[Register]:
            n = len(self.ending)
            start = [*now[:n], *(v for _, v in fresh)]
            found = self.walk(axes, inner, inside, row, list(zip(kinds, start, strict=True)))
            owners = [c for c in self.sums for _ in strip]
            return [*found[:n], *(self.joined(c, a, b) for c, a, b in zip(owners, now[n:], found[n:], strict=True))]

        axes = [i for i in range(len(sizes) - 1) if i not in self.beside]
        inner = [sizes[i] for i in axes]
        many = _divisor(inner[0]) if len(inner) == 1 else 1
        if many > 1:
            outer, inner = inner[0] // many, [many]
            found = self.code.loop(outer, lambda i, now: chunk(self.stepped(bases, axes[0], i, many), now), list(zip(kinds, begin, strict=True)))
        else:
            found = self.walk(axes, inner, bases, row, list(zip(kinds, begin, strict=True)))
        sums = found[len(self.ending) :]
        for c in self.sums:
            for place, left in strip:
                self._give(c, sums.pop(0), place, left, bases, tables)
        return found[: len(self.ending)]

    def _row(self, strip: Strip, bases: Bases, now: list[Register]) -> list[Register]:
        """One row of a strip: all is computed before any is written."""
        n = len(self.ending)
        totals, sums = now[:n], now[n:]
        rows = self.constant_along(bases)
        writes: list[tuple[Operand, Register, Register, int | None]] = []
        for k, (place, left) in enumerate(strip):
            here = {**self.spread, **rows}
            self.compute(self.calls, here, bases, place, left)
            totals = [self.gathered(c, acc, [here[v] for v in c.inputs], left) for c, acc in zip(self.ending, totals, strict=True)]
            for j, c in enumerate(self.sums):
                at = j * len(strip) + k
                sums[at] = self.gathered(c, sums[at], [here[v] for v in c.inputs], left)
            writes += [(o, place, here[v], left) for v, o in self.kept]
        for o, place, x, left in writes:
            self.write(self.moved(bases[o.position], o.dtype, place), o.dtype, x, left)
        return [*totals, *sums]

    def _give(self, c: Call, acc: Register, place: Register, left: int | None, bases: Bases, tables: dict[Call, Register]) -> None:
        """The sums of one vector of columns, to where they are asked for; or on top of a table's."""
        dtype = c.outputs[0].dtype
        if c in tables:
            where = self.moved(tables[c], dtype, place)
            self.write(where, dtype, self.joined(c, self.read(where, dtype, left), acc), left)
            return
        for o in self.targets[c]:
            self.write(self.moved(bases[o.position], dtype, place), dtype, acc, left)

    def _table(self, c: Call, n: int) -> Register:
        """A place on the stack for the sums of joined rows."""
        table = self.code.stack(n, IN_MEMORY[DType.float32])
        _, neutral = self.start(c)
        for i in range(0, n, self.lanes):
            self.write(self.moved(table, DType.float32, str(i)), DType.float32, neutral, None if n - i >= self.lanes else n - i)
        return table

    def _fold(self, c: Call, table: Register, times: int, n: int, bases: Bases) -> None:
        """The sums of joined rows as those of one."""
        one = Lanes(self.code, DType.float32, 1)

        def column(j: Register, _: list[Register]) -> list[Register]:
            acc = number(elements.neutral(c.op), DType.float32)
            for k in range(times):
                place = self.moved(self.moved(table, DType.float32, str(k * n)), DType.float32, j)
                acc = elements.combine(c.op, one, acc, self.loaded(place, DType.float32))
            for o in self.targets[c]:
                self.stored(self.moved(bases[o.position], o.dtype, j), o.dtype, acc)
            return []

        self.code.loop(n, column)


def _divisor(n: int) -> int:
    """How many rows make a chunk; 1 where there are few, or none divides them."""
    if n <= CHUNK:
        return 1
    return next((d for d in range(CHUNK, 7, -1) if n % d == 0), 1)

