"""Compiled kernels for shapes of any size, by family: made once for a processor, kept on disk, loaded when first asked for.

A kernel takes one table of addresses and whole numbers, eight bytes each, so that a call costs no more than a pointer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TypeAlias

from nnspec.codegen import stored
from nnspec.codegen.stored import fingerprint
from nnspec.ir.op import Array
from nnspec_numpy.llvm.build import Names, linked
from nnspec_numpy.llvm.call import Call, call
from nnspec_numpy.llvm.code import Code, Register
from nnspec_numpy.llvm.cpu import Cpu, chosen

Text: TypeAlias = str
Family: TypeAlias = Callable[[Cpu], Iterator[tuple[str, Code]]]


class Kernels:
    """A family's functions by name."""

    def __init__(self, family: Family, cpu: Cpu) -> None:
        self.lanes = cpu.width // 4

        def write() -> tuple[str, Names]:
            written = list(family(cpu))
            declares = dict.fromkeys(line for _, code in written for line in code.declared)
            text = "\n\n".join([*(function(name, code, cpu.x86) for name, code in written), "\n".join(declares)]) + "\n"
            return text, {"": [name for name, _ in written]}

        self._engine, names = linked(called(family, cpu), cpu, write)
        self._functions = {name: self._engine.get_function_address(name) for name in names[""]}

    def bind(self, name: str, *arguments: Array | int) -> Call:
        """A call over arrays, whose addresses are read here and never again, and whole numbers."""
        table = (ctypes.c_int64 * len(arguments))(*(a if isinstance(a, int) else a.ctypes.data for a in arguments))
        return call(self._functions[name], ctypes.addressof(table), self, table, arguments)


def called(family: Callable[..., object], cpu: Cpu) -> bytes:
    """What tells a family's functions from all others, but for their text: its name, its fields where it has some, and the sources."""
    name = f"{family.__module__}.{getattr(family, '__qualname__', '') or repr(family)}"
    sources = fingerprint() if stored.KEEPS and "<" not in name else ""
    return f"{sources} {name} {cpu!r}".encode() if sources else b""


def library(family: Family) -> Kernels | None:
    """A family for this processor; None without llvmlite."""
    cpu = chosen()
    return None if cpu is None else _kernels(family, cpu)


@cache
def _kernels(family: Family, cpu: Cpu) -> Kernels:
    return Kernels(family, cpu)


def function(name: str, code: Code, x86: bool) -> Text:
    """A kernel, which like a nest takes numbers below 2^-126 for zero."""
    before = code.flush() if x86 else []
    lines = "\n".join([*code.head, *before, *code.lines])
    return f"define void @{name}(ptr noalias nocapture readonly %table) nounwind {{\nentry:\n{lines}\n  ret void\n}}"


class Table:
    """The arguments of a kernel, in the order in which they are taken."""

    def __init__(self, code: Code) -> None:
        self._code, self._next = code, 0

    def pointers(self, count: int) -> Sequence[Register]:
        return [self._code.let(f"inttoptr i64 {x} to ptr") for x in self.sizes(count)]

    def sizes(self, count: int) -> Sequence[Register]:
        found = []
        for _ in range(count):
            place = self._code.let(f"getelementptr i64, ptr %table, i64 {self._next}")
            found.append(self._code.let(f"load i64, ptr {place}, align 8"))
            self._next += 1
        return found
