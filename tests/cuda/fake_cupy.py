"""What stands for CuPy, cublasLt and cuDNN where there is no GPU: memory is the host's, streams queue, a capture remembers, and what is given is checked.

Signatures and units are those of CuPy 14.2's sources, of ``cublasLt.h`` and of NVIDIA's frontend 1.23. Kernels are compiled by g++.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count, product
from math import prod
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np

from nnspec.ir.types import DType
from nnspec_cupy.commands import Kernel
from nnspec_cupy.emulated import HELD, numbers, store
from tests.cuda.shim import library

FREE, TOTAL = 3 << 30, 4 << 30


class CUDARuntimeError(RuntimeError):
    """``cupy.cuda.runtime.CUDARuntimeError``."""


class Machine:
    """One made-up GPU: its allocations and its streams."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[int, Any]] = {}  # by address: bytes, and what owns them
        self.streams: dict[int, Stream] = {}
        self.numbers = count(16)
        self.launched: list[str] = []
        self.used = 0
        self.device = 0  # that a thread uses
        self.full: set[str] = set()  # kinds of memory that cannot be had
        self.now = 0.0  # seconds by its own clock, which is no busy machine's

    def allocate(self, size: int, counted: bool) -> int:
        assert size > 0 and self.device == 0
        if counted and self.used + size > FREE:
            raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
        if any(s.captured is not None for s in self.streams.values()):
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: allocation while a stream is captured")
        room = np.full(size + 256, 0xCD, np.uint8)  # not zeroed, as a GPU's is not
        at = room.ctypes.data + -room.ctypes.data % 256
        self.held[at] = size, room
        self.used += size if counted else 0
        return at

    def free(self, at: int, counted: bool) -> None:
        size, _ = self.held.pop(at)
        self.used -= size if counted else 0

    def inside(self, at: int, size: int = 1) -> None:
        if not any(start <= at and at + size <= start + held for start, (held, _) in self.held.items()):
            raise CUDARuntimeError(f"cudaErrorIllegalAddress: {size} bytes at {at:#x}")


class Stream:
    def __init__(self, machine: Machine, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None) -> None:
        assert non_blocking and not null and not ptds
        self.machine, self.ptr = machine, next(machine.numbers)
        self.items: deque[Callable[[], None] | Event] = deque()
        self.captured: list[Callable[[], None]] | None = None
        machine.streams[self.ptr] = self

    def enqueue(self, run: Callable[[], None]) -> None:
        assert self.machine.device == 0
        (self.items if self.captured is None else self.captured).append(run)

    def next(self) -> None:
        first = self.items.popleft()
        if not isinstance(first, Event):
            self.machine.now += 1e-6
            with np.errstate(all="ignore"):
                first()
            return
        while first.at is None:
            assert first.stream is not None
            first.stream.next()

    def synchronize(self) -> None:
        if self.captured is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        while self.items:
            self.next()

    def wait_event(self, event: Event) -> None:
        assert self.captured is None and event.stream is not None
        self.items.append(event)

    def begin_capture(self, mode: int | None = None) -> None:
        assert self.captured is None
        self.captured = []

    def end_capture(self) -> Graph:
        assert self.captured is not None
        found, self.captured = self.captured, None
        return Graph(found)


class Graph:
    def __init__(self, runs: Sequence[Callable[[], None]]) -> None:
        self.runs = runs

    def launch(self, stream: Stream) -> None:
        assert stream.captured is None and stream.machine.device == 0
        stream.items.extend(self.runs)

    def upload(self, stream: Stream) -> None:
        assert stream.captured is None


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.stream: Stream | None = None
        self.at: float | None = None

    def record(self, stream: Stream) -> None:
        assert stream.captured is None
        self.stream = stream
        stream.enqueue(self._pass)

    def _pass(self) -> None:
        assert self.stream is not None
        self.at = self.stream.machine.now

    def synchronize(self) -> None:
        while self.at is None:
            assert self.stream is not None
            self.stream.next()


def compiled(kernels: Sequence[Kernel], arch: str) -> Iterator[tuple[list[Kernel], bytes]]:
    """``nnspec_cupy.cuda.cache.compiled`` by g++: object code is the path of a library."""
    assert arch == "sm_90"
    if kernels:
        yield list(kernels), library(kernels)._name.encode()


