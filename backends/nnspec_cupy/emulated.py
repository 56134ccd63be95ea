"""A device that is none: the same plan on NumPy, in the same order, refusing what a captured stream refuses.

What is enqueued waits until somebody waits for it, so that a host that reads too early reads what was there before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from threading import RLock
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nnspec.codegen.backend import Speed
from nnspec.ir.program import Array
from nnspec.ir.types import DType
from nnspec.ops.conv import ConvKernelGrad
from nnspec.ops.rounding import nearest
from nnspec_cupy.commands import Command, Convolve, Kernel, Launch, Product
from nnspec_cupy.device import Bytes, Find, Run

ALIGNMENT = 256


class Refused(RuntimeError):
    """What a stream that is being captured refuses."""


class Mark:
    """A point in the order; ``at`` is when it was passed."""

    def __init__(self, beside: bool) -> None:
        self.beside, self.at = beside, None

    at: float | None

    def passed(self) -> None:
        self.at = perf_counter()


Item: TypeAlias = Callable[[], None] | Mark  # something to do, or a mark of the other order that is waited for


HELD: dict[DType, Any] = {DType.bfloat16: np.dtype([("bits", np.uint16)]), DType.float16: np.dtype(np.float16)}  # as it lies in memory


class EmulatedDevice:
    """``nnspec_cupy.device.Device`` on NumPy."""

    name = "emulated"
    arch = "sm_90"

    def __init__(self, total: int = 1 << 40, eager: bool = False) -> None:
        self.total, self.taken = total, 0
        self.eager = eager  # copies are done as early as they may be, else as late
        self._orders: tuple[deque[Item], deque[Item]] = (deque(), deque())
        self._captured: list[Run] | None = None
        self._lock = RLock()  # of one thread at a time: what another enqueues while a step is captured is no part of it

    def words(self) -> dict[str, str]:
        return {"gpu": self.name, "arch": self.arch, "cublasLt": "none"}

    def memory(self) -> tuple[int, int]:
        return self.total - self.taken, self.total

    def speed(self) -> Speed:
        """That of NumPy's references, which is none to speak of."""
        return Speed(1e9, 1e9, 1e-4, 1e-3)

    def allocate(self, nbytes: int) -> Bytes:
        self._refuse("allocation")
        assert nbytes <= self.total - self.taken, "what does not fit is refused before it is asked for"
        self.taken += nbytes
        return self.pinned(nbytes)

    def pinned(self, nbytes: int) -> Bytes:
        self._refuse("allocation")
        room = np.zeros(nbytes + ALIGNMENT, np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        return room[start : start + nbytes]

    def upload(self, source: Bytes, target: Bytes, offset: int = 0, beside: bool = False) -> Run:
        return self._enqueued(lambda: np.copyto(target[offset : offset + len(source)], source), beside)

    def copy(self, source: Bytes, target: Bytes, nbytes: int) -> Run:
        return self._enqueued(lambda: np.copyto(target[:nbytes], source[:nbytes]))

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
                put(command.meaning(*map(numbers, reads)), writes)

        return run

    def algorithms(self, product: Product) -> int:
        """Two: sums as they come, and in two halves that are added, which the last bits show."""
        return 2 if product.a.shape[-1] > 1 else 1

    def capture(self, work: Run) -> Run:
        with self._lock:
            self._refuse("capture")
            self._captured = []
            try:
                work()
                done = tuple(self._captured)
            finally:
                self._captured = None

        def replay() -> None:
            with self._lock:
                self._refuse("replay")
                self._orders[False].extend(done)

        return replay

    def mark(self, beside: bool = False) -> Mark:
        self._refuse("a mark that is waited for")
        found = Mark(beside)
        self._enqueue(found.passed, beside)
        return found

    def follow(self, mark: Mark, beside: bool = False) -> None:
        with self._lock:
            self._refuse("waiting for another order")
            self._orders[beside].append(mark)
            self._advance()

    def wait(self, mark: Mark) -> None:
        with self._lock:
            self._refuse("waiting")
            while mark.at is None:
                self._next(mark.beside)

    def hold(self, seconds: float) -> None:
        """Nothing runs before somebody waits."""
        self._refuse("reading of a clock")

    def seconds(self, first: Mark, last: Mark) -> float:
        self._refuse("reading of a clock")
        assert first.at is not None and last.at is not None
        return last.at - first.at

    def synchronize(self) -> None:
        with self._lock:
            self._refuse("waiting")
            for beside in (True, False):
                while self._orders[beside]:
                    self._next(beside)

    def _next(self, beside: bool) -> None:
        """The first of what is enqueued, and of the other order as much as it waits for."""
        first = self._orders[beside].popleft()
        if not isinstance(first, Mark):
            with np.errstate(all="ignore"):
                first()
            return
        while first.at is None:
            self._next(first.beside)

    def _advance(self) -> None:
        """Copies that wait for nothing are done now, where they are done early."""
        order = self._orders[True]
        while self.eager and order and not (isinstance(order[0], Mark) and order[0].at is None):
            self._next(True)

    def _enqueued(self, run: Run, beside: bool = False) -> Run:
        return lambda: self._enqueue(run, beside)

    def _enqueue(self, run: Run, beside: bool = False) -> None:
        with self._lock:
            if beside:
                self._refuse("a copy in the other order")
            if self._captured is not None:
                self._captured.append(run)
                return
            self._orders[beside].append(run)
            self._advance()

    def _refuse(self, what: str) -> None:
        with self._lock:
            if self._captured is not None:
                raise Refused(f"{what} while a stream is captured")


def view(a: Array, find: Find) -> NDArray[Any]:
    """An array of a plan over a block, its elements as they lie there."""
    strides = tuple(s * a.type.dtype.size for s in a.strides)
    held = HELD.get(a.type.dtype, a.type.dtype.numpy)
    if 0 in a.shape:
        return np.zeros(a.shape, held)
    return np.ndarray(a.shape, held, find(a), a.offset, strides)


def numbers(held: NDArray[Any]) -> NDArray[Any]:
    """What elements of 16 bits are, in float32; others as they are."""
    if held.dtype == HELD[DType.bfloat16]:
        return (held["bits"].astype(np.uint32) << 16).view(np.float32)
    return held.astype(np.float32) if held.dtype == np.float16 else held


def store(y: Any, to: NDArray[Any]) -> None:
    """Numbers into the elements of an array, rounded where those have 16 bits."""
    if to.dtype == HELD[DType.bfloat16]:
        bits = np.ascontiguousarray(nearest(np.asarray(y, np.float32), DType.bfloat16)).view(np.uint32) >> 16
        to["bits"] = np.where(np.isnan(y), 0x7FFF, bits)
    else:
        np.copyto(to, y, casting="unsafe")


def put(results: Any, writes: Sequence[NDArray[Any]]) -> None:
    """Results into their places, each of the dtype that its place has."""
    found = results if isinstance(results, tuple) else (results,)
    for y, to in zip(found, writes, strict=True):
        store(np.asarray(y).reshape(to.shape), to)


def _product(command: Product, find: Find) -> Run:
    a, b, y = (view(x, find) for x in (command.a, command.b, command.y))
    bias = None if command.bias is None else view(command.bias, find)

    def run() -> None:
        x, w = numbers(a), numbers(b)
        half = x.shape[-1] // 2 if command.algorithm else 0
        found = np.matmul(x[..., half:], w[..., half:, :])
        found = found + np.matmul(x[..., :half], w[..., :half, :]) if half else found
        found = found if bias is None else found + numbers(bias)
        store(numbers(y) + found if command.more else found, y)

    return run


def _convolution(command: Convolve, find: Find) -> Run:
    first, second = (view(a, find) for a in command.reads)
    y = view(command.result, find)

    def run() -> None:
        if isinstance(command.op, ConvKernelGrad):
            store(np.moveaxis(command.op.reference(numbers(first), numbers(second)), -1, 0), y)
        else:
            store(command.op.reference(numbers(first), np.moveaxis(numbers(second), 0, -1)), y)

    return run
