"""A fused call over arrays as an LLVM function: loops over rows, explicit vectors along the last axis, masked ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import NamedTuple

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Array
from nnspec.ir.types import DType, count, known
from nnspec.ops.reduce import AllFinite
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import IN_MEMORY, IN_REGISTER, Carried, Code, Register, everywhere, lanes_below, mangled, number, vector
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes

FLUSH = 0x8040  # the bits of MXCSR that make what is below 2^-126 zero, read and written
SHORT = 4  # rows of less than so many vectors are joined, where that makes them whole vectors
Bases = dict[int, Register]


class Function(NamedTuple):
    """The text of a function, whose name is still to be put at ``@NAME``, and what it declares."""

    text: str
    declares: tuple[str, ...]


@dataclass
class Operand:
    """An array as the loops walk it: elements to go on by along each axis."""

    position: int  # among the arguments
    dtype: DType
    strides: tuple[int, ...]


def domain(body: Graph) -> tuple[int, ...]:
    """The shape that the loops walk."""
    shapes = [known(v.shape) for c in body.calls if not isinstance(c.op, Input | Constant)
              for v in (c.inputs if isinstance(c.op, AllFinite) else c.outputs)]
    return max(shapes, key=lambda s: (prod(s), len(s)))


def along(shape: Sequence[int], strides: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    """Strides over the axes of ``whole``: 0 where an operand is repeated."""
    missing = len(whole) - len(shape)
    return (0,) * missing + tuple(0 if n == 1 and w != 1 else s for n, s, w in zip(shape, strides, whole[missing:], strict=True))


def render(body: Graph, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> Function:
    """The function that reads ``inputs`` and fills ``outputs``, both given by a table of addresses."""
    return _Nest(body, inputs, outputs, cpu).function()


class _Nest:
    def __init__(self, body: Graph, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu) -> None:
        self.code, self.cpu = Code(), cpu
        self.lanes = cpu.width // 4
        self.whole = domain(body)
        calls = [c for c in body.calls if not isinstance(c.op, Input)]
        self.numbers = [c for c in calls if elements.small(c) and not isinstance(c.op, AllFinite)]
        self.proofs = [c for c in calls if isinstance(c.op, AllFinite)]
        self.calls = [c for c in calls if not elements.small(c)]
        self.given = list(zip(body.inputs.values(), inputs, strict=True))
        self.wide: dict[Value, Operand] = {}
        for i, (v, a) in enumerate(self.given):
            if count(v.shape) > 1:
                self.wide[v] = Operand(i, v.dtype, along(a.shape, a.strides, self.whole))
        self.stores: list[tuple[Value, Operand]] = []
        self.results: dict[Value, int] = {}
        for i, (v, a) in enumerate(zip(body.outputs.values(), outputs, strict=True), len(inputs)):
            if isinstance(v.op, AllFinite):
                self.results[v] = i
            else:
                self.stores.append((v, Operand(i, v.dtype, along(a.shape, a.strides, self.whole))))
        self.arguments = len(inputs) + len(outputs)
        self.dims = self._joined()
        self.fixed: dict[Value, Register] = {}  # numbers, one lane
        self.spread: dict[Value, Register] = {}  # numbers, in every lane

    @property
    def operands(self) -> list[Operand]:
        return [*self.wide.values(), *(o for _, o in self.stores)]

    def _joined(self) -> list[int]:
        """The domain with neighbouring axes as one where all operands walk them evenly; operands' strides go along."""
        axes = [i for i, n in enumerate(self.whole) if n > 1]
        groups: list[list[int]] = []
        for i in reversed(axes):
            if groups and all(o.strides[i] == o.strides[groups[0][0]] * self.whole[groups[0][0]] for o in self.operands):
                groups[0].insert(0, i)
            else:
                groups.insert(0, [i])
        # the stride of joined axes is that of the last of them; the test above is of the first, whose run grows
        return self._regrouped(groups)

    def _regrouped(self, groups: list[list[int]]) -> list[int]:
        dims = [prod(self.whole[i] for i in g) for g in groups]
        for o in self.operands:
            o.strides = tuple(o.strides[g[-1]] for g in groups)
        return dims

    # The function

    def function(self) -> Function:
        code = self.code
        places = [code.let(f"getelementptr ptr, ptr %arguments, i64 {i}") for i in range(self.arguments)]
        bases = {i: code.let(f"load ptr, ptr {place}") for i, place in enumerate(places)}
        self._numbers(bases)
        restore = self._flush()
        parts = self._parts(bases)
        carried: list[Carried] = [(self._lanes(c).type, self._lanes(c).of(0.0)) for c in self.proofs]
        values = [v for _, v in carried]
        for dims, start in parts:
            values = self._walk(dims, start, list(zip([t for t, _ in carried], values, strict=True)))
        for c, acc in zip(self.proofs, values, strict=True):
            self._proven(c, acc, bases[self.results[c.outputs[0]]])
        if restore:
            code.run("llvm.x86.sse.ldmxcsr", f"ptr {restore}")
        code.do("ret void")
        wide = 8 * self.cpu.width
        head = f'define void @NAME(ptr %arguments) nounwind "prefer-vector-width"="{wide}" "min-legal-vector-width"="{wide}" {{'
        return Function("\n".join([head, "entry:", *code.lines, "}"]), tuple(code.declared))

    def _lanes(self, c: Call) -> Lanes:
        return Lanes(self.code, c.inputs[0].dtype, self.lanes)

    def _numbers(self, bases: Bases) -> None:
        """What is one number everywhere: read or computed once, before the loops."""
        code = self.code
        for i, (v, _) in enumerate(self.given):
            if v not in self.wide:
                self.fixed[v] = self._loaded(bases[i], v.dtype)
        for c in self.numbers:
            v = c.outputs[0]
            if isinstance(c.op, Constant):
                self.fixed[v] = number(c.op.data.item(), v.dtype)
            else:
                self.fixed[v] = elements.write(code, c, [self.fixed[x] for x in c.inputs], 1)
        for v in dict.fromkeys(x for c in (*self.calls, *self.proofs) for x in c.inputs if x in self.fixed):
            self.spread[v] = self._everywhere(self.fixed[v], v.dtype)

    def _everywhere(self, x: Register, dtype: DType) -> Register:
        element = IN_REGISTER[dtype]
        if not x.startswith("%"):
            return everywhere(x, element, self.lanes)
        kind = vector(element, self.lanes)
        first = self.code.let(f"insertelement {kind} poison, {element} {x}, i64 0")
        return self.code.let(f"shufflevector {kind} {first}, {kind} poison, <{self.lanes} x i32> zeroinitializer")

    def _flush(self) -> Register | None:
        """Numbers below 2^-126 cost a hundred times as much as others: they count as zero while single precision runs."""
        doubles = any(v.dtype == DType.float64 for c in self.calls for v in (*c.inputs, *c.outputs) if count(v.shape) > 1)
        if not self.cpu.x86 or doubles:
            return None
        code = self.code
        old, new = code.let("alloca i32"), code.let("alloca i32")
        code.run("llvm.x86.sse.stmxcsr", f"ptr {old}")
        bits = code.let(f"load i32, ptr {old}")
        code.do(f"store i32 {code.let(f'or i32 {bits}, {FLUSH}')}, ptr {new}")
        code.run("llvm.x86.sse.ldmxcsr", f"ptr {new}")
        return old

    # Loops

    def _parts(self, bases: Bases) -> list[tuple[list[int], Bases]]:
        """What is walked: all at once, or joined rows and then those that are left."""
        whole = [(self.dims or [1], bases)]
        if len(self.dims) != 2:
            return whole
        rows, n = self.dims
        each = self.lanes // gcd(n, self.lanes)
        full = [o for o in self.operands if o.strides == (n, 1)]
        columns = [o for o in self.wide.values() if o.strides == (0, 1)]
        if n % self.lanes == 0 or n >= SHORT * self.lanes or rows < 2 * each or len(full) + len(columns) != len(self.operands):
            return whole
        start = {**bases, **{o.position: self._repeated(bases[o.position], o.dtype, n, each) for o in columns}}
        for o in full:
            o.strides = (n * each, 1)
        parts = [([rows // each, n * each], start)]
        left = rows % each
        if left:
            done = rows // each * n * each
            moved = {o.position: self._moved(bases[o.position], o.dtype, str(done)) for o in full}
            parts.append(([1, left * n], {**start, **moved}))
        return parts

    def _repeated(self, base: Register, dtype: DType, n: int, times: int) -> Register:
        """A table on the stack: a row of ``n`` elements, ``times`` over."""
        code, kind = self.code, IN_MEMORY[dtype]
        table = code.let(f"alloca [{n * times} x {kind}], align 64")

        def again(i: Register, _: list[Register]) -> list[Register]:
            def copy(j: Register, _: list[Register]) -> list[Register]:
                x = code.let(f"load {kind}, ptr {self._moved(base, dtype, j)}")
                place = code.let(f"add i64 {code.let(f'mul i64 {i}, {n}')}, {j}")
                code.do(f"store {kind} {x}, ptr {self._moved(table, dtype, place)}")
                return []

            return code.loop(n, copy)

        code.loop(times, again)
        return table

    def _moved(self, base: Register, dtype: DType, by: str) -> Register:
        return base if by == "0" else self.code.let(f"getelementptr {IN_MEMORY[dtype]}, ptr {base}, i64 {by}")

    def _walk(self, dims: Sequence[int], bases: Bases, carried: list[Carried]) -> list[Register]:
        """Loops over all axes but the last, and then along it."""
        depth = len(self.dims) - len(dims) if len(dims) <= len(self.dims) else 0
        if len(dims) == 1:
            return self._along(dims[0], bases, carried)
        kinds = [t for t, _ in carried]

        def body(i: Register, values: list[Register]) -> list[Register]:
            inside = dict(bases)
            for o in self.operands:
                step = o.strides[depth]
                if step:
                    by = i if step == 1 or i == "0" else self.code.let(f"mul i64 {i}, {step}")
                    inside[o.position] = self._moved(bases[o.position], o.dtype, by)
            return self._walk(dims[1:], inside, list(zip(kinds, values, strict=True)))

        return self.code.loop(dims[0], body, carried)

    def _along(self, n: int, bases: Bases, carried: list[Carried]) -> list[Register]:
        """The last axis: several vectors at a time, then one at a time, then what is left under a mask."""
        kinds = [t for t, _ in carried]
        values = [v for _, v in carried]
        constant_rows = self._row_numbers(bases)
        together = self._together()
        vectors, left = divmod(n, self.lanes)
        rounds, rest = divmod(vectors, together)
        done = rounds * together * self.lanes

        def several(i: Register, values: list[Register]) -> list[Register]:
            first = i if i == "0" else self.code.let(f"mul nuw nsw i64 {i}, {together * self.lanes}")
            places = [first] + [str(k * self.lanes) if first == "0" else self.code.let(f"add nuw nsw i64 {first}, {k * self.lanes}")
                                for k in range(1, together)]
            return self._blocks(places, bases, constant_rows, values, None)

        if rounds:
            values = self.code.loop(rounds, several, list(zip(kinds, values, strict=True)))
        if rest:
            values = self._blocks([str(done + k * self.lanes) for k in range(rest)], bases, constant_rows, values, None)
        if left:
            values = self._blocks([str(n - left)], bases, constant_rows, values, left)
        return values

    def _together(self) -> int:
        """How many vectors are computed side by side: enough to hide latencies, few enough for the registers."""
        heavy = sum(8 if type(c.op) in elements.SINGLE else 1 for c in self.calls)
        return 4 if heavy <= 6 else 2 if heavy <= 24 else 1

    def _row_numbers(self, bases: Bases) -> dict[Value, Register]:
        """Operands that do not change along the last axis, in every lane."""
        return {v: self._everywhere(self._loaded(bases[o.position], o.dtype), o.dtype)
                for v, o in self.wide.items() if not o.strides or o.strides[-1] == 0}

    # Vectors

    def _blocks(self, places: Iterable[Register], bases: Bases, rows: dict[Value, Register], values: list[Register],
                left: int | None) -> list[Register]:
        """Computes all before it writes any: what is written may lie where something was read."""
        writes: list[tuple[Operand, Register, Register]] = []
        for place in places:
            known_here = {**self.spread, **rows}
            for c in (*self.calls, *self.proofs):
                for v in c.inputs:
                    if v not in known_here and v in self.wide:
                        o = self.wide[v]
                        known_here[v] = self._read(self._moved(bases[o.position], o.dtype, place), o.dtype, left)
                if c in self.calls:
                    known_here[c.outputs[0]] = elements.write(self.code, c, [known_here[v] for v in c.inputs], self.lanes)
            values = [self._seen(c, acc, [known_here[v] for v in c.inputs], left) for c, acc in zip(self.proofs, values, strict=True)]
            writes += [(o, place, known_here[v]) for v, o in self.stores]
        for o, place, x in writes:
            self._written(self._moved(bases[o.position], o.dtype, place), o.dtype, x, left)
        return values

    def _seen(self, c: Call, acc: Register, x: list[Register], left: int | None) -> Register:
        """``acc + 0 x``: NaN from the first number on that is not finite."""
        f = self._lanes(c)
        for v in x:
            term = v if left is None else f.select(lanes_below(left, self.lanes), v, f.of(0.0))
            acc = f.fma(term, f.of(0.0), acc)
        return acc

    def _proven(self, c: Call, acc: Register, base: Register) -> None:
        f = self._lanes(c)
        fine = f.compare("oeq", acc, f.of(0.0))
        every = self.code.call("i1", f"llvm.vector.reduce.and.{mangled('i1', self.lanes)}", f"{f.mask} {fine}") if self.lanes > 1 else fine
        self.code.do(f"store i8 {self.code.let(f'zext i1 {every} to i8')}, ptr {base}")

    def _loaded(self, base: Register, dtype: DType) -> Register:
        x = self.code.let(f"load {IN_MEMORY[dtype]}, ptr {base}, align {dtype.size}")
        return self.code.let(f"icmp ne i8 {x}, 0") if dtype == DType.bool else x

    def _read(self, base: Register, dtype: DType, left: int | None) -> Register:
        """A vector from memory; no alignment is promised but that of an element."""
        code, kind = self.code, vector(IN_MEMORY[dtype], self.lanes)
        if left is None:
            x = code.let(f"load {kind}, ptr {base}, align {dtype.size}")
        else:
            x = code.call(kind, f"llvm.masked.load.{mangled(IN_MEMORY[dtype], self.lanes)}.p0", f"ptr {base}", f"i32 {dtype.size}",
                          f"<{self.lanes} x i1> {lanes_below(left, self.lanes)}", f"{kind} zeroinitializer")
        return code.let(f"icmp ne {kind} {x}, zeroinitializer") if dtype == DType.bool else x

    def _written(self, base: Register, dtype: DType, x: Register, left: int | None) -> None:
        code, kind = self.code, vector(IN_MEMORY[dtype], self.lanes)
        if dtype == DType.bool:
            x = code.let(f"zext {vector('i1', self.lanes)} {x} to {kind}")
        if left is None:
            code.do(f"store {kind} {x}, ptr {base}, align {dtype.size}")
        else:
            code.run(f"llvm.masked.store.{mangled(IN_MEMORY[dtype], self.lanes)}.p0", f"{kind} {x}", f"ptr {base}", f"i32 {dtype.size}",
                     f"<{self.lanes} x i1> {lanes_below(left, self.lanes)}")
