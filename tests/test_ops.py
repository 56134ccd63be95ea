"""Every op against its declaration: a new op is tested by its samples, and adds nothing here."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.autodiff import gradients, tensor_type
from nnspec.ir.op import REGISTRY, Array, Op, Sample
from nnspec.ir.types import DType
from tests.differences import applied, as_float, check_gradient, check_second, draws, run, weighted

OPS = {name: cls for name, cls in sorted(REGISTRY.items()) if cls.__module__.startswith("nnspec.ops.")}
CASES = [pytest.param(cls, s, id=f"{name}-{i}") for name, cls in OPS.items() for i, s in enumerate(cls.samples)]
DIFFERENTIABLE = [p for p in CASES if p.values[1].differentiable]


def arrays_of(cls: type[Op], sample: Sample) -> list[Array]:
    """The sample's arrays, and uniform float64 draws for its shapes; none can be written to."""
    arrays = []
    for i, x in enumerate(sample.inputs):
        drawn = draws(crc32(f"{cls.__name__}{i}".encode()), x, sample.least, sample.most) if isinstance(x, tuple) else x
        array = np.array(drawn)
        array.flags.writeable = False
        arrays.append(array)
    return arrays


def results(op: Op, arrays: list[Array]) -> tuple[Any, ...]:
    with np.errstate(all="ignore"):
        y = op.reference(*arrays)
    return y if isinstance(y, tuple) else (y,)


@pytest.mark.parametrize("name", OPS)
def test_every_op_has_samples_and_says_what_it_computes(name: str) -> None:
    assert OPS[name].samples
    assert OPS[name].__doc__ and not OPS[name].__doc__.startswith(f"{name}(")


@pytest.mark.parametrize(("cls", "sample"), CASES)
@pytest.mark.parametrize("dtype", [DType.float64, DType.float32])
def test_inferred_types_are_those_of_the_reference(cls: type[Op], sample: Sample, dtype: DType) -> None:
    op, arrays = cls(**sample.attributes), as_float(arrays_of(cls, sample), dtype)
    found = results(op, arrays)
    inferred = op.types(*(tensor_type(a) for a in arrays))
    assert [(np.shape(r), np.asarray(r).dtype) for r in found] == [(t.shape, t.dtype.numpy) for t in inferred]


@pytest.mark.parametrize(("cls", "sample"), CASES)
def test_inputs_are_left_as_they_were(cls: type[Op], sample: Sample) -> None:
    op, arrays = cls(**sample.attributes), [a.copy() for a in arrays_of(cls, sample)]
    before = [a.copy() for a in arrays]
    results(op, arrays)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("cls", "sample"), CASES)
def test_flops_are_counted(cls: type[Op], sample: Sample) -> None:
    assert cls(**sample.attributes).flops(*(tensor_type(a) for a in arrays_of(cls, sample))) >= 0


@pytest.mark.parametrize(("cls", "sample"), DIFFERENTIABLE)
def test_gradients_are_central_differences(cls: type[Op], sample: Sample) -> None:
    arrays = arrays_of(cls, sample)
    inputs, outputs = applied(cls(**sample.attributes), arrays)
    check_gradient(weighted(outputs[:1]), inputs, arrays, sample.tolerance, sample.fixed)
    if sum(y.dtype.is_float for y in outputs) > 1:
        check_gradient(weighted(outputs), inputs, arrays, sample.tolerance, sample.fixed)


@pytest.mark.parametrize(("cls", "sample"), DIFFERENTIABLE)
def test_gradients_of_gradients_are_central_differences(cls: type[Op], sample: Sample) -> None:
    arrays = arrays_of(cls, sample)
    inputs, outputs = applied(cls(**sample.attributes), arrays)
    check_second(weighted(outputs, square=True), inputs, arrays, sample.tolerance, sample.fixed)


@pytest.mark.parametrize(("cls", "sample"), DIFFERENTIABLE)
def test_single_precision_stays_single_and_agrees(cls: type[Op], sample: Sample) -> None:
    wide = arrays_of(cls, sample)
    found = []
    for arrays in (as_float(wide, DType.float32), wide):
        inputs, outputs = applied(cls(**sample.attributes), arrays)
        floats = [v for v in inputs if v.dtype.is_float]
        flowing = [g for g in gradients(weighted(outputs[:1]), floats) if g is not None]
        if arrays is not wide and not isinstance(outputs[0].op, OPS["Cast"]):
            assert all(g.dtype == DType.float32 for g in flowing)
        found.append(run([*outputs[:1], *flowing], inputs, arrays))
    for single, double in zip(*found, strict=True):
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(double).max())))


STRAIGHT = ("Rounded",)  # which is flat between its steps, and passes gradients on as a cast does


@pytest.mark.parametrize(("cls", "sample"), [p for p in CASES if not p.values[1].differentiable and p.values[0].__name__ not in STRAIGHT])
def test_an_op_of_no_gradient_stops_it(cls: type[Op], sample: Sample) -> None:
    inputs, outputs = applied(cls(**sample.attributes), arrays_of(cls, sample))
    assert set(cls(**sample.attributes).grad(outputs[0], outputs[0], *inputs)) == {None}
