"""Products by cublasLt, through ctypes: descriptors and an algorithm once a product, then one call that a graph captures.

Source: cuBLAS documentation, "Using the cublasLt API"; numbers of enumerations from ``cublasLt.h`` and ``library_types.h``.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from functools import partial
from typing import TYPE_CHECKING, Any

from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec.ir.program import Array
from nnspec.ir.types import DType
from nnspec_cupy.commands import Product
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
        self._library = library()
        self._handle = c_void_p()
        self._check(self._library.cublasLtCreate(byref(self._handle)))
        self._workspace = gpu.allocate(WORKSPACE)

    def bind(self, command: Product, find: Find, tf32: bool) -> Run:
        """What enqueues a product. Row-major ``y = a b`` is column-major ``y' = b' a'``."""
        a, b, y = command.a, command.b, command.y
        dtype = y.type.dtype
        sums = DType.float32 if dtype.half else dtype
        m, n = y.shape[-2:]
        k = a.shape[-1]
        batch = _batch(command)
        description, first, second, result, wish = (c_void_p() for _ in range(5))
        compute = COMPUTE_64F if dtype == DType.float64 else COMPUTE_32F_FAST_TF32 if tf32 else COMPUTE_32F
        self._check(self._library.cublasLtMatmulDescCreate(byref(description), compute, TYPE[sums]))
        self._set("MatmulDesc", description, TRANSA, c_int32(_turned(b)))
        self._set("MatmulDesc", description, TRANSB, c_int32(_turned(a)))
        if command.bias is not None:
            self._set("MatmulDesc", description, EPILOGUE, c_uint32(EPILOGUE_BIAS))
            self._set("MatmulDesc", description, BIAS_POINTER, c_uint64(find(command.bias).ptr + command.bias.offset))
        for layout, array, rows, columns in ((first, b, n, k), (second, a, k, m), (result, y, n, m)):
            turned = _turned(array) if array is not y else 0
            self._check(self._library.cublasLtMatrixLayoutCreate(
                byref(layout), TYPE[dtype], c_uint64(columns if turned else rows), c_uint64(rows if turned else columns), c_int64(_leading(array))))
            if batch > 1:
                self._set("MatrixLayout", layout, BATCH_COUNT, c_int32(batch))
                self._set("MatrixLayout", layout, BATCH_OFFSET, c_int64(_step(array)))
        self._check(self._library.cublasLtMatmulPreferenceCreate(byref(wish)))
        self._set("MatmulPreference", wish, MAX_WORKSPACE, c_size_t(WORKSPACE))
        places = [find(x).ptr + x.offset for x in (b, a, y)]
        for attribute, place in zip(ALIGNMENT, (*places, places[-1]), strict=True):  # 256 where nothing is said, which parts of arrays are not
            self._set("MatmulPreference", wish, attribute, c_uint32(_alignment(place)))
        found, count = _Heuristic(), c_int()
        status = self._library.cublasLtMatmulAlgoGetHeuristic(
            self._handle, description, first, second, result, result, wish, 1, byref(found), byref(count))
        self._library.cublasLtMatmulPreferenceDestroy(wish)
        if status or not count.value or found.state:
            raise ResourceError(Problem(f"cublasLt multiplies nothing like {command}", found=f"status {status or found.state}", hint=CPU))
        alpha, beta = SCALAR[sums](1), SCALAR[sums](1 if command.more else 0)
        at = [c_void_p(place) for place in places]
        call = partial(self._library.cublasLtMatmul, self._handle, description, byref(alpha), at[0], first, at[1], second, byref(beta), at[2], result,
                       at[2], result, byref(found.algorithm), c_void_p(self._workspace.ptr), c_size_t(WORKSPACE), c_void_p(self.gpu.stream.ptr))
        kept = (alpha, beta, found, [find(x) for x in (a, b, y)])

        def run(kept: Any = kept) -> None:
            self._check(call())

        return run

    def _set(self, kind: str, what: c_void_p, attribute: int, value: Any) -> None:
        self._check(getattr(self._library, f"cublasLt{kind}SetAttribute")(what, attribute, byref(value), c_size_t(ctypes.sizeof(value))))

    def _check(self, status: int) -> None:
        if status:
            raise ResourceError(Problem(f"cublasLt answers status {status} ({STATUS.get(status, 'of which nothing is known here')})", hint=CPU))


def library() -> Any:
    """The library, found as CuPy finds its own: in wheels beside this package, in conda, on the system's path. Raises MissingExtraError."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # which comes with CuPy

        return ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingExtraError(Problem("cublasLt cannot be loaded", found=str(error).partition("\n")[0], hint=INSTALL)) from error


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
