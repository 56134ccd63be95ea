"""Several elements a thread: only where every array has them side by side and aligned, and counted in 64 bits where there are more than 32 count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.ir.graph import Graph, abstract
from nnspec.ir.program import Array, row_major
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import exp
from nnspec.ops.fused import Fused
from nnspec.ops.movement import transpose
from nnspec.ops.reduce import sum_
from nnspec.passes import run_pipeline
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.commands import Launch
from nnspec_cupy.cuda.flat import flat, grid
from nnspec_cupy.cuda.lanes import SHARED, SIDE, Square, joined, lanes, square, walked
from nnspec_cupy.cuda.stages import Stages
from nnspec_cupy.emulated import EmulatedDevice, view
from nnspec_cupy.source import commands, kernels
from tests.cuda.shim import COMPILER, ShimDevice


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
    assert "typedef unsigned long long count" in kernel.source and grid((n,), (a, a), (y,))[0] == n // 4 // 256
    assert "typedef unsigned int count" in flat(body, "add", (64,), (array((64,)),) * 2, (array((64,)),), False).source


def turned(domain: tuple[int, ...], reads: list[Array], writes: list[Array]) -> Any:
    shape, seen = walked(domain, reads, writes)
    return shape, square(shape, seen[: len(reads)], seen[len(reads) :])


def test_what_lies_along_another_axis_is_read_by_squares() -> None:
    plain, other = array((40, 50)), array((40, 50), (1, 40))
    assert turned((40, 50), [plain, other], [plain]) == ((40, 50), Square(0, (1,), (2, 2)))
    assert turned((40, 50), [other, plain], [other]) == ((50, 40), Square(0, (1,), (2, 2))), "what is written goes before"
    assert turned((40, 50), [plain, plain], [plain])[1] is None
    assert turned((40, 4), [array((40, 4), (1, 40))], [array((40, 4))])[1] is None, "too short"
    image = array((3, 20, 30, 16), (16 * 600, 30, 1, 600))  # channels first, seen channels last
    shape, found = turned((3, 20, 30, 16), [image], [array((3, 20, 30, 16))])
    assert shape == (3, 600, 16) and found == Square(1, (0,), (3, 19, 1))
    assert turned((0, 40, 50), [array((0, 40, 50), (2000, 1, 40))], [array((0, 40, 50))])[1] is None


def test_squares_fit_into_shared_memory() -> None:
    many = [array((40, 50), (1, 40), dtype=DType.float64)] * 9
    _, found = turned((40, 50), many, [array((40, 50))])
    assert 0 < len(found.turned) * SIDE * (SIDE + 1) * 8 <= SHARED


SHAPES = [((40, 50), (1, 0)), ((7, 33, 9), (0, 2, 1)), ((9, 8, 40), (2, 1, 0)), ((3, 20, 8, 9), (0, 3, 1, 2)), ((64, 64), (1, 0))]


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
@pytest.mark.parametrize("dtype", [DType.float32, DType.float64, DType.uint8])
@pytest.mark.parametrize(("shape", "order"), SHAPES)
def test_squares_give_what_their_nest_says(shape: tuple[int, ...], order: tuple[int, ...], dtype: DType) -> None:
    device = ShimDevice()
    whole = tuple(shape[i] for i in order)
    steps = row_major(whole)
    strides = tuple(steps[order.index(i)] for i in range(len(shape)))
    arrays = [Array("a", TensorType(shape, dtype), "a", 0, strides), Array("b", TensorType(shape, dtype), "b", 0, row_major(shape)),
              Array("y", TensorType(shape, dtype), "y", 0, row_major(shape)), Array("z", TensorType(shape, dtype), "z", 0, row_major(shape))]
    x, w = (abstract(arrays[0].type, n) for n in "xw")
    body = Graph({"y": x + w * w, "z": w - x})
    kernel = flat(body, "nest", shape, arrays[:2], arrays[2:], False)
    assert "held0[32][33]" in kernel.source
    device.load([kernel])
    blocks = {a.arena: device.allocate(a.bytes) for a in arrays}
    r = np.random.default_rng(0)
    a, b, y, z = (view(x, lambda x: blocks[x.arena]) for x in arrays)
    a[...], b[...] = r.integers(1, 9, shape), r.integers(1, 9, shape)
    launch = Launch(kernel, grid(shape, arrays[:2], arrays[2:]), (256, 1, 1), tuple(arrays[:2]), tuple(arrays[2:]), lambda *_: None)
    device.launched(launch, lambda x: blocks[x.arena])()
    np.testing.assert_array_equal(y, a + b * b)
    np.testing.assert_array_equal(z, b - a)


def test_rows_that_lie_otherwise_are_turned_before_they_are_reduced() -> None:
    x = abstract(TensorType((40, 64), DType.float32), "x")
    e = exp(transpose(x, (1, 0)))
    graph = Graph({"y": e / sum_(e, -1, keep=True), "z": transpose(x, (1, 0)) * 2.0})
    backend = CupyBackend(EmulatedDevice())
    program = backend.plan(run_pipeline(graph, loops=backend.loops()), "test")
    names = [k.word for k in kernels(program).values()]
    assert any(name.endswith("_turned") for name in names) and "nest_rows" in names
    assert all(a.strides[-1] == 1 for s in program.steps if isinstance(s.call.op, Fused) and not Stages(s.call.op).alone for a in s.inputs)


def test_rows_whose_length_is_whole_fours_are_read_by_fours() -> None:
    backend = CupyBackend(EmulatedDevice())

    def words(n: int) -> tuple[str, ...]:
        x = abstract(TensorType((64, n), DType.float32), "x")
        e = exp(x)
        graph = Graph({"y": e / sum_(e, -1, keep=True), "sum": sum_(e, 0), "whole": sum_(e * e)})
        program = backend.plan(run_pipeline(graph, loops=backend.loops()), "test")
        text = "".join(k.source for k in kernels(program).values() if k.word.startswith("nest"))
        return tuple(f"{n} together" for n in (2, 4) if f"nn_vector<float, {n}> v" in text)

    assert (words(64), words(10), words(7)) == (("4 together",), ("2 together",), ())
    assert "4 together" in words(8192), "also where a thread has several columns"


def test_more_columns_than_a_grid_is_high_are_summed() -> None:
    n = 1 << 25
    x = abstract(TensorType((64, n), DType.float32), "x")
    backend = CupyBackend(EmulatedDevice())
    program = backend.plan(run_pipeline(Graph({"y": sum_(exp(x), 0)}), loops=backend.loops()), "test")
    for c in commands(program):
        assert isinstance(c, Launch) and c.grid[1:] == (1, 1) and 1 <= c.grid[0] < 1 << 31
