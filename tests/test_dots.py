"""Convolutions of one place to a few filters, whose vectors run along channels, and their gradients."""

from __future__ import annotations

import numpy as np
import pytest

from nnspec.errors import SpecError
from nnspec.ir.types import DType
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec_numpy.kernels import conv
from nnspec_numpy.llvm.cpu import chosen
from tests.test_numpy_kernels import LIMIT, bound, check, numbers, peak, type_of

SHAPES = {"one filter": ((5, 12, 11, 40), 1), "fewer channels than lanes": ((3, 4, 5, 9), 1), "two filters": ((2, 5, 7, 33), 2), "three": ((4, 6, 3, 17), 3),
          "four, whole vectors": ((1, 8, 9, 32), 4), "a sequence": ((3, 19, 21), 2), "volumes": ((2, 3, 4, 5, 24), 1), "places of a vector": ((7, 4, 4, 16), 4),
          "too few places": ((9, 1, 3, 16), 1)}


@pytest.mark.parametrize("cpu", ["", "avx2", "baseline", "none"])
@pytest.mark.parametrize("name", SHAPES)
def test_few_filters_give_what_the_reference_gives_and_a_row_the_same_in_every_batch(name: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    try:
        cpu_here = chosen()
    except SpecError:
        pytest.skip("not on this processor")
    shape, filters = SHAPES[name]
    rank = len(shape) - 2
    ones, none = (1,) * rank, ((0, 0),) * rank
    op = Conv(ones, none, ones, 1)
    x, w = numbers(shape, "float32"), numbers((*ones, shape[-1], filters), "float32", 1)
    g = numbers((*shape[:-1], filters), "float32", 2)
    for each, arrays in ((op, (x, w)), (ConvInputGrad(ones, none, ones, 1, shape[1:-1]), (g, w)), (ConvKernelGrad(ones, none, ones, 1, ones), (x, g))):
        check(each, *arrays)
        assert peak(bound(each, *arrays)[0]) <= LIMIT
    word = conv.choice(op, [type_of(x), type_of(w)], [type_of(g)])
    if name == "too few places" or cpu_here is None:
        assert not word.startswith("dots")
        return
    assert word.startswith("dots"), word
    run, (whole,), _ = bound(op, x, w)
    run()
    for i in range(len(x)):
        run, (row,), _ = bound(op, x[i : i + 1], w)
        run()
        assert row.tobytes() == np.ascontiguousarray(whole[i : i + 1]).tobytes()


def test_double_precision_and_groups_go_other_ways() -> None:
    for dtype, groups in (("float64", 1), ("float32", 2)):
        x, w = numbers((2, 5, 5, 16), dtype), numbers((1, 1, 16 // groups, 2), dtype, 1)
        op = Conv((1, 1), ((0, 0), (0, 0)), (1, 1), groups)
        check(op, x, w)
        types = [type_of(x), type_of(w)]
        assert types[0].dtype == DType(dtype) and not conv.choice(op, types, [op.infer(*types)]).startswith("dots")
