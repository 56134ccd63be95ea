"""What a block of rows has one number a column of: rows of such numbers on the stack, filled, copied, computed and folded strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nnspec.ir.graph import Call, Value
from nnspec.ir.program import Array, contiguous
from nnspec.ir.types import DType
from nnspec.ops.fused import Fused, ends
from nnspec.ops.reduce import Reduction
from nnspec.records import dataclass
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import Carried, Register
from nnspec_numpy.llvm.columns import Strip
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.middle import in_the_middle
from nnspec_numpy.llvm.nest import ALL, Bases, Nest, Operand, Part, Values


@dataclass
class Single(Operand):
    """An array of one number a column, or of fewer; ``raw`` are its strides along each inner axis."""

    raw: tuple[int, ...] = ()
    plain: bool = True  # whether columns lie side by side, or are one


class Tables(Nest):
    """A nest over blocks: its axes outside, within and along a row, and what is one number a column of a block."""

    def __init__(self, op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu, part: Part = ALL) -> None:
        self.axes = next(axes for c in op.body.calls for axes in [in_the_middle(c)] if axes is not None)
        self.tables: dict[Value, Operand] = {}
        self.places: dict[Value, list[Operand]] = {}  # where a value is stored
        super().__init__(op, inputs, outputs, cpu, part)

    def steps(self, v: Value, a: Array) -> tuple[int, ...]:
        """What a reduction leaves out is an axis of length 1."""
        if not isinstance(v.op, Reduction) or ends(v.call) or v.op.keep:
            return super().steps(v, a)
        left = iter(a.strides)
        return tuple(0 if i in v.op.axis or n == 1 else s for i, n in enumerate(self.whole) for s in [0 if i in v.op.axis else next(left)])

    @property
    def operands(self) -> list[Operand]:
        return [*super().operands, *self.tables.values()]

    def _joined(self) -> list[int]:
        """Outer, middle and inner axes are each joined among themselves, inner ones as what has an element for each asks."""
        outer, middle, inner, _ = self.axes
        sums = [o for v, o in self.stores if ends(v.call)]
        for v, o in list(self.wide.items()):
            self.wide[v] = self._single(o)
        self.stores = [(v, o if o in sums else self._single(o)) for v, o in self.stores]
        walked = [o for o in super().operands if not isinstance(o, Single)]
        groups = [*self._groups(outer, super().operands), *self._groups(middle, super().operands)]
        self.outside = len(self._groups(outer, super().operands))
        self.within = len(groups) - self.outside
        last = self._groups(inner, walked)
        dims = [self._size(g) for g in (*groups, *last)]
        self.columns = [0] * len(groups) + [self._size([i for h in last[k + 1 :] for i in h]) for k in range(len(last))]
        for o in super().operands:
            if isinstance(o, Single):
                o.raw = tuple(o.strides[i] for i in inner)
                flat = not any(o.raw)
                o.plain = flat or contiguous(tuple(self.whole[i] for i in inner), o.raw)
                o.strides = (*(o.strides[g[-1]] for g in groups), *(0 if flat else n for n in self.columns[len(groups) :]))
            else:
                o.strides = tuple(o.strides[g[-1]] for g in (*groups, *last))
        return dims

    def _single(self, o: Operand) -> Operand:
        return o if any(o.strides[i] for i in self.axes.middle) else Single(o.position, o.dtype, o.strides)

    def _size(self, axes: Sequence[int]) -> int:
        n = 1
        for i in axes:
            n *= self.whole[i]
        return n

    def _groups(self, axes: Sequence[int], operands: Sequence[Operand]) -> list[list[int]]:
        groups: list[list[int]] = []
        for i in reversed(axes):
            if groups and all(o.strides[i] == o.strides[groups[0][0]] * self.whole[groups[0][0]] for o in operands):
                groups[0].insert(0, i)
            else:
                groups.insert(0, [i])
        return groups

    def bounds(self, parts: int) -> list[int]:
        """Threads share blocks."""
        return super().bounds(parts) if self.outside else [0, self.dims[0]]

    # Columns

    def _strips(self, width: int, bases: Bases, carried: list[Carried],
                do: Callable[[Strip, Bases, list[Register]], list[Register]]) -> list[Register]:
        """All columns: strip after strip, and the last with what is left."""
        vectors, left = divmod(self.dims[-1], self.lanes)
        strips, rest = divmod(vectors, width)
        kinds = [t for t, _ in carried]
        axes = range(self.outside + self.within, len(self.dims) - 1)

        def along(inside: Bases, now: list[Register]) -> list[Register]:
            def strip(i: Register, now: list[Register]) -> list[Register]:
                first = self._times(i, width * self.lanes)
                return do([(self._plus(first, str(k * self.lanes)), None) for k in range(width)], inside, now)

            if strips:
                now = self.code.loop(strips, strip, list(zip(kinds, now, strict=True)))
            last: list[tuple[Register, int | None]] = [(str((strips * width + k) * self.lanes), None) for k in range(rest)]
            if left:
                last.append((str(self.dims[-1] - left), left))
            return do(last, inside, now) if last else now

        return self.walk(axes, [self.dims[i] for i in axes], bases, along, carried)

    def _fill(self, base: Register, o: Operand, n: int, x: Register) -> None:
        """The same vector in ``n`` neighbouring places."""
        vectors, left = divmod(n, self.lanes)
        if vectors:
            self.code.loop(vectors, lambda i, _: self._put(base, o, self._times(i, self.lanes), x, None))
        if left:
            self._put(base, o, str(n - left), x, left)

    def _put(self, base: Register, o: Operand, place: Register, x: Register, left: int | None) -> list[Register]:
        self.write(self.moved(base, o.dtype, place), o.dtype, x, left)
        return []

    def _times(self, i: Register, n: int) -> Register:
        return i if i == "0" or n == 1 else self.code.let(f"mul nuw nsw i64 {i}, {n}")

    def _copy(self, target: Register, source: Register, dtype: DType, back: bool = False) -> Callable[[Register, Register], None]:
        """Of one number from place to place."""
        def copy(place: Register, at: Register) -> None:
            a, b = (at, place) if back else (place, at)
            self.stored(self.moved(target, dtype, a), dtype, self.loaded(self.moved(source, dtype, b), dtype))

        return copy

    def _each(self, do: Callable[[Register, Register], None], strides: Sequence[int], axes: Iterable[int],
              place: Register = "0", at: Register = "0") -> None:
        """``do(place in a table, place in an array)`` for the columns along some of the inner axes."""
        axes = list(axes)
        if not axes:
            do(place, at)
            return
        inner = self.axes.inner
        step = self._size(inner[axes[0] + 1 :])

        def one(i: Register, _: list[Register]) -> list[Register]:
            self._each(do, strides, axes[1:], self._plus(place, self._times(i, step)), self._plus(at, self._stride(i, strides[axes[0]])))
            return []

        self.code.loop(self.whole[inner[axes[0]]], one)

    def _stride(self, i: Register, n: int) -> Register:
        return "0" if n == 0 else self._times(i, n)

    def _plus(self, a: Register, b: Register) -> Register:
        return b if a == "0" else a if b == "0" else self.code.let(f"add i64 {a}, {b}")

    # One number a column

    def _singles(self, calls: Sequence[Call], bases: Bases) -> None:
        """What is computed on rows of such numbers."""
        if not calls:
            return

        def strip(strip: Strip, inside: Bases, now: list[Register]) -> list[Register]:
            for place, left in strip:
                here = dict(self.spread)
                for c in calls:
                    for v in c.inputs:
                        self.fetch(v, here, inside, place, left)
                    here[c.outputs[0]] = elements.write(self.code, c, [here[v] for v in c.inputs], self.lanes)
                for c in calls:
                    self._know(c.outputs[0], here[c.outputs[0]], inside, place, left)
            return now

        self._strips(1, bases, [], strip)
        for c in calls:
            self._hand_over(c.outputs[0], bases)

    def fetch(self, v: Value, here: Values, bases: Bases, place: Register, left: int | None) -> None:
        """From its table, from memory, or from the place that stands for all columns."""
        if v in here:
            return
        o = self.tables.get(v) or self.wide[v]
        one = o.strides[-1] == 0
        here[v] = (self.everywhere(self.loaded(bases[o.position], o.dtype), o.dtype) if one else
                   self.read(self.moved(bases[o.position], o.dtype, place), o.dtype, left))

    def _know(self, v: Value, x: Register, bases: Bases, place: Register, left: int | None) -> None:
        """A vector of such numbers, to its table and to where it is asked for."""
        wanted = [o for o in self.places.get(v, ()) if isinstance(o, Single) and o.plain and o.strides[-1]]
        for o in (self.tables[v], *wanted):
            self.write(self.moved(bases[o.position], o.dtype, place), o.dtype, x, left)

    def _hand_over(self, v: Value, bases: Bases) -> None:
        """Results that have no number for each column, from the table."""
        table = self.tables[v]
        for o in self.places.get(v, ()):
            if isinstance(o, Single) and not (o.plain and o.strides[-1]):
                kept = [k for k, s in enumerate(o.raw) if s]
                self._each(self._copy(bases[o.position], bases[table.position], o.dtype, back=True), o.raw, kept)

    def _fold(self, c: Call, bases: Bases) -> None:
        """Where columns are reduced as well: each group of a row as one number, in all of its places."""
        table = self.tables[c.outputs[0]]
        inner = self.axes.inner
        n = self._size(inner[len(inner) - self.axes.folded :])
        vectors, left = divmod(n, self.lanes)

        def group(g: Register, _: list[Register]) -> list[Register]:
            base = self.moved(bases[table.position], table.dtype, self._times(g, n))
            acc = self.start(c)

            def more(i: Register, now: list[Register]) -> list[Register]:
                return [self.joined(c, now[0], self.read(self.moved(base, table.dtype, self._times(i, self.lanes)), table.dtype))]

            values = self.code.loop(vectors, more, [acc]) if vectors else [acc[1]]
            if left:
                values = [self.gathered(c, values[0], [self.read(self.moved(base, table.dtype, str(n - left)), table.dtype, left)], left)]
            self._fill(base, table, n, self.everywhere(self.across(c, values[0]), table.dtype))
            return []

        self.code.loop(self._size(inner[: len(inner) - self.axes.folded]), group)
