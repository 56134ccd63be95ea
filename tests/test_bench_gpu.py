"""What is measured on a GPU: here it says why it cannot be, and is tried on the device that is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nnspec_cupy import BACKEND
from nnspec_cupy.emulated import EmulatedDevice
from tests.bench import gpu
from tests.bench.targets import Work

SMALL = Work("lenet5", 2, ("sgd", {"lr": 0.01}))


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BACKEND, "_given", EmulatedDevice())
    monkeypatch.delitem(BACKEND.__dict__, "device", raising=False)


def test_without_a_gpu_it_says_so() -> None:
    why = gpu.refusal()
    if not why:
        pytest.skip("there is a GPU")
    assert why.startswith("this needs a GPU, and cannot run here: ") and "libcuda" in why or "CuPy" in why


def test_our_sides_of_a_work_are_timed(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.WORKS, "small", SMALL)
    monkeypatch.setattr(gpu, "TURN", 0.0)
    monkeypatch.setattr(gpu.medians, "__defaults__", (1, 0.0))
    found = gpu.timed("small", "exact", "nnspec,nnspec fed,numpy,eager")
    assert found["milliseconds"].keys() >= {"nnspec", "nnspec fed", "numpy"} and all(v > 0 for v in found["milliseconds"].values())
    assert "eager" in found["missing"] or "eager" in found["milliseconds"]
    mixed = gpu.timed("small", "mixed", "nnspec")
    assert mixed["milliseconds"]["nnspec"] > 0 and not mixed["missing"]
    text = gpu.table({"step small": found, "captured": {"x": "equal"}})
    assert "step small" in text and "nnspec fed" in text


def test_products_are_timed(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SIZE", 8)
    monkeypatch.setattr(gpu.medians, "__defaults__", (1, 0.0))
    assert gpu.timed("products", "exact", "nnspec")["milliseconds"]["nnspec"] > 0


def test_captured_steps_are_compared(emulated: None) -> None:
    assert gpu.alike(gpu.QUICKSTART / "xor.yaml", 2) == "equal bit for bit"


def test_what_is_found_is_kept_as_it_comes(tmp_path: Path) -> None:
    report: Any = gpu.Report(str(tmp_path / "found.json"), 1e9)
    report.put("a", {"b": 1})
    assert json.loads((tmp_path / "found.json").read_text()) == {"a": {"b": 1}}
    late = gpu.Report(str(tmp_path / "late.json"), 0)
    assert gpu.called(late, "mlp", "exact", ["nnspec"], 60) == {"missing": "out of time"}
