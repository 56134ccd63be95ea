"""The benchmarks beside PyTorch run: every work has its spec and its twin, every side answers, and the table says what was measured."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
from tests.bench.drift import strayed  # noqa: E402
from tests.bench.sides import INFER, OURS, TRAIN, side, twin  # noqa: E402
from tests.bench.targets import WORKS, ZOO, Target, Work  # noqa: E402
from tests.bench.turns import medians  # noqa: E402
from tests.bench.twins import TWINS  # noqa: E402
from tests.bench.works import line, ratios, table  # noqa: E402

FULL = bool(os.environ.get("NNSPEC_FULL"))
QUICK = Work("lenet5", 2, ("sgd", {"lr": 0.01, "momentum": 0.9}))


@pytest.mark.parametrize("name", WORKS)
def test_a_work_is_a_spec_of_the_zoo_with_a_twin_and_a_target(name: str) -> None:
    work = WORKS[name]
    assert (ZOO / f"{work.spec}.yaml").is_file() and work.spec in TWINS
    assert work.train or work.infer


@pytest.mark.parametrize("kind", ["train", "infer"])
def test_every_side_of_a_work_runs(kind: str) -> None:
    threads = torch.get_num_threads()
    names = [n for n in (TRAIN if kind == "train" else INFER) if n not in ("compile", "jit", "onnxruntime")]  # these warn, and take their time
    try:
        found = medians({name: side(name, kind, QUICK, 1) for name in names}, repeats=1, seconds=1e-4)
    finally:
        torch.set_num_threads(threads)
    assert list(found) == names and all(seconds > 0 for seconds in found.values())


def test_the_batch_of_a_twin_is_that_of_the_spec_with_channels_first() -> None:
    net, x, t = twin(Work("unet_small", 2, ("adam", {"lr": 1e-3}), vars={"width": 4}))
    assert x.shape == (2, 3, 64, 64) and t.shape == (2, 64, 64)
    assert net(x).shape == (2, 2, 64, 64)


def test_a_ratio_is_the_best_variant_of_pytorch_over_ours_and_onnxruntime_stands_apart() -> None:
    row = {"work": "lenet5", "kind": "infer", "threads": 2, "seconds": {OURS: 2e-3, "eager": 5e-3, "tuned": 3e-3, "onnxruntime": 1e-3},
           "missing": {"jit": "RuntimeError: no"}}  # fmt: skip
    assert np.allclose(ratios(row), (1.5, 0.5))
    assert line(row).endswith("(no jit: RuntimeError: no)")
    out = io.StringIO()
    Console(file=out, width=200).print(table([row]))
    for word in ("lenet5", "1.50", "0.50", str(Target(1.5, None, 1.3))):
        assert word in out.getvalue()


SMOOTH = """nnspec: 1
inputs: {image: {shape: [12, 12, 3]}}
layers:
  - conv2d: {filters: 16, kernel: 3, padding: same, activation: tanh}
  - batch_norm
  - avg_pool2d: 2
  - conv2d: {filters: 24, kernel: 3, padding: same, activation: tanh}
  - flatten
  - dense: {units: 48, activation: gelu}
  - dense: 5
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.003, momentum: 0.9}}
batch_size: 8
"""


def test_single_precision_strays_from_double_at_most_three_times_as_far_as_the_interpreters(tmp_path: Path) -> None:
    """Step by step, where nothing has edges: what one of the two moves to the other side of a relu or of a pool's maximum says nothing of sums."""
    (tmp_path / "smooth.yaml").write_text(SMOOTH)
    for row in strayed(tmp_path / "smooth.yaml", {}, 200 if FULL else 40):
        assert row.interpreted > 0 and row.ratio <= 3, row
