"""Addresses, masks and moves of vectors along channels: what compiled kernels of any size are written in."""

from __future__ import annotations

from collections.abc import Callable

from nnspec_numpy.llvm.code import Code, Register, everywhere, mangled
from nnspec_numpy.llvm.lanes import Lanes

ALL = ""  # the mask of every lane: what needs none is not masked, for not every processor does that in one instruction


class Vectors:
    """Instructions for vectors along ``channels``, of which the last ones may be fewer than lanes."""

    def __init__(self, code: Code, f: Lanes, channels: Register) -> None:
        self.code, self.f, self.channels = code, f, channels

    def plus(self, a: Register, b: Register) -> Register:
        return a if b == "0" else b if a == "0" else self.code.let(f"add i64 {a}, {b}")

    def times(self, a: Register, b: Register) -> Register:
        return "0" if "0" in (a, b) else b if a == "1" else a if b == "1" else self.code.let(f"mul i64 {a}, {b}")

    def parts(self, whole: Register, size: int) -> Register:
        """How many parts of ``size`` make up ``whole``, the last of them perhaps in part."""
        return whole if size == 1 else self.code.let(f"udiv i64 {self.plus(whole, str(size - 1))}, {size}")

    def at(self, base: Register, place: Register) -> Register:
        """``place`` numbers of four bytes further on."""
        return base if place == "0" else self.code.let(f"getelementptr i32, ptr {base}, i64 {place}")

    def mask(self, c: Register) -> Register:
        """The lanes from channel ``c`` on that are channels."""
        n = self.f.lanes
        left = self.code.let(f"trunc i64 {self.code.let(f'sub i64 {self.channels}, {c}')} to i32")
        count = "<" + ", ".join(f"i32 {i}" for i in range(n)) + ">"
        return self.code.let(f"icmp slt <{n} x i32> {count}, {self._spread(left, 'i32')}")

    def along(self, width: int, body: Callable[[Register, bool], None]) -> None:
        """``body(k, whole)`` for the channels, ``width`` at a time, and for what is left of them."""
        code = self.code
        full, left = (code.let(f"{instruction} i64 {self.channels}, {width}") for instruction in ("udiv", "urem"))

        def one(k: Register, _: list[Register]) -> list[Register]:
            body(k, True)
            return []

        self.when(full, lambda: code.loop(full, one))
        self.when(left, lambda: body(full, False))

    def when(self, count: Register, body: Callable[[], object]) -> None:
        """Where ``count`` is not 0."""
        code = self.code
        inside, after = code.name("some"), code.name("none")
        code.do(f"br i1 {code.let(f'icmp ne i64 {count}, 0')}, label %{inside}, label %{after}")
        code.label(inside)
        body()
        code.do(f"br label %{after}")
        code.label(after)

    def load(self, p: Register, mask: Register, element: str = "float") -> Register:
        kind = f"<{self.f.lanes} x {element}>"
        if mask == ALL:
            return self.code.let(f"load {kind}, ptr {p}, align 4")
        return self.code.call(kind, f"llvm.masked.load.{mangled(element, self.f.lanes)}.p0", f"ptr {p}", "i32 4",
                              f"<{self.f.lanes} x i1> {mask}", f"{kind} zeroinitializer")

    def store(self, x: Register, p: Register, mask: Register, element: str = "float") -> None:
        if mask == ALL:
            self.code.do(f"store <{self.f.lanes} x {element}> {x}, ptr {p}, align 4")
            return
        self.code.run(f"llvm.masked.store.{mangled(element, self.f.lanes)}.p0", f"<{self.f.lanes} x {element}> {x}", f"ptr {p}", "i32 4",
                      f"<{self.f.lanes} x i1> {mask}")

    def soon(self, p: Register, vector: int) -> None:
        """Asks the memory for a vector, so many vectors after ``p``; what is no memory is not asked for."""
        place = self.at(p, str(vector * self.f.lanes)) if vector else p
        self.code.run("llvm.prefetch.p0", f"ptr {place}", "i32 0", "i32 3", "i32 1")

    def everywhere(self, p: Register) -> Register:
        """The number at ``p`` in every lane."""
        return self._spread(self.code.let(f"load float, ptr {p}, align 4"), "float")

    def all_lanes(self, flag: Register, element: str = "i1") -> Register:
        return self._spread(flag, element)

    def number(self, whole: Register) -> Register:
        """A whole number as a float in every lane."""
        return self._spread(self.code.let(f"uitofp i64 {whole} to float"), "float")

    def everywhere_of(self, x: Register, element: str) -> Register:
        """A number, or a constant, in every lane."""
        return self._spread(x, element) if x.startswith("%") else everywhere(x, element, self.f.lanes)

    def _spread(self, x: Register, element: str) -> Register:
        n = self.f.lanes
        one = self.code.let(f"insertelement <{n} x {element}> poison, {element} {x}, i64 0")
        return self.code.let(f"shufflevector <{n} x {element}> {one}, <{n} x {element}> poison, <{n} x i32> zeroinitializer")
