"""A GPU through CuPy: memory, one stream, kernels, products of cublasLt, and steps captured as CUDA graphs."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property, partial, wraps
from os import getpid
from typing import Any, TypeVar, cast

import numpy as np

from nnspec.codegen.backend import Speed
from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec.ir.program import Array
from nnspec_cupy.commands import Command, Convolve, Kernel, Launch, Product
from nnspec_cupy.convolution import library
from nnspec_cupy.cublaslt import CublasLt
from nnspec_cupy.cuda.cache import compiled
from nnspec_cupy.cuda.compile import INSTALL, target
from nnspec_cupy.cudnn_graph import WORKSPACE, Cudnn
from nnspec_cupy.device import CPU, Bytes, Find, Run

CLOCK_KHZ, MEMORY_KHZ, BUS_BITS = 13, 36, 37  # cudaDeviceAttr
UP, DOWN, OVER = 1, 2, 3  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice

DEVICE = 0  # of those that CUDA_VISIBLE_DEVICES shows
LONGEST = 0.5  # seconds that a stream is held
HOLD = Kernel("hold", "const unsigned long long* in0", """#ifdef __CUDA_ARCH__
    unsigned long long first, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(first));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now)); while (now - first < *in0);
#endif
""")  # nanoseconds
F = TypeVar("F", bound=Callable[..., Any])


def cupy() -> Any:
    """CuPy. Raises MissingExtraError where it is not installed or cannot be loaded."""
    try:
        import cupy as found
    except ImportError as error:
        raise MissingExtraError(Problem("CuPy is not installed", found=str(error), hint=INSTALL)) from error
    return found


def _find_driver() -> None:
    """Raises ResourceError where no driver is installed: that takes no time, and CuPy takes a second to import."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(name)
    except OSError as error:
        problem = Problem("there is no GPU that can be used", found=f"no NVIDIA driver ({name})", wanted="an NVIDIA GPU and its driver", hint=CPU)
        raise ResourceError(problem) from error


def here(method: F) -> F:
    """On the GPU, whichever one a thread used before, and not while another thread captures: what is enqueued then would be part of its graph.

    Raises ResourceError in a process that was forked from one that used the GPU.
    """

    @wraps(method)
    def run(self: Gpu, *given: Any, **named: Any) -> Any:
        if getpid() != self._process:
            raise ResourceError(Problem(f"{self.name} cannot be used here", found="a process that was forked from one that used it",
                                        wanted="a process of its own", hint="multiprocessing.get_context('spawn')"))  # fmt: skip
        with self._lock:
            before = self.runtime.getDevice()
            if before == DEVICE and self._threads.__dict__:
                return method(self, *given, **named)
            self.runtime.setDevice(DEVICE)
            self._threads.known = True
            try:
                return method(self, *given, **named)
            finally:
                if before != DEVICE:
                    self.runtime.setDevice(before)

    return cast(F, run)


