"""Products by cublasLt, through ctypes: descriptors and an algorithm once a product, then one call that a graph captures.

Source: cuBLAS documentation, "Using the cublasLt API"; numbers of enumerations from ``cublasLt.h`` and ``library_types.h``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from ctypes import byref, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from functools import partial
from typing import TYPE_CHECKING, Any

from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec.ir.program import Array
from nnspec.ir.types import DType
from nnspec_cupy.commands import ALGORITHMS, Product
from nnspec_cupy.cuda.compile import INSTALL
from nnspec_cupy.device import CPU, Find, Run

if TYPE_CHECKING:
    from nnspec_cupy.gpu import Gpu

WORKSPACE = 32 << 20  # bytes, as NVIDIA advises for Hopper; one for all products, which run one after another
TYPE = {DType.float32: 0, DType.float64: 1, DType.float16: 2, DType.bfloat16: 14}  # cudaDataType
SCALAR: dict[DType, Any] = {DType.float32: c_float, DType.float64: c_double}
COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F = 68, 77, 70
TRANSA, TRANSB, EPILOGUE, BIAS_POINTER = 3, 4, 7, 8  # cublasLtMatmulDescAttributes_t
BATCH_COUNT, BATCH_OFFSET = 5, 6  # cublasLtMatrixLayoutAttribute_t
MAX_WORKSPACE, ALIGNMENT = 1, (5, 6, 7, 8)  # cublasLtMatmulPreferenceAttributes_t; bytes from which A, B, C and D begin
EPILOGUE_BIAS = 4
OP_T = 1
STATUS = {1: "not initialized", 3: "no memory", 7: "a value that is not allowed", 8: "not on this architecture", 11: "memory cannot be mapped",
          13: "the kernel failed", 14: "an error of its own", 15: "not supported", 16: "a licence is missing"}  # cublasStatus_t


class _Heuristic(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = (("algorithm", c_uint64 * 8), ("workspace", c_size_t), ("state", c_int), ("waves", c_float), ("reserved", c_int * 4))


class CublasLt:
    """A handle, a workspace, and products bound to memory."""

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        self.library = library()
        self._handle = c_void_p()
        self.check(self.library.cublasLtCreate(byref(self._handle)))
        self._workspace = gpu.allocate(WORKSPACE)

    @property
    def version(self) -> str:
        """Such as ``120904``."""
        return str(self.library.cublasLtGetVersion())

    def bind(self, command: Product, find: Find, tf32: bool) -> Run:
        """What enqueues a product."""
        places = [find(x).ptr + x.offset for x in (command.b, command.a, command.y)]
        told = _Described(self, command, tf32, 0 if command.bias is None else find(command.bias).ptr + command.bias.offset)
        candidates = self._named(told, places)
        if not candidates:
            raise ResourceError(Problem(f"cublasLt multiplies nothing like {command}", found=f"status {told.status}", hint=CPU))
        found = candidates[min(command.algorithm, len(candidates) - 1)]
        alpha, beta = told.scalar(1), told.scalar(1 if command.more else 0)
        at = [c_void_p(place) for place in places]
        call = partial(self.library.cublasLtMatmul, self._handle, told.product, byref(alpha), at[0], told.first, at[1], told.second, byref(beta),
                       at[2], told.result, at[2], told.result, byref(found.algorithm), c_void_p(self._workspace.ptr), c_size_t(WORKSPACE),
                       c_void_p(self.gpu.stream.ptr))
        kept = (told, alpha, beta, candidates, [find(x) for x in (command.a, command.b, command.y)])

        def run(kept: Any = kept) -> None:
            self.check(call())

        return run

    def candidates(self, command: Product, tf32: bool) -> int:
        """How many algorithms the library's heuristic names for a product whose arrays begin wherever they like best."""
        return len(self._named(_Described(self, command, tf32, self._workspace.ptr), [0] * 3))

    def _named(self, told: _Described, places: Sequence[int]) -> list[_Heuristic]:
        """What the heuristic names for a product, the best first: the same for equal shapes, alignments, libraries and devices."""
        wish, found, count = c_void_p(), (_Heuristic * ALGORITHMS)(), c_int()
        self.check(self.library.cublasLtMatmulPreferenceCreate(byref(wish)))
        try:
            self.set("MatmulPreference", wish, MAX_WORKSPACE, c_size_t(WORKSPACE))
            for attribute, place in zip(ALIGNMENT, (*places, places[-1]), strict=True):  # 256 where nothing is said, which parts of arrays are not
                self.set("MatmulPreference", wish, attribute, c_uint32(_alignment(place)))
            told.status = self.library.cublasLtMatmulAlgoGetHeuristic(
                self._handle, told.product, told.first, told.second, told.result, told.result, wish, ALGORITHMS, found, byref(count))
        finally:
            self.library.cublasLtMatmulPreferenceDestroy(wish)
        return [] if told.status else [one for one in found[: count.value] if not one.state]

    def set(self, kind: str, what: c_void_p, attribute: int, value: Any) -> None:
        """One attribute of a descriptor."""
        self.check(getattr(self.library, f"cublasLt{kind}SetAttribute")(what, attribute, byref(value), c_size_t(ctypes.sizeof(value))))

    def check(self, status: int) -> None:
        """Raises ResourceError where the library does not say that all is well."""
        if status:
            raise ResourceError(Problem(f"cublasLt answers status {status} ({STATUS.get(status, 'of which nothing is known here')})", hint=CPU))


