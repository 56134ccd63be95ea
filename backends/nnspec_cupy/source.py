"""The source of a program for a GPU: a Python module that enqueues its commands, and the CUDA C of its kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nnspec.codegen.emit import Line, emit, safe
from nnspec.codegen.module import RESERVED, module
from nnspec.ir.program import Program
from nnspec_cupy.commands import Command, Kernel, Launch
from nnspec_cupy.lowerings import LOWERINGS


def source(program: Program) -> str:
    """The module that ``bind`` runs: each step enqueues its commands, and those of a step that waits for a condition look at it themselves."""
    return module(program, emit(program, _write, RESERVED, conditions=False), {})


def _write(line: Line) -> Iterable[str]:
    commands = LOWERINGS[type(line.op)].commands(line.step)
    condition = f" if {line.step.guard.name}" if line.step.guard else ""
    yield f"{line.bound(repr(line.op))}()  # {safe(', then '.join(map(str, commands)))}{condition}"


def commands(program: Program) -> Iterator[Command]:
    """All that a program enqueues, in order."""
    for step in program.steps:
        yield from LOWERINGS[type(step.call.op)].commands(step)


def kernels(program: Program) -> dict[str, Kernel]:
    """The kernels of a program by name, in the order of their first use."""
    return {c.kernel.name: c.kernel for c in commands(program) if isinstance(c, Launch)}
