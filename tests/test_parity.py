"""``nnspec parity``: backends that compute the same pass, one that does not is found and named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nnspec.cli.parity import command
from nnspec.compiler import load
from nnspec.errors import SpecError
from nnspec.runtime.parity import parity, relative
from nnspec_cupy.emulated import EmulatedDevice

QUICKSTART = Path(__file__).resolve().parent.parent / "specs" / "quickstart"
NAMES = ("xor", "houses", "iris", "digits_mlp", "two_inputs_two_outputs", "class_weights", "siamese")


@pytest.fixture(autouse=True)
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnspec_cupy import BACKEND

    monkeypatch.setattr(BACKEND, "_given", EmulatedDevice())
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_spec_takes_the_same_steps_on_both_backends(name: str) -> None:
    spec = load(QUICKSTART / f"{name}.yaml").with_(math="strict")
    found = parity(spec, ("numpy", "cupy"), 20, 1e-5, {})
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]
    assert {d.kind for d in found.found} == {"loss", "gradient", "parameter"}


def test_a_backend_that_errs_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from nnspec_cupy import emulated as rooms

    right = rooms._product

    def wrong(command, find):  # type: ignore[no-untyped-def]
        run, y = right(command, find), rooms.view(command.y, find)

        def off() -> None:
            run()
            y[...] *= 1.01

        return off

    monkeypatch.setattr(rooms, "_product", wrong)
    found = parity(load(QUICKSTART / "xor.yaml"), ("numpy", "cupy"), 3, 1e-5, {})
    assert not found.passed


def test_the_command_says_how_far_and_where() -> None:
    done = CliRunner().invoke(command, [str(QUICKSTART / "xor.yaml"), "--steps", "3"])
    assert done.exit_code == 0, done.output
    assert "dense_1/kernel" in done.output and "numpy and cupy, 3 steps of xor, float32: equal within 1e-05" in done.output
    told = json.loads(CliRunner().invoke(command, [str(QUICKSTART / "xor.yaml"), "--steps", "2", "--json", "--tolerance", "1e-30"]).output)
    assert not told["passed"] and told["steps"] == 2


@pytest.mark.parametrize("backends", ["numpy", "numpy,cpu", "a,b,c"])
def test_two_backends_are_asked_for(backends: str) -> None:
    done = CliRunner().invoke(command, [str(QUICKSTART / "xor.yaml"), "--backends", backends])
    assert isinstance(done.exception, SpecError) and "are not two" in str(done.exception)


def test_what_is_not_trained_has_no_steps(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 2]\n")
    done = CliRunner().invoke(command, [str(tmp_path / "net.yaml")])
    assert isinstance(done.exception, SpecError) and "is not trained" in str(done.exception)


def test_relative_deviations() -> None:
    assert relative(np.array([1.0, 2.0]), np.array([1.0, 2.5])) == 0.25
    assert relative(np.zeros(3), np.zeros(3)) == 0
    assert np.isnan(relative(np.array([1.0]), np.array([np.nan])))
