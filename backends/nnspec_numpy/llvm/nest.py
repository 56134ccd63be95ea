"""What every loop nest has: operands, numbers computed before the loops, vectors read and written, masked at their ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import NamedTuple

from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Array
from nnspec.ir.types import DType, count
from nnspec.ops.fused import Fused
from nnspec.ops.reduce import AllFinite, ArgMax
from nnspec.records import dataclass
from nnspec_numpy.llvm import elements
from nnspec_numpy.llvm.code import FLUSH, IN_MEMORY, IN_REGISTER, Carried, Code, Register, everywhere, lanes_below, mangled, number, vector
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.lanes import Lanes

Bases = dict[int, Register]
Values = dict[Value, Register]


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


def along(shape: Sequence[int], strides: Sequence[int], whole: Sequence[int]) -> tuple[int, ...]:
    """Strides over the axes of ``whole``: 0 where an operand is repeated."""
    missing = len(whole) - len(shape)
    return (0,) * missing + tuple(0 if n == 1 and w != 1 else s for n, s, w in zip(shape, strides, whole[missing:], strict=True))


class Part(NamedTuple):
    """One of several functions that share a nest, each with some of an axis."""

    number: int
    of: int


ALL = Part(0, 1)


class Nest(ABC):
    """A function in the making; subclasses write its loops."""

    def __init__(self, op: Fused, inputs: Sequence[Array], outputs: Sequence[Array], cpu: Cpu, part: Part = ALL) -> None:
        self.part = part
        self.code, self.cpu = Code(op.exact), cpu
        self.lanes = cpu.width // 4
        self.whole = op.domain
        self.single = Lanes(self.code, DType.float32, self.lanes)
        calls = [c for c in op.body.calls if not isinstance(c.op, Input)]
        self.numbers = [c for c in calls if elements.small(c) and isinstance(c.op, Constant) or self._is_number(c)]
        self.calls = [c for c in calls if c not in self.numbers]
        self.given = list(zip(op.body.inputs.values(), inputs, strict=True))
        self.results = list(zip(op.body.outputs.values(), outputs, strict=True))
        self.wide = {v: Operand(i, v.dtype, self.steps(v, a)) for i, (v, a) in enumerate(self.given) if count(v.shape) > 1}
        self.stores = [(v, Operand(i, v.dtype, self.steps(v, a))) for i, (v, a) in enumerate(self.results, len(inputs))]
        self.arguments = len(inputs) + len(outputs)
        self.fixed: Values = {}  # numbers, one lane
        self.spread: Values = {}  # numbers, in every lane
        self.dims = self._joined()

    def _is_number(self, c: Call) -> bool:
        return elements.small(c) and c.op.elementwise and not isinstance(c.op, AllFinite)

    def steps(self, v: Value, a: Array) -> tuple[int, ...]:
        """The strides of an array over the axes of the domain."""
        return along(a.shape, a.strides, self.whole)

    @property
    def operands(self) -> list[Operand]:
        return [*self.wide.values(), *(o for _, o in self.stores)]

    def _joined(self) -> list[int]:
        """The domain with neighbouring axes as one where all operands walk them evenly; operands' strides go along."""
        groups: list[list[int]] = []
        for i in reversed([i for i, n in enumerate(self.whole) if n > 1]):
            if groups and self.joins(i) and all(o.strides[i] == o.strides[groups[0][0]] * self.whole[groups[0][0]] for o in self.operands):
                groups[0].insert(0, i)
            else:
                groups.insert(0, [i])
        for o in self.operands:
            o.strides = tuple(o.strides[g[-1]] for g in groups)
        return [prod(self.whole[i] for i in g) for g in groups]

    def joins(self, axis: int) -> bool:
        """Whether an axis may be walked as one with the next."""
        return True

    # The function

    def function(self) -> Function:
        code = self.code
        places = [code.let(f"getelementptr ptr, ptr %arguments, i64 {i}") for i in range(self.arguments)]
        bases = {i: code.let(f"load ptr, ptr {place}") for i, place in enumerate(places)}
        self._before(bases)
        if self.part.of > 1:
            start, end = self.bounds(self.part.of)[self.part.number : self.part.number + 2]
            self.dims[0] = end - start
        restore = self._flush()
        self.loops(bases)
        if restore:
            code.run("llvm.x86.sse.ldmxcsr", f"ptr {restore}")
        code.do("ret void")
        wide = 8 * self.cpu.width
        head = f'define void @NAME(ptr %arguments) nounwind "prefer-vector-width"="{wide}" "min-legal-vector-width"="{wide}" {{'
        return Function("\n".join([head, "entry:", *code.head, *code.lines, "}"]), tuple(code.declared))

    def bounds(self, parts: int) -> list[int]:
        """Where parts of the first axis end: whole vectors, where there is no other; all of it, where a row alone would be shared."""
        if not self.dims:
            return [0, 1]
        n, unit = self.dims[0], self.lanes if len(self.dims) == 1 else 1
        ends = [n * i // parts // unit * unit for i in range(parts)]
        return [*ends, n] if len({*ends, n}) == parts + 1 and not (self.whole_rows and len(self.dims) == 1) else [0, n]

    whole_rows = False  # whether a row is never shared
    flushes = True  # whether it is worth the while

    def starts(self) -> list[int]:
        """How many bytes behind the beginning of each argument this part begins: equal parts are one function, over other addresses."""
        found = [0] * self.arguments
        if self.part.of > 1:
            start = self.bounds(self.part.of)[self.part.number]
            for o in self.operands:
                found[o.position] = start * o.strides[0] * o.dtype.size
        return found

    @abstractmethod
    def loops(self, bases: Bases) -> None:
        """Everything between the first number and the last."""

    def _before(self, bases: Bases) -> None:
        """What is one number everywhere: read or computed once, before the loops."""
        code = self.code
        for i, (v, _) in enumerate(self.given):
            if v not in self.wide:
                self.fixed[v] = self.loaded(bases[i], v.dtype)
        for c in self.numbers:
            v = c.outputs[0]
            if isinstance(c.op, Constant):
                self.fixed[v] = number(c.op.data.item(), v.dtype)
            else:
                self.fixed[v] = elements.write(code, c, [self.fixed[x] for x in c.inputs], 1)
        for v in dict.fromkeys(x for c in self.calls for x in c.inputs if x in self.fixed):
            self.spread[v] = self.everywhere(self.fixed[v], v.dtype)

    def _flush(self) -> Register | None:
        """Numbers below 2^-126 cost a hundred times as much as others: they count as zero while single precision runs."""
        doubles = any(v.dtype == DType.float64 for c in self.calls for v in (*c.inputs, *c.outputs) if count(v.shape) > 1)
        if not self.cpu.x86 or doubles or not self.flushes:
            return None
        code = self.code
        old, new = code.stack(1, "i32"), code.stack(1, "i32")
        code.run("llvm.x86.sse.stmxcsr", f"ptr {old}")
        bits = code.let(f"load i32, ptr {old}")
        code.do(f"store i32 {code.let(f'or i32 {bits}, {FLUSH}')}, ptr {new}")
        code.run("llvm.x86.sse.ldmxcsr", f"ptr {new}")
        return old

    # Loops over axes

    def walk(self, axes: Sequence[int], sizes: Sequence[int], bases: Bases, inner: Callable[[Bases, list[Register]], list[Register]],
             carried: Sequence[Carried] = ()) -> list[Register]:
        """Loops over ``axes``, which have ``sizes``, outermost first; ``inner`` is written once, in the innermost."""
        if not axes:
            return inner(bases, [v for _, v in carried])
        kinds = [t for t, _ in carried]

        def body(i: Register, values: list[Register]) -> list[Register]:
            inside = self.stepped(bases, axes[0], i)
            return self.walk(axes[1:], sizes[1:], inside, inner, list(zip(kinds, values, strict=True)))

        return self.code.loop(sizes[0], body, carried)

    def stepped(self, bases: Bases, axis: int, i: Register, times: int = 1) -> Bases:
        """Where operands lie ``i`` steps of ``times`` elements further on along an axis."""
        inside = dict(bases)
        for o in self.operands:
            step = o.strides[axis] * times
            if step and i != "0":
                inside[o.position] = self.moved(bases[o.position], o.dtype, i if step == 1 else self.code.let(f"mul i64 {i}, {step}"))
        return inside

    def moved(self, base: Register, dtype: DType, by: str) -> Register:
        return base if by == "0" else self.code.let(f"getelementptr {IN_MEMORY[dtype]}, ptr {base}, i64 {by}")

    # Vectors

    def together(self) -> int:
        """How many vectors are computed side by side: enough to hide latencies, few enough for the registers."""
        heavy = sum(8 if type(c.op) in elements.SINGLE else 1 for c in self.calls)
        return 4 if heavy <= 6 else 2 if heavy <= 24 else 1

    def constant_along(self, bases: Bases) -> Values:
        """Operands that do not change along the last axis, in every lane."""
        return {v: self.everywhere(self.loaded(bases[o.position], o.dtype), o.dtype) for v, o in self.wide.items() if o.strides[-1] == 0}

    def compute(self, calls: Iterable[Call], here: Values, bases: Bases, place: Register, left: int | None) -> None:
        """The instructions of ``calls`` for the vector at ``place``; ``here`` knows what is there already, and gains the rest."""
        for c in calls:
            for v in c.inputs:
                self.fetch(v, here, bases, place, left)
            if c.op.elementwise and not isinstance(c.op, AllFinite):
                here[c.outputs[0]] = elements.write(self.code, c, [here[v] for v in c.inputs], self.lanes)

    def fetch(self, v: Value, here: Values, bases: Bases, place: Register, left: int | None) -> None:
        if v not in here and v in self.wide:
            o = self.wide[v]
            here[v] = self.read(self.moved(bases[o.position], o.dtype, place), o.dtype, left)

    def everywhere(self, x: Register, dtype: DType) -> Register:
        element = IN_REGISTER[dtype]
        if not x.startswith("%"):
            return everywhere(x, element, self.lanes)
        kind = vector(element, self.lanes)
        first = self.code.let(f"insertelement {kind} poison, {element} {x}, i64 0")
        return self.code.let(f"shufflevector {kind} {first}, {kind} poison, <{self.lanes} x i32> zeroinitializer")

    def loaded(self, base: Register, dtype: DType) -> Register:
        """One number."""
        x = self.code.let(f"load {IN_MEMORY[dtype]}, ptr {base}, align {dtype.size}")
        return self.code.let(f"icmp ne i8 {x}, 0") if dtype == DType.bool else x

    def stored(self, base: Register, dtype: DType, x: Register) -> None:
        """One number."""
        if dtype == DType.bool:
            x = self.code.let(f"zext i1 {x} to i8")
        self.code.do(f"store {IN_MEMORY[dtype]} {x}, ptr {base}, align {dtype.size}")

    def read(self, base: Register, dtype: DType, left: int | None = None) -> Register:
        """A vector from memory; no alignment is promised but that of an element.

        What is not there is 0; for floats in vectors of 128 bits it is 1. There a mask is no instruction, and sums over lanes that are selected
        came out as NaN where the others held 0 / 0: a lane that is known to be 0 is selected by nobody."""
        code, kind = self.code, vector(IN_MEMORY[dtype], self.lanes)
        if left is None:
            x = code.let(f"load {kind}, ptr {base}, align {dtype.size}")
        else:
            one = self.lanes <= 4 and dtype in (DType.float32, DType.float64)
            absent = everywhere(number(1.0, dtype), IN_MEMORY[dtype], self.lanes) if one else "zeroinitializer"
            x = code.call(kind, f"llvm.masked.load.{mangled(IN_MEMORY[dtype], self.lanes)}.p0", f"ptr {base}", f"i32 {dtype.size}",
                          f"<{self.lanes} x i1> {lanes_below(left, self.lanes)}", f"{kind} {absent}")
        return code.let(f"icmp ne {kind} {x}, zeroinitializer") if dtype == DType.bool else x

    def write(self, base: Register, dtype: DType, x: Register, left: int | None = None) -> None:
        """A vector to memory."""
        code, kind = self.code, vector(IN_MEMORY[dtype], self.lanes)
        if dtype == DType.bool:
            x = code.let(f"zext {vector('i1', self.lanes)} {x} to {kind}")
        if left is None:
            code.do(f"store {kind} {x}, ptr {base}, align {dtype.size}")
        else:
            code.run(f"llvm.masked.store.{mangled(IN_MEMORY[dtype], self.lanes)}.p0", f"{kind} {x}", f"ptr {base}", f"i32 {dtype.size}",
                     f"<{self.lanes} x i1> {lanes_below(left, self.lanes)}")

    # Reductions of what vectors hold

    def start(self, c: Call) -> Carried:
        """The type of a reduction's accumulator, and what it begins with."""
        f = self._of(c)
        if isinstance(c.op, ArgMax):
            return vector("i64", self.lanes), everywhere(str(-(1 << 63)), "i64", self.lanes)
        return f.type, f.of(0.0 if isinstance(c.op, AllFinite) else elements.neutral(c.op))

    def _of(self, c: Call) -> Lanes:
        return Lanes(self.code, c.inputs[0].dtype, self.lanes)

    def gathered(self, c: Call, acc: Register, x: Sequence[Register], left: int | None) -> Register:
        """An accumulator after one more vector; a proof adds ``0 x``: NaN from the first number on that is not finite."""
        f = self._of(c)
        for v in x:
            if left is not None:
                v = f.select(lanes_below(left, self.lanes), v, f.of(0.0 if isinstance(c.op, AllFinite) else elements.neutral(c.op)))
            acc = f.fma(v, f.of(0.0), acc) if isinstance(c.op, AllFinite) else elements.combine(c.op, f, acc, v)
        return acc

    def proven(self, c: Call, acc: Register, x: Sequence[Register]) -> Register:
        """A proof after several whole vectors, which wait for one another in pairs and not one after another."""
        f = self._of(c)
        sums = [f.mul(v, f.of(0.0)) for v in x[::2]]
        sums = [f.fma(v, f.of(0.0), s) for v, s in zip(x[1::2], sums, strict=False)] + sums[len(x) // 2 :]
        while len(sums) > 1:
            sums = [f.add(a, b) for a, b in zip(sums[::2], sums[1::2], strict=False)] + sums[len(sums) // 2 * 2 :]
        return f.add(acc, sums[0])

    def joined(self, c: Call, a: Register, b: Register) -> Register:
        """Two accumulators as one."""
        f = self._of(c)
        return f.add(a, b) if isinstance(c.op, AllFinite) else elements.combine(c.op, f, a, b)

    def across(self, c: Call, acc: Register) -> Register:
        """The lanes of an accumulator as one number: halves upon halves."""
        f, n = self._of(c), self.lanes
        if isinstance(c.op, AllFinite):
            fine = f.compare("oeq", acc, f.of(0.0))
            return self.code.call("i1", f"llvm.vector.reduce.and.{mangled('i1', n)}", f"{f.mask} {fine}")
        kind = self.start(c)[0]
        while n > 1:
            n //= 2
            order = ", ".join(f"i32 {i + n if i < n else i}" for i in range(self.lanes))
            other = self.code.let(f"shufflevector {kind} {acc}, {kind} poison, <{self.lanes} x i32> <{order}>")
            acc = elements.combine(c.op, f, acc, other)
        first = self.code.let(f"extractelement {kind} {acc}, i64 0")
        return self.code.let(f"and i64 {self.code.let(f'xor i64 {first}, -1')}, {(1 << 32) - 1}") if isinstance(c.op, ArgMax) else first
