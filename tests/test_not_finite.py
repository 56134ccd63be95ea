"""NaN and infinities stay in their row: what is not finite in one reaches no other's result, is never lost, and goes at most a tile further."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnspec.ir.op import Array, Op
from nnspec.ops.conv import Conv
from nnspec.ops.pool import AvgPool, MaxPool
from nnspec_numpy.kernels import KERNELS
from tests.processors import processor
from tests.test_numpy_kernels import bound, type_of

# Rows, height, width, channels, filters, window, stride, groups: by Winograd's tiles of both sizes, directly, by lines, columns and single taps
CONVOLUTIONS = [(5, 13, 12, 32, 48, 3, 1, 1), (4, 24, 20, 64, 64, 3, 1, 1), (4, 20, 20, 3, 16, 3, 1, 1), (4, 9, 9, 16, 32, 1, 1, 1), (3, 12, 12, 32, 32, 3, 2, 1),
                (4, 9, 9, 32, 32, 3, 1, 4), (4, 9, 9, 20, 20, 3, 1, 20), (4, 10, 10, 5, 7, 3, 2, 1), (3, 7, 7, 17, 33, 5, 1, 1)]  # fmt: skip
FURTHER = 3  # places beyond those that the reference makes not finite: the rest of a tile


def run(op: Op, *x: Array) -> Array:
    compute, (y, *_), _ = bound(op, *x)
    with np.errstate(all="ignore"):
        compute()
    return y.copy()


def way(op: Op, *x: Array) -> str:
    types = [type_of(a) for a in x]
    return str(KERNELS[type(op)].choice(op, types, op.types(*types)))


def spoil(x: Array, row: int, bad: float) -> Array:
    """One number of one row."""
    x = x.copy()
    x[(row, *(n // 2 for n in x.shape[1:]))] = bad
    return x


def stays(op: Op, x: Array, *others: Array, row: int, bad: float) -> None:
    """In its row, where the reference has it, and around."""
    clean, spoiled = run(op, x, *others), run(op, spoil(x, row, bad), *others)
    with np.errstate(all="ignore"):
        wanted = op.reference(spoil(x, row, bad).astype(np.float64), *(a.astype(np.float64) for a in others))
    rest = [i for i in range(len(x)) if i != row]
    assert clean[rest].tobytes() == spoiled[rest].tobytes(), way(op, x, *others)
    there, found = (~np.isfinite(a[row]).all(-1) for a in (wanted[0] if isinstance(wanted, tuple) else wanted, spoiled))
    assert not (there & ~found).any(), f"lost by {way(op, x, *others)}"
    places = np.argwhere(there)
    for place in np.argwhere(found):
        assert np.abs(places - place).max(1).min() <= FURTHER, way(op, x, *others)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("cpu", ["", "avx2", "none"])
def test_a_number_that_is_not_finite_reaches_no_other_row(cpu: str, bad: float) -> None:
    rng = np.random.default_rng(0)
    with processor(cpu, skip=False):
        for n, height, width, channels, filters, size, stride, groups in CONVOLUTIONS:
            op = Conv((stride,) * 2, "same", (1, 1), groups)
            x, w = (rng.normal(size=s).astype(np.float32) for s in ((n, height, width, channels), (size, size, channels // groups, filters)))
            g = rng.normal(size=run(op, x, w).shape).astype(np.float32)
            for row in (0, n - 1):
                stays(op, x, w, row=row, bad=bad)
                stays(op.input_grad(x.shape), g, w, row=row, bad=bad)
            back = op.kernel_grad(w.shape)
            with np.errstate(all="ignore"):
                wanted = back.reference(*(a.astype(np.float64) for a in (spoil(x, n - 1, bad), g)))
            found = run(back, spoil(x, n - 1, bad), g)
            channel = ~np.isfinite(wanted).all((0, 1))
            assert np.isfinite(found[:, :, ~channel]).all(), f"another channel by {way(back, x, g)}"
            assert not np.isfinite(found[~np.isfinite(wanted)]).any(), f"lost by {way(back, x, g)}"


@pytest.mark.parametrize("cpu", ["", "none"])
@pytest.mark.parametrize("kind", [MaxPool, AvgPool])
def test_a_pool_keeps_nan_in_its_windows(kind: Any, cpu: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 9, 8, 20)).astype(np.float32)
    with processor(cpu, skip=False):
        for size, stride in ((2, 2), (3, 2), (3, 1)):
            for row in (0, 3):
                stays(kind((size,) * 2, (stride,) * 2, "same"), x, row=row, bad=np.nan)
