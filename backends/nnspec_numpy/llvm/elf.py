"""Object code put into memory without LLVM, whose library takes longer to load than all object code of a program: Linux on x86-64.

What is known here is what LLVM writes for modules of ours: functions and constants that refer to each other by whole addresses (its large
code model). Whatever else stands in a file, LLVM links it. Source: System V ABI, AMD64 supplement, chapter 4.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from functools import cache
from typing import NamedTuple

START = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")
IDENTITY = b"\x7fELF\x02\x01\x01"  # 64 bits, little endian, version 1
RELOCATABLE, X86_64 = 1, 62
SYMBOLS, RELOCATIONS = 2, 4  # kinds of sections
WRITABLE, HELD, CODE, THREADS = 1, 2, 4, 0x400  # their flags
FILLED = 1  # the kind of one whose bytes are in the file
FUNCTION, ADDRESS = 2, 1  # kinds of a symbol, and of a relocation: all 64 bits of an address
READ, EXECUTE = 1, 4  # of memory
FAILED = (ValueError, IndexError, OverflowError, struct.error, UnicodeDecodeError)


class Unknown(ValueError):
    """Something that is not known here."""


class Section(NamedTuple):
    """A header as the file has it."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Image:
    """Functions in memory, as long as this is kept."""

    def __init__(self, memory: mmap.mmap, start: int, functions: dict[str, int]) -> None:
        self._memory, self._start, self._functions = memory, start, functions

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._functions)

    def get_function_address(self, name: str) -> int:
        """Where a function begins; named as LLVM's engines name it."""
        return self._start + self._functions[name]


def image(code: bytes) -> Image | None:
    """The functions of an object file; None where LLVM has to link it, or memory may not be executed."""
    if not possible():
        return None
    try:
        return _placed(code)
    except (*FAILED, OSError):
        return None


@cache
def possible() -> bool:
    """Whether this is a system whose files these are, and which lets what was written be executed."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return False
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _protect(_address(page), mmap.PAGESIZE, READ | EXECUTE)
    except OSError:
        return False
    return True


def _placed(code: bytes) -> Image:
    sections = _sections(code)
    held = [s for s in sections if s.flags & HELD and s.size]
    if any(s.kind != FILLED or s.flags & (WRITABLE | THREADS) or s.align > mmap.PAGESIZE for s in held):
        raise Unknown("a section that is not of ours")
    content = {i: _bytes(code, s) for i, s in enumerate(sections) if s.flags & HELD and s.size}
    places: dict[int, int] = {}
    first = _stacked(sections, [i for i in content if sections[i].flags & CODE], 0, places)
    end = _stacked(sections, [i for i in content if not sections[i].flags & CODE], first, places)
    if not first:
        raise Unknown("no code")
    memory = mmap.mmap(-1, end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = _address(memory)
    for i, place in places.items():
        memory[place : place + sections[i].size] = content[i]
    functions = _linked(code, sections, places, memory, start)
    _protect(start, first, READ | EXECUTE)
    if end > first:
        _protect(start + first, end - first, READ)
    return Image(memory, start, functions)


def _stacked(sections: list[Section], chosen: list[int], end: int, places: dict[int, int]) -> int:
    """Sections one after another from ``end`` on, in pages of their own; where the last page ends."""
    for i in chosen:
        align = max(sections[i].align, 1)
        places[i] = -(-end // align) * align
        end = places[i] + sections[i].size
    return -(-end // mmap.PAGESIZE) * mmap.PAGESIZE


def _sections(code: bytes) -> list[Section]:
    identity, kind, machine, _, _, _, table, _, _, _, _, size, count, _ = START.unpack_from(code)
    if not identity.startswith(IDENTITY) or (kind, machine, size) != (RELOCATABLE, X86_64, SECTION.size):
        raise Unknown("no object file of this processor")
    return [Section(*SECTION.unpack_from(code, table + i * size)) for i in range(count)]


def _linked(code: bytes, sections: list[Section], places: dict[int, int], memory: mmap.mmap, start: int) -> dict[str, int]:
    """Writes addresses where relocations want them; where each function begins."""
    tables = [s for s in sections if s.kind == SYMBOLS]
    if len(tables) != 1:
        raise Unknown("one table of symbols is wanted")
    names = _bytes(code, sections[tables[0].link])
    symbols = list(SYMBOL.iter_unpack(_bytes(code, tables[0])))
    for s in sections:
        if s.kind != RELOCATIONS or s.info not in places:
            continue
        for offset, info, addend in RELOCATION.iter_unpack(_bytes(code, s)):
            _, _, _, where, value, _ = symbols[info >> 32]
            if info & 0xFFFFFFFF != ADDRESS or where not in places or offset + 8 > sections[s.info].size:
                raise Unknown("a relocation that is not of ours")
            struct.pack_into("<Q", memory, places[s.info] + offset, start + places[where] + value + addend)
    found = {}
    for name, info, _, where, value, _ in symbols:
        if info & 15 == FUNCTION:
            if where not in places or not sections[where].flags & CODE or value >= sections[where].size:
                raise Unknown("a function that is elsewhere")
            found[names[name : names.index(b"\0", name)].decode("ascii")] = places[where] + value
    return found


def _bytes(code: bytes, s: Section) -> bytes:
    found = code[s.offset : s.offset + s.size]
    if len(found) != s.size:
        raise Unknown("the file ends too early")
    return found


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _protect(start: int, size: int, rights: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), ctypes.c_int(rights)):
        raise OSError(ctypes.get_errno(), "mprotect")
