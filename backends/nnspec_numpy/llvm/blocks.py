"""Nests that reduce axes in the middle: a block at a time, in strips of neighbouring columns whose results stay in registers over its rows.

A block is what one place of the axes before those that are reduced holds: rows, which are reduced, of columns. What is one number a column (means,
scales) waits in a row on the stack from walk to walk; where columns are reduced as well, such a row is folded and filled with what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nnspec.ir.graph import Call, Value
from nnspec.ops.fused import ends
from nnspec_numpy.llvm.code import IN_MEMORY, Carried, Register
from nnspec_numpy.llvm.columns import CHUNK, WIDEST, Strip, by_column
from nnspec_numpy.llvm.nest import Bases, Operand, Values
from nnspec_numpy.llvm.stages import Stages, by_row
from nnspec_numpy.llvm.tables import Single, Tables


class Blocks(Tables):
    """Blocks outside; strips of columns inside; and inside of these rows."""

    def loops(self, bases: Bases) -> None:
        self.sums = [c for c in self.calls if by_column(c)]
        self.ending = [c for c in self.calls if ends(c) and c not in self.sums]
        self.places = {v: [o for w, o in self.stores if w is v] for v, _ in self.stores}
        inputs = {v for v, o in self.wide.items() if isinstance(o, Single)}
        self.stages = Stages(self.calls, {*self.fixed, *inputs}, self.places, False, self._by_column)
        for c in self.sums:
            self._clear(c, bases)
        self.odd = {v: o for v, o in self.wide.items() if isinstance(o, Single) and not o.plain}
        made = [c.outputs[0] for c in self.calls if by_row(c) or c in self.stages.rows]
        for v in (*self.odd, *made):
            self.tables[v] = Operand(self.arguments + len(self.tables), v.dtype, tuple(self.columns))
            bases[self.tables[v].position] = self.code.stack(self._size(self.axes.inner), IN_MEMORY[v.dtype])
        totals = self.walk(range(self.outside), self.dims[: self.outside], bases, self._block, [self.start(c) for c in self.ending])
        for c, acc in zip(self.ending, totals, strict=True):
            for o in self.places[c.outputs[0]]:
                self.stored(bases[o.position], o.dtype, self.across(c, acc))

    def _by_column(self, v: Value) -> bool:
        """Whether a value is the same in all rows of a block."""
        missing = len(self.whole) - len(v.shape)
        return all(i < missing or v.shape[i - missing] == 1 for i in self.axes.middle)

    def _clear(self, c: Call, bases: Bases) -> None:
        """The sums of columns begin in memory."""
        (first, *_) = self.places[c.outputs[0]]
        axes = [i for i, s in enumerate(first.strides[:-1]) if s]
        _, neutral = self.start(c)

        def row(inside: Bases, _: list[Register]) -> list[Register]:
            for o in self.places[c.outputs[0]]:
                self._fill(inside[o.position], o, self.dims[-1], neutral)
            return []

        self.walk(axes, [self.dims[i] for i in axes], bases, row)

    def _block(self, bases: Bases, totals: list[Register]) -> list[Register]:
        for v, o in self.odd.items():
            self._each(self._copy(bases[self.tables[v].position], bases[o.position], v.dtype), o.raw, range(len(self.axes.inner)))
        for stage in range(self.stages.last + 1):
            self._singles(self.stages.scalars(stage), bases)
            targets, needed, kept = self.stages.walk(stage)
            if targets or kept:
                totals = self._rows(stage, targets, needed, kept, bases, totals)
        return totals

    def _rows(self, stage: int, targets: Sequence[Call], needed: Sequence[Call], kept: Sequence[Value], bases: Bases,
              totals: list[Register]) -> list[Register]:
        """A walk through the block: what the targets need, their results, and what is kept."""
        own = [c for c in targets if by_row(c)]
        ending = [c for c in targets if c in self.ending]
        sums = [c for c in targets if c in self.sums]
        again = self.stages.again(stage)
        steady = [v for v in dict.fromkeys(v for c in (*needed, *targets) for v in c.inputs) if v in self.stages.single and v not in self.spread]
        at = [self.ending.index(c) for c in ending]
        kinds = [self.start(c)[0] for c in ending]
        width = WIDEST if self.together() > 1 and len(own) < 3 else 2

        def strip(strip: Strip, inside: Bases, now: list[Register]) -> list[Register]:
            known: list[Values] = [dict(self.spread) for _ in strip]
            for here, (place, left) in zip(known, strip, strict=True):
                for v in steady:
                    self.fetch(v, here, inside, place, left)

            def row(bases: Bases, now: list[Register]) -> list[Register]:
                return self._row(strip, known, again, needed, ending, own, sums, kept, bases, now)

            found = self._down(inside, row, [c for c in own for _ in strip], list(zip(kinds, now, strict=True)))
            results = found[len(ending) :]
            for c in own:
                for place, left in strip:
                    self._know(c.outputs[0], results.pop(0), inside, place, left)
            return found[: len(ending)]

        found = self._strips(width, bases, [(t, totals[i]) for t, i in zip(kinds, at, strict=True)], strip)
        for c in own:
            if self.axes.folded:
                self._fold(c, bases)
            self._hand_over(c.outputs[0], bases)
        totals = list(totals)
        for i, acc in zip(at, found, strict=True):
            totals[i] = acc
        return totals

    def _down(self, bases: Bases, row: Callable[[Bases, list[Register]], list[Register]], own: Sequence[Call],
              totals: list[Carried]) -> list[Register]:
        """All rows of a strip; what each of ``own`` gathers is added in chunks."""
        axes, sizes = range(self.outside, self.outside + self.within), self.dims[self.outside : self.outside + self.within]
        fresh = [self.start(c) for c in own]
        kinds = [t for t, _ in (*totals, *fresh)]
        begin = [v for _, v in (*totals, *fresh)]
        if len(sizes) > 1 or sizes[0] <= CHUNK:
            return self.walk(axes, sizes, bases, row, list(zip(kinds, begin, strict=True)))
        t = len(totals)

        def chunk(start: Register, n: int, now: list[Register]) -> list[Register]:
            inside = self.stepped(bases, axes[0], start, CHUNK)
            found = self.walk(axes, [n], inside, row, list(zip(kinds, [*now[:t], *(v for _, v in fresh)], strict=True)))
            return [*found[:t], *(self.joined(c, a, b) for c, a, b in zip(own, now[t:], found[t:], strict=True))]

        chunks, rest = divmod(sizes[0], CHUNK)
        found = self.code.loop(chunks, lambda i, now: chunk(i, CHUNK, now), list(zip(kinds, begin, strict=True)))
        return chunk(str(chunks), rest, found) if rest else found

    def _row(self, strip: Strip, known: Sequence[Values], again: Sequence[Value], needed: Sequence[Call], ending: Sequence[Call], own: Sequence[Call],
             sums: Sequence[Call], kept: Sequence[Value], bases: Bases, now: list[Register]) -> list[Register]:
        """One row of a strip: all is computed before any is written."""
        t = len(ending)
        totals, results = now[:t], now[t:]
        writes: list[tuple[Operand, Register, Register, int | None]] = []
        for k, (place, left) in enumerate(strip):
            here = dict(known[k])
            for v in again:
                o = self.places[v][0]
                here[v] = self.read(self.moved(bases[o.position], o.dtype, place), o.dtype, left)
            self.compute(needed, here, bases, place, left)
            for c in (*ending, *own, *sums):
                for v in c.inputs:
                    self.fetch(v, here, bases, place, left)
            totals = [self.gathered(c, acc, [here[v] for v in c.inputs], left) for c, acc in zip(ending, totals, strict=True)]
            for j, c in enumerate(own):
                at = j * len(strip) + k
                results[at] = self.gathered(c, results[at], [here[v] for v in c.inputs], left)
            for c in sums:
                first = self.places[c.outputs[0]][0]
                acc = self.read(self.moved(bases[first.position], first.dtype, place), first.dtype, left)
                acc = self.gathered(c, acc, [here[v] for v in c.inputs], None)
                writes += [(o, place, acc, left) for o in self.places[c.outputs[0]]]
            writes += [(o, place, here[v], left) for v in kept for o in self.places[v]]
        for o, place, x, left in writes:
            self.write(self.moved(bases[o.position], o.dtype, place), o.dtype, x, left)
        return [*totals, *results]
