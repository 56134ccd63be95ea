"""A program says what it holds: its memory, its largest arrays, its steps as text."""

from __future__ import annotations

from email.message import Message

import numpy as np
import pytest

from nnspec.codegen.backend import load_backend
from nnspec.errors import MissingExtraError, SpecError
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.op import REGISTRY
from nnspec.ir.program import Copy, contiguous, row_major
from nnspec.ir.types import TensorType
from nnspec.ops.elementwise import exp, where
from nnspec.ops.reduce import all_finite
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from tests.program_graphs import mlp


def small() -> Graph:
    w, g = abstract(TensorType((6,)), "w", "state"), abstract(TensorType((6,)), "g")
    new = w - exp(g) * 0.5
    ok = all_finite(new)
    return Graph({"finite": ok, "update:w": where(ok, new, w)})


def test_a_program_as_text() -> None:
    assert str(BACKEND.plan(small(), "a step")) == """\
program a step
arena state:w 64
arena data 64
arena outputs 64
arena work 64
array w : float32[6] at state:w + 0
array g : float32[6] at data + 0
array forward_exp : float32[6] at work + 0
array forward_multiply : float32[6] at work + 0
array forward_subtract : float32[6] at work + 0
array finite : bool[] at outputs + 0
step forward_exp = Exp(g)
step forward_multiply = Multiply(forward_exp, 0.5)
step forward_subtract = Subtract(w, forward_multiply)
step finite = AllFinite(forward_subtract)
step w = Copy(forward_subtract) if finite
return finite = finite
"""


def test_the_peak_is_all_arenas_together() -> None:
    program = BACKEND.plan(small(), "a step")
    assert program.peak == 4 * 64 == sum(program.arenas.values())


def test_the_largest_arrays_come_with_layer_and_type() -> None:
    program = BACKEND.plan(run_pipeline(mlp(sizes=(20, 16, 12, 5), batch=512)), "a step")
    largest = program.largest(3)
    assert [a.bytes for a in largest] == sorted((a.bytes for a in program.arrays if a.base is None), reverse=True)[:3]
    assert (largest[0].name, str(largest[0].type)) == ("image", "float32[512 x 20]")
    assert "dense_1" in {a.layer for a in largest}


def test_row_major_strides_count_elements() -> None:
    assert row_major((2, 3, 4)) == (12, 4, 1)
    assert row_major(()) == ()


def test_what_is_contiguous_is_what_numpy_calls_so() -> None:
    x = np.zeros((2, 1, 3))
    for a in (x, x.T, x[:, :, ::2], x[:1], x[:, :0], x.transpose(1, 0, 2)):
        assert contiguous(a.shape, tuple(s // 8 for s in a.strides)) == a.flags.c_contiguous


def test_a_copy_is_no_op_that_a_spec_can_reach() -> None:
    assert Copy.__name__ not in REGISTRY


def test_an_unknown_backend_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="did you mean 'numpy'"):
        load_backend("nunpy")


@pytest.mark.parametrize(
    ("extras", "said"),
    [(["images", "cupy"], r"backend 'cupy' is not installed\n.*pip install 'nnspec\[cupy\]'"), (["images"], "backend 'cupy' is not in this version$")],
)
def test_a_backend_that_is_not_there_names_its_extra_if_this_version_has_one(extras: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    described = Message()
    for extra in extras:
        described["Provides-Extra"] = extra
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: described)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    with pytest.raises(MissingExtraError, match=said):
        load_backend("gpu")
