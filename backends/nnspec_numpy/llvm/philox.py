"""Philox4x32-10 as an LLVM function: as many counters at a time as a vector has lanes, to the bits of the op's reference."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.op import Op
from nnspec.ir.program import Array
from nnspec.ir.types import known
from nnspec.ops.random import MULTIPLIERS, WEYL, RandomBits
from nnspec_numpy.llvm.code import Code, Register, everywhere, lanes_below, vector
from nnspec_numpy.llvm.cpu import Cpu
from nnspec_numpy.llvm.nest import Function

HALVES = 8  # numbers of 16 bits that a counter gives
ROUNDS = 10
WORD = (1 << 32) - 1


def takes(op: Op) -> bool:
    """Whether there is anything to draw, for rows."""
    return isinstance(op, RandomBits) and len(op.shape) > 0 and prod(known(op.shape)) > 0


def render(op: RandomBits, outputs: Sequence[Array], cpu: Cpu) -> Function:
    """The function of (seed, step, numbers), given by a table of addresses."""
    return _Draw(op, cpu).function()


class _Draw:
    def __init__(self, op: RandomBits, cpu: Cpu) -> None:
        self.code, self.stream, self.lanes = Code(), op.stream, cpu.width // 4
        self.width = 8 * cpu.width
        self.kind, self.wide = vector("i32", self.lanes), vector("i64", self.lanes)
        self.rows, self.numbers = known(op.shape)[0], prod(known(op.shape)[1:])
        self.words = -(-self.numbers // HALVES)  # counters of a row, of whose last one numbers may be left over

    def function(self) -> Function:
        code = self.code
        seed, step, out = (code.let(f"load ptr, ptr {code.let(f'getelementptr ptr, ptr %arguments, i64 {i}')}") for i in range(3))
        key, now = code.let(f"load i32, ptr {seed}"), code.let(f"load i64, ptr {step}")
        low, high = code.let(f"trunc i64 {now} to i32"), code.let(f"trunc i64 {code.let(f'lshr i64 {now}, 32')} to i32")
        keys = [(self.spread(code.let(f"add i32 {key}, {WEYL[0] * i & WORD}")), self.all(self.stream + WEYL[1] * i & WORD)) for i in range(ROUNDS)]
        steps = self.spread(low), self.spread(high)
        vectors, left = divmod(self.rows * self.words, self.lanes)
        write = self.placed if self.numbers % HALVES else self.written

        def block(i: Register, _: list[Register]) -> list[Register]:
            first = i if i == "0" else code.let(f"mul nuw nsw i64 {i}, {self.lanes}")
            write(self.drawn(first, steps, keys), out, first, None)
            return []

        if vectors:
            code.loop(vectors, block)
        if left:
            first = str(vectors * self.lanes)
            write(self.drawn(first, steps, keys), out, first, left)
        code.do("ret void")
        head = f'define void @NAME(ptr %arguments) nounwind "prefer-vector-width"="{self.width}" "min-legal-vector-width"="{self.width}" {{'
        return Function("\n".join([head, "entry:", *code.head, *code.lines, "}"]), tuple(code.declared))

    def all(self, x: int) -> Register:
        return everywhere(str(x if x < 1 << 31 else x - (1 << 32)), "i32", self.lanes)

    def spread(self, x: Register) -> Register:
        first = self.code.let(f"insertelement {self.kind} poison, i32 {x}, i64 0")
        return self.code.let(f"shufflevector {self.kind} {first}, {self.kind} poison, <{self.lanes} x i32> zeroinitializer")

    def binary(self, instruction: str, a: Register, b: Register) -> Register:
        return self.code.let(f"{instruction} {self.kind} {a}, {b}")

    def drawn(self, first: Register, steps: tuple[Register, Register], keys: Sequence[tuple[Register, Register]]) -> list[Register]:
        """The four words of neighbouring counters, counted through all rows."""
        code = self.code
        start = self.spread(first if not first.startswith("%") else code.let(f"trunc i64 {first} to i32"))
        order = "<" + ", ".join(f"i32 {i}" for i in range(self.lanes)) + ">"
        number = self.binary("add", start, order)
        a, b = self.binary("urem", number, self.all(self.words)), self.binary("udiv", number, self.all(self.words))
        c, d = steps
        for k0, k1 in keys:
            (p, low_p), (q, low_q) = self.product(a, int(MULTIPLIERS[0])), self.product(c, int(MULTIPLIERS[1]))
            a, b = self.binary("xor", self.binary("xor", q, b), k0), low_q
            c, d = self.binary("xor", self.binary("xor", p, d), k1), low_p
        return [a, b, c, d]

    def product(self, x: Register, multiplier: int) -> tuple[Register, Register]:
        """The upper and the lower half of a product."""
        code = self.code
        wide = code.let(f"zext {self.kind} {x} to {self.wide}")
        both = code.let(f"mul {self.wide} {wide}, {everywhere(str(multiplier), 'i64', self.lanes)}")
        upper = code.let(f"lshr {self.wide} {both}, {everywhere('32', 'i64', self.lanes)}")
        return code.let(f"trunc {self.wide} {upper} to {self.kind}"), code.let(f"trunc {self.wide} {both} to {self.kind}")

    def written(self, words: Sequence[Register], out: Register, first: Register, left: int | None) -> None:
        """The words of each counter one after the other."""
        code, n = self.code, self.lanes
        two, four = vector("i32", 2 * n), vector("i32", 4 * n)
        side = "<" + ", ".join(f"i32 {i}" for i in range(2 * n)) + ">"
        ab, cd = (code.let(f"shufflevector {self.kind} {x}, {self.kind} {y}, <{2 * n} x i32> {side}") for x, y in (words[:2], words[2:]))
        order = "<" + ", ".join(f"i32 {word * n + i}" for i in range(n) for word in range(4)) + ">"
        whole = code.let(f"shufflevector {two} {ab}, {two} {cd}, <{4 * n} x i32> {order}")
        at = code.let(f"getelementptr i128, ptr {out}, i64 {first}")
        if left is None:
            code.do(f"store {four} {whole}, ptr {at}, align 2")
        else:
            code.run(f"llvm.masked.store.v{4 * n}i32.p0", f"{four} {whole}", f"ptr {at}", "i32 2", f"<{4 * n} x i1> {lanes_below(4 * left, 4 * n)}")

    def placed(self, words: Sequence[Register], out: Register, first: Register, left: int | None) -> None:
        """The same where a row's last counter gives more than the row takes: what is too much is overwritten by the next row, or, at the end of
        all, not written."""
        code, total = self.code, self.rows * self.numbers
        space = code.stack(4 * self.lanes, "i32")
        self.written(words, space, "0", None)

        def one(i: Register, _: list[Register]) -> list[Register]:
            number = i if first == "0" else code.let(f"add i64 {first}, {i}")
            row = code.let(f"udiv i64 {number}, {self.words}")
            word = code.let(f"sub i64 {number}, {code.let(f'mul i64 {row}, {self.words}')}")
            place = code.let(f"add i64 {code.let(f'mul i64 {row}, {self.numbers}')}, {code.let(f'mul i64 {word}, {HALVES}')}")
            source, target = code.let(f"getelementptr i128, ptr {space}, i64 {i}"), code.let(f"getelementptr i16, ptr {out}, i64 {place}")
            rest = code.let(f"sub i64 {total}, {place}")
            whole, some, after = (code.name(hint) for hint in ("whole", "some", "after"))
            code.do(f"br i1 {code.let(f'icmp uge i64 {rest}, {HALVES}')}, label %{whole}, label %{some}")
            code.label(whole)
            code.do(f"store <{HALVES} x i16> {code.let(f'load <{HALVES} x i16>, ptr {source}, align 16')}, ptr {target}, align 2")
            code.do(f"br label %{after}")
            code.label(some)

            def half(k: Register, _: list[Register]) -> list[Register]:
                a, b = (code.let(f"getelementptr i16, ptr {p}, i64 {k}") for p in (source, target))
                code.do(f"store i16 {code.let(f'load i16, ptr {a}, align 2')}, ptr {b}, align 2")
                return []

            code.loop(rest, half)
            code.do(f"br label %{after}")
            code.label(after)
            return []

        code.loop(left or self.lanes, one)
