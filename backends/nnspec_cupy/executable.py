"""A program bound to a device: its commands are captured once, and a step is a copy, a replay and a copy.

A batch goes up on the stream of copies, to a block beside the program's, while the step before it computes; the step begins by taking it over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.backend import Results
from nnspec.codegen.module import load
from nnspec.ir.program import STATE, Array, Program
from nnspec_cupy.device import Run
from nnspec_cupy.halt import FINITE, halting
from nnspec_cupy.lowerings import LOWERINGS
from nnspec_cupy.memory import Arenas, DeviceMemory, over
from nnspec_cupy.source import kernels, source

SLOTS = 2  # batches that are on their way at once
LONGER = 1.3  # than enqueuing a step took the last time
STAGED = 1 << 16  # bytes of a batch from which its upload goes beside: waiting for another stream costs more than copying less


class DeviceExecutable:
    """A program bound to memory. ``inputs`` are written in place before ``run``; ``outputs`` are waited for when they are read."""

    def __init__(self, program: Program, memory: DeviceMemory, seconds: NDArray[Any] | None = None) -> None:
        self.program, self.device, self._tf32 = program, memory.device, memory.tf32
        self._arenas, self._seconds, self.memory = Arenas(program, memory), seconds, memory
        self._halt = halting(program)
        self._writes = any(a.arena.startswith(STATE) for s in program.steps for a in s.outputs)
        self.device.load([*kernels(program).values(), *(c.kernel for c in self._halt.values())])
        self._fill_constants()
        self._slots = [_Slot(self, seconds is None) for _ in range(SLOTS if seconds is None else 1)]
        self._now, self.last = 0, self._slots[-1]
        self.inputs: Mapping[str, NDArray[Any]] = _Inputs(self)
        self.outputs: Mapping[str, NDArray[Any]] = _Outputs(self)
        self._marks: list[Any] = []
        self._enqueued = 0.0  # seconds that the host may take to enqueue a step that is under the clock

        def kernel(index: int, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Sequence[Any]) -> Run:
            return self._bound(index)

        step = load(source(program), program.title, {"array": _nowhere, "kernel": kernel})
        self._step = self.device.capture(step) if seconds is None else step

    def _bound(self, index: int) -> Run:
        """What enqueues the commands of a step."""
        step = self.program.steps[index]
        found = [*LOWERINGS[type(step.call.op)].commands(step), *([self._halt[index]] if index in self._halt else [])]
        runs = [self.device.bind(c, self._arenas.find, self._tf32) for c in found]

        def enqueue() -> None:
            for run in runs:
                run()
            if self._seconds is not None:
                self._marks.append(self.device.mark())

        return enqueue

    def _fill_constants(self) -> None:
        block, size = self._arenas.arena("constants"), self.program.arenas.get("constants", 0)
        if block is None:
            return
        host = self.device.pinned(size)
        for a in self.program.arrays:
            if a.arena == "constants" and a.data is not None:
                over(a, host)[...] = a.data
        self.device.upload(host, block)()
        self.device.synchronize()

    def results(self) -> Results:
        """Of the last run, there until the run after the next is begun."""
        return Results(self.last.inputs, _Outputs(self, self.last))

    @property
    def late(self) -> bool:
        """Whether a run may begin before what the last one gave is read: one that was not finite keeps it from doing anything."""
        return bool(self._halt) and len(self._slots) > 1

    @property
    def next(self) -> _Slot:
        """Where the next step's inputs are written."""
        return self._slots[self._now]

    def run(self) -> None:
        """Enqueues one step; what it reads was written before, what it writes is waited for when it is read."""
        slot = self.next
        slot.upload(self.last)
        start = perf_counter()
        if self._seconds is not None:
            self.device.hold(self._enqueued)
            self._marks = [self.device.mark()]
        self.memory.written += self._writes
        self._step()
        self._enqueued = LONGER * (perf_counter() - start)
        slot.download()
        self.last, self._now = slot, (self._now + 1) % len(self._slots)
        if self._seconds is not None:
            self.device.synchronize()
            self._seconds[...] = [self.device.seconds(a, b) for a, b in zip(self._marks, self._marks[1:], strict=False)]