def cupy(machine: Machine) -> Any:
    """The module ``cupy``, as much of it as is used."""

    class Memory:
        def __init__(self, size: int) -> None:
            self.ptr = 0
            self.size, self.ptr = size, machine.allocate(size, True)

        def __del__(self) -> None:
            if not self.ptr:
                return
            for stream in machine.streams.values():  # as cudaFree waits
                if stream.captured is None:
                    stream.synchronize()
            machine.free(self.ptr, True)

    class Pinned:
        """What ``alloc_pinned_memory`` gives: a buffer of at least so many bytes."""

        def __init__(self, size: int) -> None:
            if "pinned" in machine.full:
                raise CUDARuntimeError("cudaErrorMemoryAllocation: out of memory")
            self.room = bytearray(b"\xcd" * max(512, size))

        def __buffer__(self) -> memoryview:
            return memoryview(self.room)

    class Function:
        def __init__(self, name: str, code: Any) -> None:
            self.name, self.code = name, code

        def __call__(self, grid: Any, block: Any, args: Any, shared_mem: int = 0, stream: Any = None, enable_cooperative_groups: bool = False) -> None:
            assert len(grid) == len(block) == 3 and all(1 <= n < 2**31 for n in grid) and grid[1] < 2**16 and 1 <= prod(block) <= 1024
            assert all(type(a) is np.uint64 for a in args) and isinstance(stream, Stream) and shared_mem <= 48 << 10
            for a in args:
                machine.inside(int(a))
            places = (ctypes.c_void_p * len(args))(*map(int, args))
            sizes = [np.array(n, np.uint32) for n in (grid, block)]

            def run() -> None:
                machine.launched.append(self.name)
                self.code(places, *(n.ctypes.data_as(ctypes.c_void_p) for n in sizes))

            stream.enqueue(run)

    class Module:
        def load(self, cubin: bytes) -> None:
            assert isinstance(cubin, bytes)
            self.held = ctypes.CDLL(cubin.decode())

        def get_function(self, name: str) -> Function:
            return Function(name, getattr(self.held, f"run_{name}"))

    def memset(ptr: int, value: int, size: int, stream: int) -> None:
        machine.inside(ptr, size)
        machine.streams[stream].enqueue(lambda: ctypes.memset(ptr, value, size) and None)

    def memcpy(dst: int, src: int, size: int, kind: int, stream: int) -> None:
        assert kind in (1, 2, 3) and size > 0
        for at, device in ((dst, kind in (1, 3)), (src, kind in (2, 3))):
            if device:
                machine.inside(at, size)
        machine.streams[stream].enqueue(lambda: ctypes.memmove(dst, src, size) and None)

    properties = {"name": b"made-up GPU", "multiProcessorCount": 132, "clockRate": 1980000}
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError, getDeviceCount=lambda: 1, getDeviceProperties=lambda n: properties,
        deviceGetAttribute=lambda which, n: {13: 1980000, 36: 3201000, 37: 6144}[which], memGetInfo=lambda: (FREE - machine.used, TOTAL),
        memsetAsync=memset, memcpyAsync=memcpy)
    device = SimpleNamespace(use=lambda: None, compute_capability="90")
    runtime.getDevice, runtime.setDevice = lambda: machine.device, lambda n: setattr(machine, "device", n)
    cuda = SimpleNamespace(
        runtime=runtime, Device=lambda n: device, Stream=lambda **given: Stream(machine, **given), Event=Event, Memory=Memory,
        alloc_pinned_memory=lambda size: Pinned(size).room, function=SimpleNamespace(Module=Module),
        get_elapsed_time=lambda a, b: 1000 * (b.at - a.at))
    return SimpleNamespace(cuda=cuda)


# cublasLt

SIZES = {"MatmulDesc": {3: 4, 4: 4, 7: 4, 8: 8}, "MatrixLayout": {5: 4, 6: 8}, "MatmulPreference": {1: 8, 5: 4, 6: 4, 7: 4, 8: 4}}
DTYPES: dict[int, Any] = {0: np.dtype(np.float32), 1: np.dtype(np.float64), 2: HELD[DType.float16], 14: HELD[DType.bfloat16]}
COMPUTES = {(68, 0), (77, 0), (70, 1)}  # of which scale
SCALES = {(0, 0): 0, (1, 1): 1, (2, 2): 0, (2, 0): 0, (14, 14): 0, (14, 0): 0}  # by the types of what is read and written
INVALID, UNSUPPORTED = 7, 15


