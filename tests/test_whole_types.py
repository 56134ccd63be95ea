"""Whole numbers of every size, with a sign or without: compiled, as NumPy counts them, to the ends of their range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nnspec.ir.graph import Graph, Value, abstract
from nnspec.ir.types import DType, TensorType
from nnspec.ops import elementwise as e
from nnspec.passes import run_pipeline
from nnspec_cupy import CupyBackend
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_numpy import BACKEND as NUMPY
from tests.test_numpy_backend import bound

WHOLE = [t for t in DType if not t.is_float and t != DType.bool]
BACKENDS = [pytest.param(NUMPY, False, id="numpy"), pytest.param(NUMPY, True, id="nests"), pytest.param(CupyBackend(EmulatedDevice()), False, id="emulated")]
FUNCTIONS: dict[str, tuple[Callable[[Value, Value], Value], Callable[[Any, Any], Any]]] = {
    "sum": (lambda a, b: a + b, np.add), "difference": (lambda a, b: a - b, np.subtract), "product": (lambda a, b: a * b, np.multiply),
    "larger": (e.maximum, np.maximum), "smaller": (e.minimum, np.minimum), "size": (lambda a, b: e.absolute(a), lambda a, b: np.abs(a)),
    "less": (e.less, np.less), "not more": (e.less_equal, np.less_equal),
    "chosen": (lambda a, b: e.where(e.less(a, b), a, b), lambda a, b: np.where(a < b, a, b)),
    "as a fraction": (lambda a, b: e.cast(a, DType.float64), lambda a, b: a.astype(np.float64)),
    "as int64": (lambda a, b: e.cast(a, DType.int64), lambda a, b: a.astype(np.int64)),
    "several at once": (lambda a, b: e.where(e.less(a * b, a + b), e.absolute(a - b), a), lambda a, b: np.where(a * b < a + b, np.abs(a - b), a)),
}  # fmt: skip


@pytest.mark.parametrize(("backend", "nests"), BACKENDS)
@pytest.mark.parametrize("dtype", WHOLE)
def test_whole_numbers_count_as_numpy_counts_them(backend: Any, nests: bool, dtype: DType) -> None:
    kind: Any = dtype.numpy
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    a = np.array([low, high, 0, 1, high // 2 + 1, 100, high - 1, 3], kind)
    b = np.array([1, 1, high, low, 7, 3, high, 5], kind)
    x, y = (abstract(TensorType(v.shape, dtype), name) for name, v in (("a", a), ("b", b)))
    outputs = {name: ours(x, y) for name, (ours, _) in FUNCTIONS.items()}
    graph = run_pipeline(Graph(outputs), backend.claims, backend.loops() if nests else None)
    run, _ = bound(graph, {"a": a, "b": b}, backend)
    run.run()
    with np.errstate(all="ignore"):
        for name, (_, numpy) in FUNCTIONS.items():
            np.testing.assert_array_equal(run.outputs[name], numpy(a, b), name)
