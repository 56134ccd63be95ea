"""A device that is none: the same plan on NumPy, in the same order, refusing what a captured stream refuses.

What is enqueued waits until somebody waits for it, so that a host that reads too early reads what was there before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.backend import Speed
from nnspec.ir.program import Array
from nnspec.ops.conv import ConvKernelGrad
from nnspec_cupy.commands import Command, Convolve, Kernel, Launch, Product
from nnspec_cupy.device import Bytes, Find, Run

ALIGNMENT = 256


class Refused(RuntimeError):
    """What a stream that is being captured refuses."""


class Mark:
    """A point in the order; ``at`` is when it was passed."""

    def __init__(self) -> None:
        self.at: float | None = None

    def passed(self) -> None:
        self.at = perf_counter()


class EmulatedDevice:
    """``nnspec_cupy.device.Device`` on NumPy."""

    name = "emulated"
    arch = "sm_90"

    def __init__(self, total: int = 1 << 40) -> None:
        self.total, self.taken = total, 0
        self._waiting: deque[Run] = deque()
        self._captured: list[Run] | None = None

    def memory(self) -> tuple[int, int]:
        return self.total - self.taken, self.total

    def speed(self) -> Speed:
        """That of NumPy's references, which is none to speak of."""
        return Speed(1e9, 1e9, 1e-4, 1e-3)

    def allocate(self, nbytes: int) -> Bytes:
        self._refuse("allocation")
        self.taken += nbytes
        return self.pinned(nbytes)

    def pinned(self, nbytes: int) -> Bytes:
        self._refuse("allocation")
        room = np.zeros(nbytes + ALIGNMENT, np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        return room[start : start + nbytes]

    def upload(self, source: Bytes, target: Bytes, offset: int = 0) -> Run:
        return self._enqueued(lambda: np.copyto(target[offset : offset + len(source)], source))

    def download(self, source: Bytes, target: Bytes) -> Run:
        return self._enqueued(lambda: np.copyto(target, source[: len(target)]))

    def load(self, kernels: Iterable[Kernel]) -> None:
        self._refuse("loading of kernels")

    def bind(self, command: Command, find: Find, tf32: bool = False) -> Run:
        self._refuse("binding of a command")
        match command:
            case Launch():
                return self._enqueued(self.launched(command, find))
            case Product():
                return self._enqueued(_product(command, find))
            case Convolve():
                return self._enqueued(_convolution(command, find))

    def launched(self, command: Launch, find: Find) -> Run:
        """What runs a kernel: here, what it means."""
        reads, writes = ([view(a, find) for a in side] for side in (command.reads, command.writes))
        guard = None if command.guard is None else view(command.guard, find)

        def run() -> None:
            if guard is None or guard[()]:
                put(command.meaning(*reads), writes)

        return run

    def capture(self, work: Run) -> Run:
        self._refuse("capture")
        self._captured = []
        try:
            work()
            done = tuple(self._captured)
        finally:
            self._captured = None

        def replay() -> None:
            self._refuse("replay")
            self._waiting.extend(done)

        return replay

    def mark(self) -> Mark:
        found = Mark()
        self._enqueue(found.passed)
        return found

    def wait(self, mark: Mark) -> None:
        self._refuse("waiting")
        while mark.at is None:
            self._next()

    def seconds(self, first: Mark, last: Mark) -> float:
        self._refuse("reading of a clock")
        assert first.at is not None and last.at is not None
        return last.at - first.at

    def synchronize(self) -> None:
        self._refuse("waiting")
        while self._waiting:
            self._next()

    def _next(self) -> None:
        with np.errstate(all="ignore"):
            self._waiting.popleft()()

    def _enqueued(self, run: Run) -> Run:
        return lambda: self._enqueue(run)

    def _enqueue(self, run: Run) -> None:
        (self._waiting if self._captured is None else self._captured).append(run)

    def _refuse(self, what: str) -> None:
        if self._captured is not None:
            raise Refused(f"{what} while a stream is captured")


def view(a: Array, find: Find) -> NDArray[Any]:
    """An array of a plan over a block."""
    strides = tuple(s * a.type.dtype.size for s in a.strides)
    if 0 in a.shape:
        return np.zeros(a.shape, a.type.dtype.numpy)
    return np.ndarray(a.shape, a.type.dtype.numpy, find(a), a.offset, strides)


def put(results: Any, writes: Sequence[NDArray[Any]]) -> None:
    """Results into their places, each of the dtype that its place has."""
    found = results if isinstance(results, tuple) else (results,)
    for y, to in zip(found, writes, strict=True):
        np.copyto(to, np.asarray(y).reshape(to.shape), casting="unsafe")


def _product(command: Product, find: Find) -> Run:
    a, b, y = (view(x, find) for x in (command.a, command.b, command.y))
    bias = None if command.bias is None else view(command.bias, find)

    def run() -> None:
        found = np.matmul(a, b) if bias is None else np.matmul(a, b) + bias
        np.copyto(y, y + found if command.more else found)

    return run


def _convolution(command: Convolve, find: Find) -> Run:
    first, second = (view(a, find) for a in command.reads)
    y = view(command.result, find)

    def run() -> None:
        if isinstance(command.op, ConvKernelGrad):
            np.copyto(y, np.moveaxis(command.op.reference(first, second), -1, 0))
        else:
            np.copyto(y, command.op.reference(first, np.moveaxis(second, 0, -1)))

    return run