class CublasLt:
    """The library ``cublasLt``: what it is asked for has to be true of the memory that it is given."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.made = machine, dict[int, dict[Any, Any]]()
        self.products = 0
        self.candidates = 3  # that the heuristic names
        self.slow: dict[int, float] = {}  # seconds that a candidate takes besides
        self.used: list[int] = []  # candidates, in the order of the products

    def cublasLtGetVersion(self) -> int:
        return 130100

    def _destroy(self, kind: str, what: Any) -> int:
        assert self.made.pop(what.value)["kind"] == kind
        return 0

    def cublasLtMatmulDescDestroy(self, what: Any) -> int:
        return self._destroy("MatmulDesc", what)

    def cublasLtMatrixLayoutDestroy(self, what: Any) -> int:
        return self._destroy("MatrixLayout", what)

    def _new(self, into: Any, **what: Any) -> int:
        number = next(self.machine.numbers)
        self.made[number] = what
        into._obj.value = number
        return 0

    def cublasLtCreate(self, into: Any) -> int:
        return self._new(into, kind="handle")

    def cublasLtMatmulDescCreate(self, into: Any, compute: int, scale: int) -> int:
        return INVALID if (compute, scale) not in COMPUTES else self._new(into, kind="MatmulDesc", scale=scale)

    def cublasLtMatrixLayoutCreate(self, into: Any, dtype: int, rows: Any, columns: Any, leading: Any) -> int:
        assert (type(rows), type(columns), type(leading)) == (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_int64)
        if not rows.value or not columns.value or leading.value < rows.value:
            return INVALID
        return self._new(into, kind="MatrixLayout", dtype=dtype, rows=rows.value, columns=columns.value, leading=leading.value)

    def cublasLtMatmulPreferenceCreate(self, into: Any) -> int:
        return self._new(into, kind="MatmulPreference")

    def cublasLtMatmulPreferenceDestroy(self, what: Any) -> int:
        return self._destroy("MatmulPreference", what)

    def _set(self, kind: str, what: Any, attribute: int, value: Any, size: Any) -> int:
        made = self.made[what.value]
        if made["kind"] != kind or SIZES[kind].get(attribute) != size.value or ctypes.sizeof(value._obj) != size.value:
            return INVALID
        made[attribute] = value._obj.value
        return 0

    def cublasLtMatmulDescSetAttribute(self, *given: Any) -> int:
        return self._set("MatmulDesc", *given)

    def cublasLtMatrixLayoutSetAttribute(self, *given: Any) -> int:
        return self._set("MatrixLayout", *given)

    def cublasLtMatmulPreferenceSetAttribute(self, *given: Any) -> int:
        return self._set("MatmulPreference", *given)

    def _sides(self, description: Any, layouts: Sequence[Any]) -> Any:
        d, (a, b, y) = self.made[description.value], [self.made[x.value] for x in layouts]
        m, k = (a["rows"], a["columns"])[:: -1 if d.get(3) else 1]
        k2, n = (b["rows"], b["columns"])[:: -1 if d.get(4) else 1]
        fits = (m, n, k) == (y["rows"], y["columns"], k2) and len({x.get(5, 1) for x in (a, b, y)}) == 1
        known = a["dtype"] == b["dtype"] and SCALES.get((a["dtype"], y["dtype"])) == d["scale"]
        return (d, a, b, y) if fits and known else None

    def cublasLtMatmulAlgoGetHeuristic(self, handle: Any, description: Any, a: Any, b: Any, c: Any, y: Any, wish: Any, wanted: int, into: Any, found: Any) -> int:
        assert self.made[handle.value]["kind"] == "handle" and 1 <= wanted <= len(into) and c.value == y.value
        sides = self._sides(description, (a, b, y))
        if sides is None or sides[0].get(7) == 4 and (sides[0]["scale"] != 0 or not sides[0].get(8)):
            return UNSUPPORTED
        wish = self.made[wish.value]
        found._obj.value = min(wanted, self.candidates)
        for number in range(found._obj.value):
            for i in range(4):
                into[number].algorithm[i] = wish.get(5 + i, 256)
            into[number].algorithm[4], into[number].workspace, into[number].state = number, wish[1], 0
        return 0

    def cublasLtMatmul(self, handle: Any, description: Any, alpha: Any, a: Any, first: Any, b: Any, second: Any, beta: Any, c: Any, third: Any, y: Any,
                       result: Any, algorithm: Any, workspace: Any, size: Any, stream: Any) -> int:
        sides = self._sides(description, (first, second, result))
        assert sides is not None and c.value == y.value and third.value == result.value and self.made[handle.value]["kind"] == "handle"
        d = sides[0]
        self.machine.inside(workspace.value, size.value)
        views = []
        for at, layout, alignment in zip((a, b, y), sides[1:], algorithm._obj, strict=False):
            if at.value % alignment:
                return INVALID
            views.append(self._view(at.value, layout))
        bias = self._vector(d[8], sides[3]) if d.get(7) == 4 else None
        candidate = int(algorithm._obj[4])
        assert candidate < self.candidates

        def run() -> None:
            self.products += 1
            self.used.append(candidate)
            sleep(self.slow.get(candidate, 0.0))
            self.machine.now += self.slow.get(candidate, 0.0)
            x, w, to = numbers(views[0]), numbers(views[1]), views[2]
            found = alpha._obj.value * ((x.swapaxes(1, 2) if d.get(3) else x) @ (w.swapaxes(1, 2) if d.get(4) else w))
            found = found if bias is None else found + bias[:, None]
            store(found + beta._obj.value * numbers(to) if beta._obj.value else found, to)

        self.machine.streams[stream.value].enqueue(run)
        return 0

    def _view(self, at: int, layout: dict[Any, Any]) -> Any:
        """Columns of a batch of matrices."""
        dtype = DTYPES[layout["dtype"]]
        batch, step = layout.get(5, 1), layout.get(6, 0)
        last = step * (batch - 1) + layout["leading"] * (layout["columns"] - 1) + layout["rows"]
        self.machine.inside(at, last * dtype.itemsize)
        return np.ndarray((batch, layout["rows"], layout["columns"]), dtype, (ctypes.c_char * (last * dtype.itemsize)).from_address(at), 0,
                          tuple(n * dtype.itemsize for n in (step, 1, layout["leading"])))

    def _vector(self, at: int, layout: dict[Any, Any]) -> Any:
        dtype = DTYPES[layout["dtype"]]
        self.machine.inside(at, layout["rows"] * dtype.itemsize)
        return np.frombuffer((ctypes.c_char * (layout["rows"] * dtype.itemsize)).from_address(at), dtype)


# cuDNN

class Tensor:
    def __init__(self, dim: Sequence[int] = (), stride: Sequence[int] = ()) -> None:
        self.dim, self.stride, self.output = list(dim), list(stride), False

    def set_output(self, output: bool) -> Tensor:
        self.output = output
        return self

    def set_dim(self, dim: Sequence[int]) -> Tensor:
        self.dim = list(dim)
        return self

    def set_stride(self, stride: Sequence[int]) -> Tensor:
        self.stride = list(stride)
        return self

    def set_data_type(self, kind: str) -> Tensor:
        assert kind == "FLOAT"
        return self


class Graphed:
    """A graph of one convolution."""

    def __init__(self, cudnn: Cudnn, **given: Any) -> None:
        assert given == {"io_data_type": "FLOAT", "intermediate_data_type": "FLOAT", "compute_data_type": "FLOAT", "handle": 1}
        self.cudnn, self.node, self.done = cudnn, (), []

    def tensor(self, *, name: str, dim: Sequence[int], stride: Sequence[int], data_type: str) -> Tensor:
        assert all(type(n) is int for n in (*dim, *stride))
        return Tensor(dim, stride)

    def conv_fprop(self, *, image: Tensor, weight: Tensor, **extra: Any) -> Tensor:
        return self._node("fprop", image, weight, extra)

    def conv_dgrad(self, *, loss: Tensor, filter: Tensor, **extra: Any) -> Tensor:
        return self._node("dgrad", loss, filter, extra)

    def conv_wgrad(self, *, image: Tensor, loss: Tensor, **extra: Any) -> Tensor:
        return self._node("wgrad", image, loss, extra)

    def _node(self, kind: str, a: Tensor, b: Tensor, extra: dict[str, Any]) -> Tensor:
        y = Tensor()
        self.node = kind, a, b, y, extra
        return y

    def validate(self) -> None:
        kind, a, b, y, extra = self.node
        image, filters, outer = {"fprop": (a, b, y), "dgrad": (y, b, a), "wgrad": (a, y, b)}[kind]
        assert y.output and len(image.dim) in (4, 5) and not image.dim[1] % filters.dim[1]
        for n, k, o, low, high, s, d in zip(image.dim[2:], filters.dim[2:], outer.dim[2:], *(extra[key] for key in (
                "pre_padding", "post_padding", "stride", "dilation")), strict=True):
            assert (n + low + high - (k - 1) * d - 1) // s + 1 == o
        assert (outer.dim[0], outer.dim[1]) == (image.dim[0], filters.dim[0])

    def __getattr__(self, name: str) -> Callable[..., None]:
        assert name in ("build_operation_graph", "create_execution_plans", "deselect_numeric_notes", "deselect_workspace_greater_than", "check_support", "build_plans")
        return lambda *given: self.done.append(name)

    def execute(self, places: dict[Tensor, int], workspace: int, handle: Any = None) -> None:
        assert self.done[-1] == "build_plans" and handle == 1 and all(type(p) is int for p in (*places.values(), workspace))
        kind, a, b, y, extra = self.node
        x, w, to = (self._view(t, places[t]) for t in (a, b, y))
        self.cudnn.machine.streams[self.cudnn.stream].enqueue(lambda: convolve(kind, x, w, to, **extra))

    def _view(self, t: Tensor, at: int) -> Any:
        last = 1 + sum(s * (n - 1) for n, s in zip(t.dim, t.stride, strict=True))
        self.cudnn.machine.inside(at, 4 * last)
        assert not at % 16
        return np.ndarray(t.dim, np.float32, (ctypes.c_char * (4 * last)).from_address(at), 0, tuple(4 * s for s in t.stride))


def convolve(kind: str, a: Any, b: Any, y: Any, pre_padding: Any, post_padding: Any, stride: Any, dilation: Any) -> None:
    """The three, tap after tap, on channels second."""
    image, filters, outer = {"fprop": (a, b, y), "dgrad": (y, b, a), "wgrad": (a, y, b)}[kind]
    around = ((0, 0), (0, 0), *zip(pre_padding, post_padding, strict=True))
    padded = np.pad(np.zeros_like(image) if kind == "dgrad" else image, around).astype(np.float64)
    result = np.zeros(filters.shape if kind == "wgrad" else outer.shape)
    groups = image.shape[1] // filters.shape[1]
    for tap in product(*map(range, filters.shape[2:])):
        where = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in zip(tap, dilation, outer.shape[2:], stride, strict=True))
        for g in range(groups):
            c, k = (slice(g * n // groups, (g + 1) * n // groups) for n in (image.shape[1], filters.shape[0]))
            part, w = padded[(slice(None), c, *where)], filters[(k, slice(None), *tap)]
            if kind == "fprop":
                result[:, k] += np.einsum("nc...,kc->nk...", part, w)
            elif kind == "dgrad":
                part += np.einsum("nk...,kc->nc...", outer[:, k], w)
            else:
                result[(k, slice(None), *tap)] += np.einsum("ncs,nks->kc", *(m.reshape(*m.shape[:2], -1) for m in (part, outer[:, k])))
    inside = tuple(slice(low, low + n) for n, (low, _) in zip(image.shape, around, strict=True))
    y[...] = padded[inside] if kind == "dgrad" else result


class Cudnn:
    """The module ``cudnn``."""

    data_type = SimpleNamespace(FLOAT="FLOAT")
    numerical_note = SimpleNamespace(NONDETERMINISTIC=0, TENSOR_CORE=1, WINOGRAD=2, DOWN_CONVERT_INPUTS=3)
    heur_mode = SimpleNamespace(A=0, FALLBACK=1)
    cudnnGraphNotSupportedError = NotImplementedError

    def __init__(self, machine: Machine) -> None:
        self.machine, self.stream = machine, 0

    def create_handle(self) -> int:
        return 1

    def set_stream(self, handle: int, stream: int) -> None:
        assert handle == 1
        self.stream = stream

    def pygraph(self, **given: Any) -> Graphed:
        return Graphed(self, **given)


def installed(machine: Machine, monkeypatch: Any) -> Any:
    """A ``Gpu`` over all of these, and the two libraries."""
    from nnspec_cupy import gpu

    lt, dnn = CublasLt(machine), Cudnn(machine)
    monkeypatch.setattr(gpu, "_find_driver", lambda: None)
    monkeypatch.setattr(gpu, "cupy", lambda: cupy(machine))
    monkeypatch.setattr(gpu, "compiled", compiled)
    monkeypatch.setattr(gpu, "target", lambda arch: arch)
    monkeypatch.setattr("nnspec_cupy.cublaslt.library", lambda: lt)
    monkeypatch.setattr("nnspec_cupy.cudnn_graph.frontend", lambda: dnn)
    return gpu.Gpu(), lt, dnn