class _Slot:
    """Host memory for one batch and for what is read after its step."""

    def __init__(self, owner: DeviceExecutable, staged: bool) -> None:
        program, device, arenas = owner.program, owner.device, owner._arenas
        self.device = device
        size = program.arenas.get("data", 0)
        self.data = device.pinned(size)
        self.inputs = {name: over(a, self.data) for name, a in program.inputs.items()}
        block = arenas.arena("data")
        self._stage = device.allocate(size) if block is not None and size >= STAGED and staged else None
        self._up = device.upload(self.data, block if self._stage is None else self._stage, 0, self._stage is not None) if block is not None else None
        self._over = device.copy(self._stage, block, size) if self._stage is not None else None
        self._free = device.mark()  # when the batch before had been taken over
        read = dict.fromkeys(a.arena for a in program.outputs.values() if a.arena in program.arenas)  # what has no elements lies nowhere
        self._results = {name: device.pinned(program.arenas[name]) for name in read}
        self._down = [device.download(arenas.arena(name), host) for name, host in self._results.items()]
        self.outputs = {name: self._output(a) for name, a in program.outputs.items()}
        self._written: set[str] = set()  # inputs, since the last step
        self._taken: Any = None  # when the batch lay on the device
        self._done: Any = None  # when the results lay on the host

    def _output(self, a: Array) -> NDArray[Any]:
        if a.literal:
            assert a.data is not None
            return np.broadcast_to(a.data, a.shape)
        return over(a, self._results[a.arena]) if a.arena in self._results else np.zeros(a.shape, a.type.dtype.numpy)

    def __del__(self) -> None:
        """The host's memory is another's as soon as it is let go of: not before what is on its way has come."""
        with suppress(Exception):  # one that was never whole, or a process that ends
            for mark in (self._taken, self._done):
                if mark is not None:
                    self.device.wait(mark)

    def upload(self, before: _Slot) -> None:
        """Enqueues the batch; inputs that nobody wrote are those of the step before."""
        if self._up is None:
            return
        for name in () if before is self else self.inputs.keys() - self._written:
            self.writable()
            self.inputs[name][...] = before.inputs[name]
        self._written = set()
        if self._over is None:
            self._up()
            self._taken = self.device.mark()
            return
        self.device.follow(self._free, beside=True)
        self._up()
        self._taken = self.device.mark(beside=True)
        self.device.follow(self._taken)
        self._over()
        self._free = self.device.mark()

    def input(self, name: str) -> NDArray[Any]:
        """Where an input is written, once what was written there before is on the device."""
        self.writable()
        self._written.add(name)
        return self.inputs[name]

    def download(self) -> None:
        for down in self._down:
            down()
        self._done = self.device.mark()

    def writable(self) -> None:
        """Waits until what was written here last is on the device."""
        if self._taken is not None:
            self.device.wait(self._taken)
            self._taken = None

    def readable(self) -> None:
        """Waits for the results of the last step."""
        if self._done is not None:
            self.device.wait(self._done)
            self._done = None


class _Inputs(Mapping[str, Any]):
    """Host memory for the next step's inputs, by name."""

    def __init__(self, owner: DeviceExecutable) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._owner.next.input(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner.program.inputs)

    def __len__(self) -> int:
        return len(self._owner.program.inputs)


class _Outputs(Mapping[str, Any]):
    """What a step gave, by name: the last one, or that of ``slot``."""

    def __init__(self, owner: DeviceExecutable, slot: _Slot | None = None) -> None:
        self._owner, self._slot = owner, slot

    def __getitem__(self, name: str) -> NDArray[Any]:
        slot = self._slot or self._owner.last
        slot.readable()
        found = slot.outputs[name]
        if name == FINITE and not found.all():
            self._owner.memory.recover()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._owner.program.outputs)

    def __len__(self) -> int:
        return len(self._owner.program.outputs)


def _nowhere(*place: Any, **layout: Any) -> None:
    """Arrays of the source have names alone: the commands know where they lie."""
