"""A program's source as a Python module: what it is, names for its memory, and ``step``."""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nnspec.codegen.emit import Body, safe
from nnspec.ir.program import Array, Program
from nnspec.ir.types import show

RESERVED = ("array", "kernel", "step", "clock")


def module(program: Program, body: Body, imports: Mapping[str, tuple[str, ...]]) -> str:
    """The source. ``imports`` names what may be used of each module; only what is used is imported."""
    words = set(re.findall(r"[A-Za-z_]\w*", "\n".join(line.split("  #")[0] for line in (*body.steps, *body.kernels))))
    lines = ['"""' + "\n".join(_about(program)), '"""', ""]
    for name, offered in imports.items():
        used = sorted(words.intersection(offered))
        if used:
            lines.append(f"from {name} import {', '.join(used)}")
    lines += ["", "# array(arena, offset in bytes, shape, dtype, strides in elements) is a place in memory"]
    lines += body.arrays
    if body.kernels:
        lines += ["", "# kernel(step, inputs, outputs, workspace) computes what takes more than one call"]
        lines += body.kernels
    lines += ["", "", "def step():", '    """Runs once."""']
    lines += [f"    {line}" for line in body.steps]
    return "\n".join(lines) + "\n"


def _about(program: Program) -> Iterator[str]:
    title = program.title[:1].upper() + program.title[1:]
    yield f"{safe(title)}."
    yield ""
    for word, arrays in (("input", program.inputs), ("state", program.state), ("output", program.outputs)):
        yield from (f"{word:<6}  {safe(name)} {_type(a)}" for name, a in arrays.items())
    yield f"memory  {program.peak:,} bytes ({', '.join(f'{safe(n)} {b:,}' for n, b in program.arenas.items())})"


def _type(a: Array) -> str:
    return f"{a.type.dtype} {show(a.type.shape)}"


def load(source: str, title: str, given: Mapping[str, Any]) -> Callable[[], None]:
    """``step`` of a module of our own making, which finds ``array`` and ``kernel`` among ``given``.

    Arrays are the module's globals, not a function's locals: the time to compile a closure grows with the square of its
    variables. The lines show in tracebacks as those of ``<nnspec TITLE>``.
    """
    filename = f"<nnspec {safe(title)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space: dict[str, Any] = {"__name__": "nnspec_program", **given}
    exec(compile(source, filename, "exec"), space)
    step: Callable[[], None] = space["step"]
    return step
