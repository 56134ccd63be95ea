"""What NVIDIA's libraries say of the numbers that they are given, as far as they answer without a GPU."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any

import pytest

from nnspec.errors import MissingExtraError
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad, Convolution
from nnspec_cupy import cublaslt as lt
from nnspec_cupy import cudnn_graph
from nnspec_cupy.commands import Convolve


def loaded(find: Any) -> tuple[Any, str]:
    try:
        return find(), ""
    except MissingExtraError as error:
        return None, str(error)


LT, NO_LT = loaded(lt.library)
CUDNN, NO_CUDNN = loaded(cudnn_graph.frontend)
needs_lt = pytest.mark.skipif(bool(NO_LT), reason=NO_LT)
needs_cudnn = pytest.mark.skipif(bool(NO_CUDNN), reason=NO_CUDNN)


def kept(kind: str, what: Any, attribute: int, value: Any) -> None:
    """What is set is there again, of the same size."""
    size = c_size_t(ctypes.sizeof(value))
    assert getattr(LT, f"cublasLt{kind}SetAttribute")(what, attribute, byref(value), size) == 0, (kind, attribute)
    found, written = type(value)(), c_size_t()
    assert getattr(LT, f"cublasLt{kind}GetAttribute")(what, attribute, byref(found), size, byref(written)) == 0
    assert (found.value, written.value) == (value.value, size.value), (kind, attribute)


@needs_lt
@pytest.mark.parametrize(("compute", "scale"), [(lt.COMPUTE_32F, 0), (lt.COMPUTE_32F_FAST_TF32, 0), (lt.COMPUTE_64F, 1)])
def test_a_product_is_described_in_the_librarys_numbers(compute: int, scale: int) -> None:
    what = c_void_p()
    assert LT.cublasLtMatmulDescCreate(byref(what), compute, scale) == 0
    for attribute, value in ((0, c_int32(compute)), (1, c_int32(scale))):
        found, written = c_int32(), c_size_t()
        assert LT.cublasLtMatmulDescGetAttribute(what, attribute, byref(found), c_size_t(4), byref(written)) == 0
        assert found.value == value.value
    for attribute in (lt.TRANSA, lt.TRANSB):
        kept("MatmulDesc", what, attribute, c_int32(lt.OP_T))
    kept("MatmulDesc", what, lt.EPILOGUE, c_uint32(lt.EPILOGUE_BIAS))
    kept("MatmulDesc", what, lt.BIAS_POINTER, c_uint64(1 << 40))
    wrong = c_uint64(1)
    assert LT.cublasLtMatmulDescSetAttribute(what, lt.TRANSA, byref(wrong), c_size_t(8)) != 0
    LT.cublasLtMatmulDescDestroy(what)


@needs_lt
def test_a_matrix_is_laid_out_in_the_librarys_numbers() -> None:
    what = c_void_p()
    assert LT.cublasLtMatrixLayoutCreate(byref(what), 0, c_uint64(5), c_uint64(7), c_int64(9)) == 0
    for attribute, kind, value in ((0, c_uint32, 0), (2, c_uint64, 5), (3, c_uint64, 7), (4, c_int64, 9)):
        found, written = kind(), c_size_t()
        assert LT.cublasLtMatrixLayoutGetAttribute(what, attribute, byref(found), c_size_t(ctypes.sizeof(found)), byref(written)) == 0
        assert found.value == value
    kept("MatrixLayout", what, lt.BATCH_COUNT, c_int32(3))
    kept("MatrixLayout", what, lt.BATCH_OFFSET, c_int64(1 << 33))
    LT.cublasLtMatrixLayoutDestroy(what)


@needs_lt
def test_a_preference_is_said_in_the_librarys_numbers() -> None:
    what = c_void_p()
    assert LT.cublasLtMatmulPreferenceCreate(byref(what)) == 0
    kept("MatmulPreference", what, lt.MAX_WORKSPACE, c_size_t(lt.WORKSPACE))
    for attribute in lt.ALIGNMENT:
        found, written = c_uint32(), c_size_t()
        assert LT.cublasLtMatmulPreferenceGetAttribute(what, attribute, byref(found), c_size_t(4), byref(written)) == 0
        assert found.value == 256, "what the library believes where nobody tells it otherwise"
        kept("MatmulPreference", what, attribute, c_uint32(4))
    LT.cublasLtMatmulPreferenceDestroy(what)


def test_the_result_of_a_heuristic_is_as_large_as_the_header_says() -> None:
    assert ctypes.sizeof(lt._Heuristic) == 64 + 8 + 4 + 4 + 16
    assert [getattr(lt._Heuristic, name).offset for name in ("algorithm", "workspace", "state", "waves", "reserved")] == [0, 64, 72, 76, 80]


CASES = [((12,), (3,), {}, 4, 6), ((13,), (4,), {"stride": (2,), "padding": ((1, 2),)}, 3, 5), ((9, 7), (3, 3), {"padding": ((1, 1), (1, 1))}, 4, 8),
         ((9, 7), (3, 2), {"stride": (2, 1), "dilation": (1, 2), "padding": ((0, 1), (2, 1))}, 4, 6), ((8, 8), (3, 3), {"groups": 4}, 8, 12),
         ((8, 8), (1, 1), {"stride": (2, 2)}, 8, 12), ((6, 6), (3, 3), {"groups": 6}, 6, 6), ((5, 6, 7), (3, 2, 3), {"stride": (1, 2, 2)}, 2, 4),
         ((5, 6, 7), (2, 2, 2), {"groups": 2, "dilation": (2, 1, 1), "padding": ((1, 0), (0, 1), (1, 1))}, 2, 4)]  # fmt: skip


def shapes(op: Convolution, spatial: tuple[int, ...], taps: tuple[int, ...], channels: int, filters: int) -> Any:
    from nnspec.ops.conv import pads

    around = pads(op.padding, spatial, taps, op.stride, op.dilation)
    outer = tuple((n + low + high - (t - 1) * d - 1) // s + 1
                  for n, t, s, d, (low, high) in zip(spatial, taps, op.stride, op.dilation, around, strict=True))  # fmt: skip
    return (2, *spatial, channels), (filters, *taps, channels // op.groups), (2, *outer, filters)


@needs_cudnn
@pytest.mark.parametrize("cls", [Conv, ConvInputGrad, ConvKernelGrad])
@pytest.mark.parametrize(("spatial", "taps", "given", "channels", "filters"), CASES)
def test_a_convolution_is_a_graph_that_cudnn_takes(cls: Any, spatial: Any, taps: Any, given: dict[str, Any], channels: int, filters: int) -> None:
    from nnspec.ir.program import Array, row_major
    from nnspec.ir.types import DType, TensorType

    rank = len(spatial)
    attributes = {"stride": (1,) * rank, "dilation": (1,) * rank, "padding": ((0, 0),) * rank, "groups": 1, **given}
    op = cls(**attributes, **{Conv: {}, ConvInputGrad: {"spatial": spatial}, ConvKernelGrad: {"size": taps}}[cls])
    found = shapes(op, spatial, taps, channels, filters)
    image, kernel, outer = (Array(str(n), TensorType(s, DType.float32), "work", 0, row_major(s)) for n, s in enumerate(found))
    reads, y = {Conv: ((image, kernel), outer), ConvInputGrad: ((outer, kernel), image), ConvKernelGrad: ((image, outer), kernel)}[cls]
    graph, tensors = cudnn_graph.described(CUDNN, Convolve(op, reads, y, found))
    graph.validate()
    assert len(tensors) == 3
    for t, a in zip(tensors, (*reads, y), strict=True):
        n, *inner, c = a.shape
        assert t.get_dim() == [n, c, *([1] if rank == 1 else []), *inner]


@needs_lt
def test_the_library_says_which_it_is() -> None:
    assert LT.cublasLtGetVersion() >= 120000, "as a run's tune file names it: 120904"


@needs_lt
def test_what_is_described_is_destroyed_by_the_librarys_names() -> None:
    for name in ("MatmulDescDestroy", "MatrixLayoutDestroy", "MatmulPreferenceDestroy", "MatmulAlgoGetHeuristic", "Matmul", "Create"):
        assert getattr(LT, f"cublasLt{name}")
