"""The source of a program for a GPU: a Python module that enqueues its commands, and the CUDA C of its kernels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from nnspec.codegen.emit import Line, emit, safe
from nnspec.codegen.module import RESERVED, module
from nnspec.ir.graph import Call
from nnspec.ir.program import Array, Program, Step, row_major
from nnspec.ir.types import TensorType, known
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


def apart(call: Call) -> Sequence[Command]:
    """The commands of a call whose arrays lie plainly, each by itself."""

    def arrays(word: str, types: Iterable[TensorType]) -> tuple[Array, ...]:
        return tuple(Array(f"{word}{k}", t, f"{word}{k}", 0, row_major(known(t.shape))) for k, t in enumerate(types))

    inputs, outputs = [v.type for v in call.inputs], [v.type for v in call.outputs]
    lowering = LOWERINGS[type(call.op)]
    space = [w for w in lowering.workspace(call.op, inputs, outputs) if isinstance(w, TensorType)]
    return lowering.commands(Step(call, arrays("x", inputs), arrays("y", outputs), arrays("w", space)))


def kernels(program: Program) -> dict[str, Kernel]:
    """The kernels of a program by name, in the order of their first use."""
    return {c.kernel.name: c.kernel for c in commands(program) if isinstance(c, Launch)}
