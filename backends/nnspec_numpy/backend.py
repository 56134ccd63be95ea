"""The NumPy backend: plans, prints and runs programs on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import Context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen import plan
from nnspec.codegen.backend import Speed
from nnspec.codegen.module import load
from nnspec.codegen.stored import read
from nnspec.ir.graph import Call, Graph
from nnspec.ir.op import Composite
from nnspec.ir.program import STATE, Copy, Program, Step
from nnspec.ir.types import TensorType
from nnspec.ops.fused import Followed, Fused, written
from nnspec.ops.matmul import MatMul
from nnspec.ops.normalization import Moments
from nnspec.ops.resample import ResampleAxes, ResampleAxesGrad
from nnspec_numpy import crew
from nnspec_numpy.clock import Clock
from nnspec_numpy.emit import WORDS, source
from nnspec_numpy.kernels import KERNELS, follows
from nnspec_numpy.kernels.copies import described as described_copy
from nnspec_numpy.kernels.kernel import Step as Fill
from nnspec_numpy.kernels.matmul import planned
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.llvm.render import described
from nnspec_numpy.llvm.rules import Nests
from nnspec_numpy.memory import Arenas, NumpyMemory
from nnspec_numpy.nests import functions
from nnspec_numpy.plan import NumpyRules
from nnspec_numpy.team import TEAM
from nnspec_numpy.threads import core, set_threads

BUFFER = 2048  # elements that a ufunc copies at a time where operands are not one flat run: NumPy's own 8192 take 64 kB each in float64


class NumpyExecutable:
    """A program bound to memory. ``inputs`` are written in place before ``run``; ``outputs`` are overwritten by it."""

    def __init__(self, program: Program, memory: NumpyMemory, seconds: NDArray[Any] | None = None) -> None:
        arenas = Arenas(program, memory)
        self.program = program
        self.inputs: Mapping[str, NDArray[Any]] = {name: arenas.of(a) for name, a in program.inputs.items()}
        self.outputs: Mapping[str, NDArray[Any]] = {name: arenas.of(a) for name, a in program.outputs.items()}

        self._memory, self._seen = memory, -1
        self._fills: dict[str, Sequence[Fill]] = {}
        self._writes = any(a.arena.startswith(STATE) for s in program.steps for a in s.outputs)
        nests = functions(program)

        def kernel(index: int, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]],
                   workspace: Sequence[NDArray[Any]]) -> Any:
            op = program.steps[index].call.op
            if nests is not None and index in nests:
                return nests.bind(index, inputs, outputs)
            self._keep(program.steps[index], inputs, workspace)
            return KERNELS[type(op)].bind(op, inputs, outputs, workspace)

        given: dict[str, Any] = {"array": arenas.array, "kernel": kernel}
        self._clock = None if seconds is None else Clock(seconds)
        if self._clock is not None:
            given["clock"] = self._clock.ended
        self._step = load(source(program, seconds is not None), program.title, given)
        self._context = Context()  # an empty one: nothing of the caller's is held
        self._context.run(_quiet)

    def _keep(self, step: Step, inputs: Sequence[NDArray[Any]], workspace: Sequence[NDArray[Any]]) -> None:
        """Remembers how what the step keeps of a weight is made."""
        call = step.call
        forms = KERNELS[type(call.op)].forms(call.op, [v.type for v in call.inputs], [v.type for v in call.outputs])
        first = len(workspace) - len(forms)
        for form, array, place in zip(forms, workspace[first:], step.workspace[first:], strict=True):
            self._fills[place.arena] = form.fill(inputs[1], array)

    def _made(self) -> None:
        """Makes what is kept anew where a state was written since, by whatever program."""
        memory = self._memory
        for arena, steps in self._fills.items():
            if memory.made.get(arena) != memory.written:
                for fill in steps:
                    fill()
                memory.made[arena] = memory.written
        self._seen = memory.written

    def run(self) -> None:
        """One step; nothing is allocated but a few small objects."""
        self._context.copy().run(self._once)  # a copy: a process that was forked meanwhile may run it too

    def _once(self) -> None:
        if self._fills and self._seen != self._memory.written:
            self._made()
        crew.ready()
        if self._clock is not None:
            self._clock.begin()
        self._memory.written += self._writes  # before it begins: what fails half-way has written too
        self._step()


def _quiet() -> None:
    """NumPy's own settings of a context: they are read with it, in a tenth of the time that setting them before each step takes."""
    np.seterr(all="ignore")
    np.setbufsize(BUFFER)