class Gpu:
    """``nnspec_cupy.device.Device`` on the first GPU that CUDA shows, of those in CUDA_VISIBLE_DEVICES. Raises ResourceError where there is none."""

    def __init__(self) -> None:
        _find_driver()
        self.cupy = cupy()
        self.runtime = self.cupy.cuda.runtime
        try:
            count = self.runtime.getDeviceCount()
        except self.runtime.CUDARuntimeError as error:
            old = "nnspec[cuda12] needs no driver as new as nnspec[cuda13] does; " if "nsufficient" in str(error) else ""
            problem = Problem("there is no GPU that can be used", found=str(error), wanted="an NVIDIA GPU and its driver", hint=old + CPU)
            raise ResourceError(problem) from error
        if not count:
            raise ResourceError(Problem("there is no GPU", wanted="an NVIDIA GPU", hint=CPU))
        self._process, self._threads, self._lock = getpid(), threading.local(), threading.RLock()
        self._start()

    def _start(self) -> None:
        device = self.cupy.cuda.Device(DEVICE)
        device.use()
        self.arch = f"sm_{device.compute_capability}"
        self.name = self.runtime.getDeviceProperties(DEVICE)["name"].decode()
        self.stream, self.copies = (self.cupy.cuda.Stream(non_blocking=True) for _ in range(2))
        self.products = CublasLt(self)
        self._functions: dict[str, Any] = {}

    @cached_property
    def convolutions(self) -> Cudnn:
        """cuDNN, where a plan asks for it."""
        return Cudnn(self)

    def words(self) -> dict[str, str]:
        """The name, what kernels are compiled for, its processors, and the library that chooses algorithms."""
        processors = self.runtime.getDeviceProperties(DEVICE)["multiProcessorCount"]
        return {"gpu": self.name, "arch": self.arch, "processors": str(processors), "cublasLt": self.products.version}

    @here
    def memory(self) -> tuple[int, int]:
        """What is free once programs that nobody uses any more are gone, less what cuDNN will ask for."""
        gc.collect()
        free, total = self.runtime.memGetInfo()
        later = WORKSPACE if library() and "convolutions" not in self.__dict__ else 0
        return max(0, free - later), total

    def speed(self) -> Speed:
        """128 products and sums a processor and clock, and what the bus moves at both edges; of both 7 tenths. A kernel of a graph takes 2 us."""
        found = self.runtime.getDeviceProperties(DEVICE)
        attribute = self.runtime.deviceGetAttribute
        clock, bus = (1e3 * attribute(n, DEVICE) for n in (CLOCK_KHZ, MEMORY_KHZ))
        flops = found["multiProcessorCount"] * 256 * clock
        moved = 2 * bus * attribute(BUS_BITS, DEVICE) / 8
        return Speed(0.7 * flops, 0.7 * moved, 2e-6, 3e-5)

    @here
    def allocate(self, nbytes: int) -> Any:
        """A block of its own: the pool of CuPy knows nothing of graphs. Programs that nobody uses any more are looked for where there is no room."""
        try:
            try:
                block = self.cupy.cuda.Memory(max(nbytes, 256))
            except self.runtime.CUDARuntimeError:
                gc.collect()
                block = self.cupy.cuda.Memory(max(nbytes, 256))
        except self.runtime.CUDARuntimeError as error:
            free, total = self.memory()
            problem = Problem(f"{nbytes:,} bytes cannot be had on {self.name}", found=f"{free:,} bytes free of {total:,}",
                              hint="what else runs there takes the rest; " + CPU)  # fmt: skip
            raise ResourceError(problem) from error
        self.runtime.memsetAsync(block.ptr, 0, max(nbytes, 256), self.stream.ptr)
        return block

    @here
    def pinned(self, nbytes: int) -> Bytes:
        try:
            held = self.cupy.cuda.alloc_pinned_memory(max(nbytes, 1))
        except self.runtime.CUDARuntimeError as error:
            problem = Problem(f"{nbytes:,} bytes of the host's memory cannot be had for copies to {self.name}", found=str(error),
                              hint="a smaller batch; " + CPU)  # fmt: skip
            raise ResourceError(problem) from error
        found = np.frombuffer(held, np.uint8, nbytes)
        found[...] = 0
        return found

    def upload(self, source: Bytes, target: Any, offset: int = 0, beside: bool = False) -> Run:
        return partial(self._copy, (target, source), target.ptr + offset, source.ctypes.data, source.nbytes, UP, self._order(beside))

    def download(self, source: Any, target: Bytes) -> Run:
        return partial(self._copy, (source, target), target.ctypes.data, source.ptr, target.nbytes, DOWN, self.stream)

    def copy(self, source: Any, target: Any, nbytes: int) -> Run:
        return partial(self._copy, (source, target), target.ptr, source.ptr, nbytes, OVER, self.stream)

    @here
    def _copy(self, kept: Any, to: int, at: int, nbytes: int, way: int, stream: Any) -> None:
        """``kept`` is what is copied between: it lasts as long as the call does."""
        if nbytes:
            self.runtime.memcpyAsync(to, at, nbytes, way, stream.ptr)

    def _order(self, beside: bool) -> Any:
        return self.copies if beside else self.stream

    @here
    def load(self, kernels: Iterable[Kernel]) -> None:
        new = [k for k in kernels if k.name not in self._functions]
        for part, code in compiled(new, target(self.arch)) if new else ():
            module = self.cupy.cuda.function.Module()
            try:
                module.load(code)
            except RuntimeError as error:
                raise ResourceError(Problem(f"kernels for {target(self.arch)} cannot be loaded on {self.name}", found=str(error),
                                            wanted="a driver that is not older than CUDA's compiler", hint=f"a newer driver; {CPU}")) from error
            self._functions.update({k.name: module.get_function(k.name) for k in part})

    @here
    def bind(self, command: Command, find: Find, tf32: bool = False) -> Run:
        match command:
            case Launch():
                arrays = (*command.reads, *command.writes, *((command.guard,) if command.guard else ()))
                places = tuple(np.uint64(address(a, find)) for a in arrays)
                blocks = [find(a) for a in arrays if a.arena]
                return partial(self._launch, blocks, self._functions[command.kernel.name], command.grid, command.block, places, command.shared)
            case Product():
                return partial(self._call, self.products.bind(command, find, tf32))
            case Convolve():
                return partial(self._call, self.convolutions.bind(command, find, tf32))

    @here
    def _call(self, run: Run) -> None:
        run()

    @here
    def _launch(self, blocks: Any, function: Any, grid: Any, block: Any, places: Any, shared: int) -> None:
        function(grid, block, places, shared, self.stream)

    def algorithms(self, product: Product) -> int:
        return self.products.candidates(product, False)

    @here
    def capture(self, work: Run) -> Run:
        """A second time where the first did not go: what a library loads when it is first called may not be loaded while a stream is captured."""
        collects = gc.isenabled()
        gc.disable()  # memory that is let go of would wait for the device
        try:
            try:
                graph = self._captured(work)
            except (RuntimeError, ResourceError):
                graph = self._captured(work)
            graph.upload(self.stream)
        except self.runtime.CUDARuntimeError as error:
            raise ResourceError(Problem(f"a step cannot be captured on {self.name}", found=str(error), hint=CPU)) from error
        finally:
            if collects:
                gc.enable()
        return partial(self._replay, graph, work)

    def _captured(self, work: Run) -> Any:
        self.stream.synchronize()
        self.stream.begin_capture()
        try:
            work()
        except BaseException:
            with suppress(self.runtime.CUDARuntimeError):  # a capture that something has broken: what broke it is told
                self.stream.end_capture()
            raise
        return self.stream.end_capture()

    @here
    def _replay(self, graph: Any, work: Run) -> None:
        """``work`` is kept, for it keeps the memory that the graph knows by address."""
        graph.launch(self.stream)

    @here
    def mark(self, beside: bool = False) -> Any:
        event = self.cupy.cuda.Event()
        event.record(self._order(beside))
        return event

    @here
    def follow(self, mark: Any, beside: bool = False) -> None:
        self._order(beside).wait_event(mark)

    def wait(self, mark: Any) -> None:
        mark.synchronize()

    def hold(self, seconds: float) -> None:
        word, block = self._held
        word.view(np.uint64)[0] = int(1e9 * min(seconds, LONGEST))
        self.load([HOLD])
        self.upload(word, block)()
        self._launch((), self._functions[HOLD.name], (1, 1, 1), (1, 1, 1), (np.uint64(block.ptr),), 0)

    @cached_property
    def _held(self) -> tuple[Bytes, Any]:
        """How long, on the host and on the device."""
        return self.pinned(8), self.allocate(8)

    def seconds(self, first: Any, last: Any) -> float:
        return float(self.cupy.cuda.get_elapsed_time(first, last)) / 1000

    def synchronize(self) -> None:
        self.copies.synchronize()
        self.stream.synchronize()


def address(a: Array, find: Find) -> int:
    """Where an array begins on the device."""
    return int(find(a).ptr) + a.offset
