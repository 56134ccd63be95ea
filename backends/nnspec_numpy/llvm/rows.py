"""Nests that reduce along the last axis: a row at a time, in as many walks as its reductions wait for one another.

A short row stays in registers from its first walk to its last. Of a long one, what is cheap is computed again in later
walks, what is an output is read again, and the rest waits in a row on the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nnspec.ir.graph import Call, Value
from nnspec.ir.program import Array
from nnspec.ir.types import DType, count
from nnspec.ops.fused import Fused, ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import ArgMax
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import IN_MEMORY, IN_REGISTER, Carried, Register, everywhere, lanes_below, vector
from nnspec_numpy.llvm.columns import by_column
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.nest import ALL, Bases, Nest, Operand, Part, Values, along
from nnspec_numpy.llvm.stages import Stages, by_row

SHORT = 8  # vectors of a row that stays in registers
LONG = 16384  # elements of a row that may wait on the stack
Place = tuple[Register, int | None]


class Rows(Nest):
    """Loops over rows; inside them walks along the row."""

    whole_rows = True

    def __init__(self, op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu, part: Part = ALL) -> None:
        self.chosen = {c.inputs[-1] for c in op.body.calls if isinstance(c.op, OneHot | Pick)}
        super().__init__(op, inputs, outputs, cpu, part)

    def steps(self, v: Value, a: Array) -> tuple[int, ...]:
        """One number a row may lie without an axis of length 1 for it."""
        if v in self.chosen or a.shape == self.whole[:-1] and by_row(v.call):
            return along((*a.shape, 1), (*a.strides, 0), self.whole)
        return super().steps(v, a)

    def joins(self, axis: int) -> bool:
        return axis != self._before_last()

    def _before_last(self) -> int:
        return next((i for i in reversed(range(len(self.whole) - 1)) if self.whole[i] > 1), -1)

    def loops(self, bases: Bases) -> None:
        self.sums = [c for c in self.calls if by_column(c)]
        self.ending = [c for c in self.calls if ends(c) and c not in self.sums]
        self.places = {v: [o for w, o in self.stores if w is v] for v, _ in self.stores}
        for c in self.sums:
            self._clear(c, bases)
        carried = [self.start(c) for c in self.ending]
        outer = list(range(len(self.dims) - 1))
        totals = self.walk(outer, self.dims[:-1], bases, self._row, carried)
        for c, acc in zip(self.ending, totals, strict=True):
            for o in self.places[c.outputs[0]]:
                self.stored(bases[o.position], o.dtype, self.across(c, acc))

    def _clear(self, c: Call, bases: Bases) -> None:
        """The sums of columns begin in memory."""
        _, neutral = self.start(c)
        vectors, left = divmod(self.dims[-1], self.lanes)
        axes = [i for i, s in enumerate(self.places[c.outputs[0]][0].strides[:-1]) if s]

        def row(inside: Bases, _: list[Register]) -> list[Register]:
            def clear(i: Register, _: list[Register]) -> list[Register]:
                self._each(c, inside, self.times(i, self.lanes), lambda where: self.write(where, DType.float32, neutral))
                return []

            if vectors:
                self.code.loop(vectors, clear)
            if left:
                self._each(c, inside, str(vectors * self.lanes), lambda where: self.write(where, DType.float32, neutral, left))
            return []

        self.walk(axes, [self.dims[i] for i in axes], bases, row)

    def _each(self, c: Call, bases: Bases, place: Register, do: Callable[[Register], None]) -> None:
        for o in self.places[c.outputs[0]]:
            do(self.moved(bases[o.position], o.dtype, place))

    def times(self, i: Register, n: int) -> Register:
        return i if i == "0" or n == 1 else self.code.let(f"mul nuw nsw i64 {i}, {n}")

    # One row

    def _row(self, bases: Bases, totals: list[Register]) -> list[Register]:
        n = self.dims[-1]
        vectors, left = divmod(n, self.lanes)
        row = _Row(self, bases, dict(zip(self.ending, totals, strict=True)))
        if vectors + bool(left) <= SHORT:
            row.at_once([*((str(i * self.lanes), None) for i in range(vectors)), *([(str(n - left), left)] if left else [])])
        else:
            row.in_walks(vectors, left)
        return list(row.totals.values())


class _Row:
    """A row in the making: its numbers, in one lane and in all."""

    def __init__(self, nest: Rows, bases: Bases, totals: dict[Call, Register]) -> None:
        self.nest, self.bases, self.totals = nest, bases, totals
        self.code = nest.code
        self.numbers: Values = dict(nest.fixed)
        self.wide: Values = dict(nest.spread)
        for v, o in nest.wide.items():
            if o.strides[-1] == 0:
                self.know(v, nest.loaded(bases[o.position], o.dtype))

    def know(self, v: Value, x: Register) -> None:
        """A number of this row; an output is written at once."""
        self.numbers[v] = x
        self.wide[v] = self.nest.everywhere(x, v.dtype)
        for o in self.nest.places.get(v, ()):
            self.nest.stored(self.bases[o.position], o.dtype, x)

    def single(self, c: Call) -> bool:
        """Whether a call works on one number a row."""
        return c.op.elementwise and all(v in self.numbers for v in c.inputs) and count(c.outputs[0].shape[-1:]) == 1

    def scalar(self, c: Call) -> None:
        self.know(c.outputs[0], elements.write(self.code, c, [self.numbers[v] for v in c.inputs], 1))

    # A row that stays in registers

    def at_once(self, places: Sequence[Place]) -> None:
        nest = self.nest
        here: list[Values] = [{} for _ in places]
        writes: list[tuple[Operand, Register, Register, int | None]] = []
        for c in nest.calls:
            if self.single(c):
                self.scalar(c)
            elif by_row(c):
                _, acc = nest.start(c)
                for (place, left), known in zip(places, here, strict=True):
                    acc = self.gather(c, acc, known, place, left)
                self.know(c.outputs[0], nest.across(c, acc))
            else:
                for (place, left), known in zip(places, here, strict=True):
                    self.vector(c, known, place, left)
                    writes += [(o, place, known[c.outputs[0]], left) for o in nest.places.get(c.outputs[0], ()) if not ends(c)]
        for o, place, x, left in writes:
            nest.write(nest.moved(self.bases[o.position], o.dtype, place), o.dtype, x, left)

    def vector(self, c: Call, here: Values, place: Register, left: int | None) -> None:
        """One vector of a call on whole rows, or of what ends after them."""
        nest = self.nest
        if isinstance(c.op, OneHot):
            here[c.outputs[0]] = self.hot(c, place)
            return
        for v in c.inputs:
            self.fetch(v, here, place, left)
        x = [here[v] for v in c.inputs]
        if c in self.totals:
            self.totals[c] = nest.gathered(c, self.totals[c], x, left)
        elif ends(c):
            self.add_up(c, x, place, left)
        else:
            here[c.outputs[0]] = elements.write(self.code, c, x, nest.lanes)

    def fetch(self, v: Value, here: Values, place: Register, left: int | None) -> None:
        if v in self.wide:
            here[v] = self.wide[v]
        else:
            self.nest.fetch(v, here, self.bases, place, left)

    def add_up(self, c: Call, x: Sequence[Register], place: Register, left: int | None) -> None:
        """A row on top of the sums of columns, in the first of their places; the others get the same."""
        nest = self.nest
        first = nest.places[c.outputs[0]][0]
        acc = nest.read(nest.moved(self.bases[first.position], first.dtype, place), first.dtype, left)
        acc = nest.gathered(c, acc, x, None)
        for o in nest.places[c.outputs[0]]:
            nest.write(nest.moved(self.bases[o.position], o.dtype, place), o.dtype, acc, left)

    def gather(self, c: Call, acc: Register, here: Values, place: Register, left: int | None) -> Register:
        """A row's accumulator after one more vector."""
        self.fetch(c.inputs[0], here, place, left)
        x = here[c.inputs[0]]
        if isinstance(c.op, ArgMax):
            return elements.combine(c.op, self.nest.single, acc, self.ranked(x, place, left))
        if isinstance(c.op, Pick):
            x = self.nest.single.select(self.is_chosen(c, place), x, self.nest.single.of(0.0))
        return self.nest.gathered(c, acc, [x], left)

    def hot(self, c: Call, place: Register) -> Register:
        f = self.nest.single
        return f.select(self.is_chosen(c, place), f.of(1.0), f.of(0.0))

    def ranked(self, x: Register, place: Register, left: int | None) -> Register:
        """Whole numbers in the order of (x, place from the last to the first), NaN above all: the largest says where the first largest is."""
        code, lanes, f = self.code, self.nest.lanes, self.nest.single
        wide = vector("i64", lanes)
        bits = f.bits(f.binary("fadd", x, f.of(0.0)))  # -0 becomes 0
        flipped = f.integer("and", f.integer("ashr", bits, 31), (1 << 31) - 1)
        order = f.integer("xor", bits, flipped)
        nan = everywhere(str((1 << 31) - 1), "i32", lanes)
        order = code.let(f"select {f.mask} {f.compare('uno', x, x)}, {f.whole} {nan}, {f.whole} {order}")
        key = code.let(f"shl {wide} {code.let(f'sext {f.whole} {order} to {wide}')}, {everywhere('32', 'i64', lanes)}")
        numbers = code.let(f"zext {f.whole} {self.places(place)} to {wide}")
        low = code.let(f"xor {wide} {numbers}, {everywhere(str((1 << 32) - 1), 'i64', lanes)}")
        key = code.let(f"or {wide} {key}, {low}")
        if left is None:
            return key
        lowest = everywhere(str(-(1 << 63)), "i64", lanes)
        return code.let(f"select {f.mask} {lanes_below(left, lanes)}, {wide} {key}, {wide} {lowest}")

    def places(self, place: Register) -> Register:
        """The number of each element along the row."""
        code, lanes = self.code, self.nest.lanes
        first = place if not place.startswith("%") else code.let(f"trunc i64 {place} to i32")
        order = "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">"
        return code.let(f"add {vector('i32', lanes)} {self.nest.everywhere(first, DType.int32)}, {order}")

    def is_chosen(self, c: Call, place: Register) -> Register:
        """In which lanes the row's number is that of the element."""
        code, lanes = self.code, self.nest.lanes
        v = c.inputs[-1]
        kind = vector("i32", lanes)
        wanted = self.wide[v]
        if v.dtype == DType.int64:
            wanted = code.let(f"trunc {vector(IN_REGISTER[v.dtype], lanes)} {wanted} to {kind}")
        return code.let(f"icmp eq {kind} {self.places(place)}, {wanted}")

    # A row in several walks

    def in_walks(self, vectors: int, left: int) -> None:
        stages = Stages(self.nest.calls, set(self.numbers), self.nest.places, self.nest.dims[-1] <= LONG)
        buffers = {v: self.buffer(v) for v in stages.waiting}
        for stage in range(stages.last + 1):
            for c in stages.scalars(stage):
                self.scalar(c)
            targets, needed, kept = stages.walk(stage)
            if targets or kept:
                self.walk(targets, needed, kept, stages, stage, buffers, vectors, left)

    def buffer(self, v: Value) -> Register:
        """A row on the stack."""
        return self.code.stack(self.nest.dims[-1], IN_MEMORY[v.dtype])

    def walk(self, targets: Sequence[Call], needed: Sequence[Call], kept: Sequence[Value], stages: Stages, stage: int,
             buffers: Values, vectors: int, left: int) -> None:
        """Along the row once: what the targets need, their accumulators, and what is kept for later."""
        nest, code = self.nest, self.code
        own = [c for c in targets if by_row(c)]
        totals = [c for c in targets if c in self.totals]
        sums = [c for c in targets if ends(c) and c not in self.totals]
        carried: list[Carried] = [nest.start(c) for c in own] + [(nest.start(c)[0], self.totals[c]) for c in totals]
        again = stages.again(stage)

        def blocks(places: Iterable[Place], now: list[Register]) -> list[Register]:
            writes: list[tuple[Register, DType, Register, int | None]] = []
            for place, rest in places:
                here: Values = {}
                for v in again:
                    o = nest.places[v][0] if v in nest.places else None
                    base = self.bases[o.position] if o else buffers[v]
                    here[v] = nest.read(nest.moved(base, v.dtype, place), v.dtype, rest)
                for c in needed:
                    self.vector(c, here, place, rest)
                now = [self.gather(c, acc, here, place, rest) if c in own else self.total(c, acc, here, place, rest)
                       for c, acc in zip((*own, *totals), now, strict=True)]
                for c in sums:
                    self.vector(c, here, place, rest)
                for v in kept:
                    where = [self.bases[o.position] for o in nest.places.get(v, ())] or [buffers[v]]
                    writes += [(nest.moved(base, v.dtype, place), v.dtype, here[v], rest) for base in where]
            for base, dtype, x, rest in writes:
                nest.write(base, dtype, x, rest)
            return now

        together = nest.together()
        rounds, rest_vectors = divmod(vectors, together)

        def round_(i: Register, now: list[Register]) -> list[Register]:
            first = nest.times(i, together * nest.lanes)
            places: list[Place] = [(first, None)]
            places += [(str(k * nest.lanes) if first == "0" else code.let(f"add nuw nsw i64 {first}, {k * nest.lanes}"), None)
                       for k in range(1, together)]
            return blocks(places, now)

        values = code.loop(rounds, round_, carried) if rounds else [v for _, v in carried]
        last: list[Place] = [(str((rounds * together + k) * nest.lanes), None) for k in range(rest_vectors)]
        if left:
            last.append((str(vectors * nest.lanes), left))
        values = blocks(last, values) if last else values
        for c, acc in zip((*own, *totals), values, strict=True):
            if c in totals:
                self.totals[c] = acc
            else:
                self.know(c.outputs[0], nest.across(c, acc))

    def total(self, c: Call, acc: Register, here: Values, place: Register, left: int | None) -> Register:
        for v in c.inputs:
            self.fetch(v, here, place, left)
        return self.nest.gathered(c, acc, [here[v] for v in c.inputs], left)