class NumpyBackend:
    """``nnspec.codegen.backend.Backend`` over NumPy."""

    name = "numpy"
    late = False

    def claims(self, op: Composite, strict: bool = False) -> bool:
        """Whether there is a kernel for the whole composite. That for moments adds up in an order of its own; NumPy alone has none."""
        if isinstance(op, Moments | ResampleAxes | ResampleAxesGrad) and chosen() is None:
            return False
        return type(op) in KERNELS and not (isinstance(op, Moments) and strict)

    def loops(self, strict: bool = False) -> Nests | None:
        """What loop nests take; None without llvmlite. Where it is ``strict`` they reorder nothing."""
        cpu = chosen()
        return Nests(cpu, strict, follows) if cpu is not None else None

    def plan(self, graph: Graph, title: str) -> Program:
        """Steps and memory for a graph that went through the passes."""
        return plan.plan(graph, title, NumpyRules(), reserved=WORDS)

    def restore(self, content: bytes, key: bytes) -> Program | None:
        """A program that was written; None where it is not one that ``plan`` could have made."""
        return read(content, key, NumpyRules(), WORDS)

    def signature(self) -> str:
        """What programs depend on besides graphs: the processor and its vectors, and BLAS."""
        return f"{chosen()!r} {core()}"

    def choice(self, step: Step) -> str:
        """The way a step is computed and why, where there are several; else nothing."""
        call, cpu = step.call, chosen()
        if isinstance(call.op, Fused):
            return described(call.op, step.inputs, step.outputs, cpu) if cpu is not None else ""
        if isinstance(call.op, MatMul):
            return str(planned(call.op, step.inputs, step.outputs, step.workspace))
        if isinstance(call.op, Followed) and isinstance(call.op.first, MatMul):
            return f"{planned(call.op.first, step.inputs[:2], step.outputs[:1], step.workspace, own=True)}; then {written(call.op.body)}"
        if isinstance(call.op, Copy):
            return "" if step.inputs[0].literal else described_copy(step.outputs[0], step.inputs[0])
        own = KERNELS.get(type(call.op))
        return own.choice(call.op, [v.type for v in call.inputs], [v.type for v in call.outputs]) if own else ""

    def ways(self, call: Call) -> tuple[str, ...]:
        """The names of all ways that a call of a program can go, first that of the cost model; none where there is one."""
        op, own = call.op.but(way=""), KERNELS.get(type(call.op))
        if own is None:
            return ()
        types = [v.type for v in call.inputs], [v.type for v in call.outputs]
        found = own.ways(op, *types)
        if len(found) < 2:
            return ()
        first = own.choice(op, *types).partition(":")[0]
        return first, *(name for name in found if name != first)

    def machine(self, tf32: bool = False) -> dict[str, str]:
        """What decides which way is the fastest: the processor that code is made for, its vectors, and the kernels of BLAS."""
        cpu = chosen()
        return {"cpu": cpu.name if cpu else "NumPy alone", "vectors": f"{8 * cpu.width} bits" if cpu else "none", "blas": core()}

    def source(self, program: Program) -> str:
        """The Python that ``bind`` runs."""
        return source(program)

    def memory(self, types: Mapping[str, TensorType], tf32: bool = False) -> NumpyMemory:
        """Zeroed state. No processor has faster products of rounded operands: ``tf32`` makes no difference."""
        return NumpyMemory(types)

    def room(self) -> None:
        """Programs are in the host's memory."""

    def speed(self) -> Speed:
        """By the width of vectors and the number of threads: a core has two pipes, at some 2.5 GHz."""
        cpu, threads = chosen(), TEAM.threads
        lanes = cpu.width // 4 if cpu is not None else 8
        return Speed(threads * lanes * 4 * 2.5e9 * 0.7, 12e9 * min(threads, 4), 1e-6, 1e-5)

    def status(self) -> str:
        """There is nothing that could be missing."""
        return "ready"

    def set_threads(self, count: int) -> None:
        """For large matrix products; everything else uses one."""
        set_threads(count)

    def bind(self, program: Program, memory: NumpyMemory, seconds: NDArray[Any] | None = None) -> NumpyExecutable:
        """The program over ``memory``, ready to run. With ``seconds``, an element a step, each run writes there how long every step took."""
        return NumpyExecutable(program, memory, seconds)