class _Described:
    """A product in the library's words. Row-major ``y = a b`` is column-major ``y' = b' a'``."""

    def __init__(self, lt: CublasLt, command: Product, tf32: bool, bias: int) -> None:
        self._library, self.status = lt.library, 0
        self.product, self.first, self.second, self.result = (c_void_p() for _ in range(4))
        a, b, y = command.a, command.b, command.y
        dtype = y.type.dtype
        sums = DType.float64 if dtype == DType.float64 else DType.float32
        self.scalar = SCALAR[sums]
        compute = COMPUTE_64F if dtype == DType.float64 else COMPUTE_32F_FAST_TF32 if tf32 and not a.type.dtype.half else COMPUTE_32F
        lt.check(self._library.cublasLtMatmulDescCreate(byref(self.product), compute, TYPE[sums]))
        lt.set("MatmulDesc", self.product, TRANSA, c_int32(_turned(b)))
        lt.set("MatmulDesc", self.product, TRANSB, c_int32(_turned(a)))
        if command.bias is not None:
            lt.set("MatmulDesc", self.product, EPILOGUE, c_uint32(EPILOGUE_BIAS))
            lt.set("MatmulDesc", self.product, BIAS_POINTER, c_uint64(bias))
        m, n, k, batch = *y.shape[-2:], a.shape[-1], _batch(command)
        for layout, array, rows, columns in ((self.first, b, n, k), (self.second, a, k, m), (self.result, y, n, m)):
            rows, columns = (columns, rows) if array is not y and _turned(array) else (rows, columns)
            lt.check(self._library.cublasLtMatrixLayoutCreate(
                byref(layout), TYPE[array.type.dtype], c_uint64(rows), c_uint64(columns), c_int64(_leading(array))))
            if batch > 1:
                lt.set("MatrixLayout", layout, BATCH_COUNT, c_int32(batch))
                lt.set("MatrixLayout", layout, BATCH_OFFSET, c_int64(_step(array)))

    def __del__(self) -> None:
        with suppress(Exception):  # a process that ends has no library any more
            if self.product:
                self._library.cublasLtMatmulDescDestroy(self.product)
            for layout in (self.first, self.second, self.result):
                if layout:
                    self._library.cublasLtMatrixLayoutDestroy(layout)


def library() -> Any:
    """The library, found as CuPy finds its own: in wheels beside this package, in conda, on the system's path. Raises MissingExtraError."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # which comes with CuPy

        found = ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingExtraError(Problem("cublasLt cannot be loaded", found=str(error).partition("\n")[0], hint=INSTALL)) from error
    found.cublasLtGetVersion.restype = c_size_t
    return found


def _alignment(place: int) -> int:
    """The largest power of two, up to 256, that an address is a multiple of."""
    return min(place & -place, 256) or 256


def _turned(a: Array) -> int:
    """Whether the elements of a column lie side by side, rather than those of a row."""
    return OP_T if a.strides[-1] != 1 and a.shape[-1] > 1 else 0


def _leading(a: Array) -> int:
    """Elements from one row to the next, or from one column."""
    rows, columns = a.shape[-2:]
    step = a.strides[-1] if _turned(a) else a.strides[-2]
    return max(step, rows if _turned(a) else columns, 1)


def _batch(command: Product) -> int:
    return command.y.shape[0] if len(command.y.shape) > 2 else 1


def _step(a: Array) -> int:
    """Elements from one matrix of a batch to the next; 0 where all take the same."""
    return a.strides[0] if len(a.shape) > 2 and a.shape[0] > 1 else 0
