"""The page of porting is true: PyTorch's loop and the spec beside it end with the same losses, and Keras's model has the parameters that it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.compiler import loads

torch = pytest.importorskip("torch", reason="PyTorch's loop is run")
TEXT = (Path(__file__).resolve().parent.parent / ".github" / "docs" / "porting.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_spec_has_the_losses_of_pytorchs_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 100)
    labels[:10] = range(10)
    images = (rng.normal(size=(10, 8, 8, 1))[labels] + 0.3 * rng.normal(size=(100, 8, 8, 1))).astype("float32")
    np.savez("digits.npz", image=images, label=labels)
    (_, python), (_, yaml), (_, keras) = BLOCKS
    space: dict[str, object] = {}
    exec(compile(python, "porting.md", "exec"), space)  # the page's own loop
    Path("net.yaml").write_text(yaml, "utf-8")
    assert status(["run", "net.yaml", "--out", "run"]) == 0
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text("utf-8").splitlines()]
    ours = [row["train.loss"] for row in rows if "train.loss" in row]
    np.testing.assert_allclose(ours, space["losses"], rtol=2e-3)
    plain = yaml.replace("padding: 1", "padding: same").replace(", momentum: 0.9, epsilon: 1e-5, variance: unbiased", "").replace("weights:", "x-weights:")
    spec = loads(plain.replace("npz: {path: digits.npz, target: label}", f"npz: {{path: {tmp_path / 'digits.npz'}, target: label}}"))
    stated = int(re.search(r"# ([\d,]+) parameters", keras)[1].replace(",", ""))  # type: ignore[index]
    assert sum(node["parameters"] for node in spec.built.network.nodes.values()) == stated
