"""Several elements a thread: only where every array has them side by side and aligned, and counted in 64 bits where there are more than 32 count."""

from __future__ import annotations

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.program import Array, row_major
from nnspec.ir.types import DType, TensorType
from nnspec_cupy.cuda.flat import flat, grid
from nnspec_cupy.cuda.lanes import joined, lanes


def array(shape: tuple[int, ...], strides: tuple[int, ...] | None = None, offset: int = 0, dtype: DType = DType.float32) -> Array:
    return Array("a", TensorType(shape, dtype), "work", offset, row_major(shape) if strides is None else strides)


def over(domain: tuple[int, ...], *arrays: Array) -> tuple[tuple[int, ...], int]:
    shape, seen = joined(domain, arrays)
    return shape, lanes(shape, seen)


def test_what_lies_without_gaps_is_one_axis() -> None:
    assert over((2, 3, 8), array((2, 3, 8)), array((2, 3, 8))) == ((48,), 4)
    assert over((2, 3, 8), array((2, 3, 8)), array((8,))) == ((6, 8), 4)
    assert over((2, 3, 8), array((2, 3, 8)), array((2, 1, 1))) == ((2, 24), 4)
    assert over((2, 3, 8), array((2, 3, 8)), array(())) == ((48,), 4)
    assert over((), array(())) == ((), 1)


def test_only_what_lies_side_by_side_and_aligned_is_taken_together() -> None:
    assert over((2, 3), array((2, 3)))[1] == 2
    assert over((7,), array((7,)))[1] == 1
    assert over((8, 8), array((8, 8), (1, 8)), array((8, 8)))[1] == 1
    assert over((8,), array((8,), offset=4))[1] == 1
    assert over((8,), array((8,), offset=8))[1] == 2
    assert over((4, 8), array((4, 8), (10, 1)))[1] == 2
    assert over((8,), array((8,), dtype=DType.float64))[1] == 2
    assert over((8,), array((8,), dtype=DType.uint8), array((8,)))[1] == 4
    assert over((8,), array((8,), offset=2, dtype=DType.uint8), array((8,)))[1] == 2


def test_more_elements_than_32_bits_count_are_counted_in_64() -> None:
    n = 3 << 30
    a, y = array((n,)), array((n,))
    body = Graph({"y": abstract(a.type, "x") + abstract(a.type, "z")})
    kernel = flat(body, "add", (n,), (a, a), (y,), False)
    assert "unsigned long long n" in kernel.source and grid((n,), (a, a), (y,))[0] == n // 4 // 256
    assert "unsigned long long" not in flat(body, "add", (64,), (array((64,)),) * 2, (array((64,)),), False).source
