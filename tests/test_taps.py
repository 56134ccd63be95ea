"""Looking into a run: what is said is what NumPy and PyTorch find, no bit of the run depends on it, and its files survive whatever a run does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import load, loads
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.ir.interpret import interpret
from nnspec.ir.types import DType, TensorType
from nnspec.ir.verify import verify
from nnspec.layers.layer import Mode
from nnspec.network.lower import lower
from nnspec.runtime import session, taps
from nnspec.runtime.callbacks import Callback, State
from nnspec.runtime.interrupt import Interrupted
from nnspec.runtime.observe.measure import BINS, DECADES, Snapshot, first_rows, snapshot
from nnspec.runtime.programs import Programs
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train
from nnspec_cupy.backend import CupyBackend
from nnspec_cupy.emulated import EmulatedDevice

torch = pytest.importorskip("torch", reason="install the extra 'test'")
FULL = bool(os.environ.get("NNSPEC_FULL"))
SPEC = """
nnspec: 1
data:
  iris: {}
  split: {train: 0.6, validation: 0.4, stratify: species}
layers:
  - dense: {units: 12, activation: tanh}
  - batch_norm
  - dense: {units: 8, activation: relu}
  - dropout: 0.25
  - dense: 3
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.01}}
epochs: 6
batch_size: 16
checkpoint: {every: 4}
"""
IMAGES = """
nnspec: 1
data: {digits: {}, split: {train: 0.8, validation: 0.2}}
layers:
  - conv2d: {filters: 5, kernel: 3, padding: same, activation: sigmoid}
  - residual: {layers: [conv2d: {filters: 5, kernel: 3, padding: same}, batch_norm, relu]}
  - max_pool2d: 2
  - flatten
  - dense: 10
loss: {cross_entropy: {smoothing: 0.1}}
optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}
epochs: 1
"""


def looked(text: str, backend: str = "numpy", **settings: Any) -> tuple[Model, dict[str, Any], Snapshot]:
    from nnspec.runtime.loading import assembled, dataset

    model = compile(loads(text, **settings), backend)
    splits = {name: assembled(model, rows).arrays for name, rows in dataset(model).splits.items()}
    split, rows = first_rows(model, splits)
    return model, rows, snapshot(model, rows, split, 0.01)


def outputs(model: Model, rows: dict[str, Any]) -> dict[str, Any]:
    """Every layer's output by the interpreter, from a graph that nothing but ``lower`` has made."""
    from nnspec.ir.graph import Graph, abstract

    network = model.spec.built.network
    feeds = {name: abstract(TensorType(rows[name].shape, DType(rows[name].dtype.name)), name) for name in network.inputs}
    params = {path: abstract(TensorType(np.asarray(p).shape, DType(np.asarray(p).dtype.name)), path) for path, p in model.parameters.items()}
    n = len(next(iter(rows.values())))
    low = lower(network, feeds, params, Mode(batch=n))
    graph = Graph({node: low.values[node, ""] for node in network.nodes if (node, "") in low.values})
    return interpret(graph, {**rows, **{path: np.asarray(p) for path, p in model.parameters.items()}})


@pytest.mark.parametrize("text", [SPEC, IMAGES], ids=["table", "images"])
def test_statistics_of_layers_are_those_of_the_values_that_the_interpreter_finds(text: str) -> None:
    model, rows, seen = looked(text, set={"precision": "float64"})
    for path, p in model.parameters.items():  # so that batch norm does something
        if p.role.startswith(("moving", "gamma", "beta")):
            p.assign(np.random.default_rng(len(path)).uniform(0.5, 2, p.shape))
    seen = snapshot(model, rows)
    found = outputs(model, rows)
    assert list(seen.layers) == list(model.spec.built.network.nodes)
    for name, x in found.items():
        s = seen.layers[name].activation
        assert s is not None and s.histogram is not None
        np.testing.assert_allclose([s.mean, s.std, s.min, s.max, s.norm], [x.mean(), x.std(), x.min(), x.max(), np.sqrt((x * x).sum())], 1e-6, 1e-9)
        assert (s.count, s.units) == (x.size, x.shape[-1])
        if "conv" not in name and "pool" not in name:  # of sums in another order what is exactly 0 may not be
            assert s.zeros == pytest.approx((x == 0).mean())
        assert s.dead == (abs(x).reshape(-1, x.shape[-1]).max(0) == 0).sum()
        assert sum(s.histogram.counts) == s.histogram.of and len(s.histogram.counts) == BINS
        if x.size <= 8192:
            assert abs(np.histogram(x, BINS, (x.min(), x.max()))[0] - s.histogram.counts).sum() <= 4  # values at the edges of bins


def test_saturated_is_the_share_at_the_ends_of_sigmoid_and_tanh_alone() -> None:
    model, rows, _ = looked(SPEC)
    model.parameters["dense_1/kernel"].assign(np.asarray(model.parameters["dense_1/kernel"]) * 20)
    s = snapshot(model, rows).layers
    x = np.tanh(rows["features"] @ np.asarray(model.parameters["dense_1/kernel"]))
    assert (abs(x) > 0.99).mean() > 0.3
    assert s["dense_1"].activation.saturated == pytest.approx((abs(x) > 0.99).mean(), abs=0.005)
    assert s["dense_2"].activation.saturated is None


TWO = """
nnspec: 1
precision: float64
data: {iris: {}, split: {train: 0.6, validation: 0.4}}
layers:
  - dense: {units: 6, activation: tanh}
  - batch_norm
  - dense: {units: 5, activation: relu}
  - dense: 3
loss: cross_entropy
optimizer: OPTIMIZER
epochs: 1
"""
OPTIMIZERS = (
    "{sgd: {learning_rate: 0.01, momentum: 0.9, nesterov: true, clip_norm: 0.05}}",
    "{adamw: {learning_rate: 0.01, weight_decay: {rate: 0.1, only: kernels}}}",
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "adamw"])
def test_gradients_are_those_of_pytorch_and_updates_those_of_the_step_that_follows(optimizer: str) -> None:
    model, rows, _ = looked(TWO.replace("OPTIMIZER", optimizer))
    for _ in range(3):  # the optimizer has a past
        model.train_step(rows, 0.01, len(rows["features"]))
    p = {path: torch.tensor(np.array(np.asarray(v)), requires_grad=v.trainable) for path, v in model.parameters.items()}
    seen = snapshot(model, rows, rate=0.01)
    x, t = torch.tensor(rows["features"]), torch.tensor(rows["target"])
    a = torch.tanh(x @ p["dense_1/kernel"] + p["dense_1/bias"])
    n = torch.nn.functional.batch_norm(a, None, None, p["batch_norm_1/gamma"], p["batch_norm_1/beta"], True, eps=1e-3)
    h = torch.relu(n @ p["dense_2/kernel"] + p["dense_2/bias"])
    y = h @ p["dense_3/kernel"] + p["dense_3/bias"]
    for v in (a, n, h, y):
        v.retain_grad()
    loss = torch.nn.functional.cross_entropy(y, t)
    loss.backward()
    assert seen.loss == pytest.approx(loss.item(), rel=1e-9)
    for layer, v in zip(("dense_1", "batch_norm_1", "dense_2", "dense_3"), (a, n, h, y), strict=True):
        g, found = v.grad.numpy(), seen.layers[layer].gradient
        assert found is not None and found.histogram is not None
        assert (found.norm, found.peak, found.zeros) == pytest.approx((np.sqrt((g * g).sum()), abs(g).max(), (g == 0).mean()), rel=1e-8)
        sizes = np.log10(abs(g[g != 0]))
        assert abs(np.histogram(sizes, BINS, DECADES)[0] - found.histogram.counts).sum() <= 2
        assert found.histogram.zeros == (g == 0).sum()
    for path, v in p.items():
        if v.requires_grad:
            assert seen.parameters[path].gradient.norm == pytest.approx(v.grad.norm().item(), rel=1e-8)
    before = {path: np.array(np.asarray(v)) for path, v in model.parameters.items()}
    model.train_step(rows, 0.01, len(rows["features"]))  # the step that was foretold
    for path, v in model.parameters.items():
        if v.trainable:
            moved = np.sqrt(((np.asarray(v) - before[path]) ** 2).sum())
            assert (seen.parameters[path].update, seen.parameters[path].ratio) == pytest.approx((moved, moved / np.sqrt((before[path] ** 2).sum())), rel=1e-9)


def test_what_has_no_gradient_says_why() -> None:
    _, _, seen = looked(SPEC)
    assert seen.layers["features"].absent == {"gradient": "an input"}
    assert seen.parameters["batch_norm_1/moving_mean"].absent == {"gradient": "it is not learned"}
    assert seen.layers["dropout_1"].gradient is not None
    model, rows, _ = looked(SPEC)
    bare = compile(loads("nnspec: 1\ninputs: {features: {shape: [4]}}\nlayers: [dense: 3]\n"))
    seen = snapshot(bare, {"features": rows["features"]})
    assert seen.layers["dense_1"].absent == {"gradient": "the spec has no loss"} and seen.loss is None
    assert seen.as_json()["layers"]["dense_1"]["activation"]["count"] == 3 * len(rows["features"])


def test_what_is_not_finite_is_null_in_json() -> None:
    model, rows, _ = looked(SPEC)
    model.parameters["dense_3/bias"].assign(np.array([np.nan, 0, np.inf], np.float32))
    content = json.dumps(snapshot(model, rows).as_json(), allow_nan=False)
    assert json.loads(content)["layers"]["dense_3"]["activation"]["mean"] is None


def test_the_emulated_gpu_sees_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CupyBackend(EmulatedDevice())
    _, _, here = looked(SPEC)
    monkeypatch.setattr(session, "load_backend", lambda name: backend)
    _, _, there = looked(SPEC)
    for name, place in here.layers.items():
        other = there.layers[name]
        assert place.activation is not None and other.activation is not None
        assert (other.activation.mean, other.activation.std) == pytest.approx((place.activation.mean, place.activation.std), rel=1e-4, abs=1e-6)
        if place.gradient is not None:
            assert other.gradient is not None and other.gradient.norm == pytest.approx(place.gradient.norm, rel=1e-4)
    for path, weight in here.parameters.items():
        assert there.parameters[path].update == pytest.approx(weight.update, rel=1e-3) if weight.update else True


SPECS = sorted((Path(__file__).parents[1] / "specs" / "zoo").glob("*.yaml"))
SMALL = ("gcn", "lenet5", "vae", "dcgan_generator", "resnet18_cifar")


@pytest.mark.parametrize("path", [p for p in SPECS if p.stem != "index" and (FULL or p.stem in SMALL)], ids=lambda p: p.stem)
def test_every_network_of_the_zoo_can_be_looked_into(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load(path)
    monkeypatch.setattr(session, "refuse_parameters", lambda *_: None)
    monkeypatch.setattr(session, "HostMemory", lambda types: None)  # graphs are made, no parameters
    model = Model(spec, "interpret", start=False)
    axes = {str(d): 96 for t in spec.inputs.values() for d in t.shape if not isinstance(d, int)}
    kinds = ("activations", "values", "rows", "slopes") if spec.built.losses and spec.document.optimizer else ("activations", "values", "rows")
    for kind in kinds:
        graph = model.graph_of(kind, 2, axes)
        verify(graph)
        if kind == "values":
            assert set(spec.built.network.nodes) <= set(graph.outputs) | {leaf.path for leaf in spec.built.network.leaves if leaf.only == "training"}


# In a run


def test_a_run_on_the_gpu_which_begins_steps_early_has_the_same_bits_with_taps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = CupyBackend(EmulatedDevice())
    monkeypatch.setattr(session, "load_backend", lambda name: backend)
    plain, looked_at = run(tmp_path / "plain", None), run(tmp_path / "looked_at", "5")
    assert (plain / "last.safetensors").read_bytes() == (looked_at / "last.safetensors").read_bytes()
    assert taps.steps(looked_at) == (0, 5, 10, 15, 20, 25, 30, 35, 36)
    assert taps.read(looked_at, 20)["layers"]["dense_2"]["gradient"]["norm"] > 0


class Stop(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, state: State) -> None:
        if state.step == self.step:
            raise Interrupted()


def run(folder: Path, often: str | None = "3", text: str = SPEC, *callbacks: Callback, said: list[str] | None = None, resume: bool = False) -> Path:
    tapping = None if often is None else taps.Tapping(taps.every(often), (said if said is not None else []).append)
    with open_run(folder, "x", resume) as opened:
        train(compile(loads(text)), None, opened, None, callbacks, resume, tapping)
    return folder


def held(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "taps").iterdir())}


@pytest.fixture(scope="module")
def tapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("tapped") / "run")


def test_no_bit_of_a_run_depends_on_its_taps(tapped: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", None)
    assert not (plain / "taps").exists()
    for name in ("last.safetensors", "best.safetensors", "result.json"):
        assert (plain / name).read_bytes() == (tapped / name).read_bytes()


def test_taps_are_of_every_so_many_steps_and_the_last(tapped: Path, tmp_path: Path) -> None:
    assert taps.steps(tapped) == tuple(range(0, 37, 3))
    newest = taps.read(tapped)
    assert (newest["step"], newest["epoch"], newest["split"], newest["every"]) == (36, 6.0, "validation", 3)
    by_epoch = run(tmp_path / "by_epoch", "4epochs")
    assert taps.steps(by_epoch) == (0, 24, 36)
    assert taps.read(by_epoch, 24)["layers"] == taps.read(tapped, 24)["layers"]
    told = taps.history(tapped)
    assert told["steps"] == list(range(0, 37, 3)) and told["layers"]["dense_2"]["gradient.norm"][3] == taps.read(tapped, 9)["layers"]["dense_2"]["gradient"]["norm"]
    assert told["parameters"]["dense_1/kernel"]["ratio"][0] > 0 and "gradient.norm" not in told["layers"]["features"]


@pytest.mark.parametrize("step", [5, 12] if not FULL else range(1, 36))
def test_the_folder_of_a_stopped_and_resumed_run_is_that_of_one_that_was_not(step: int, tapped: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(folder, "3", SPEC, Stop(step))
    (folder / "taps" / "step_00000036.json").write_text("what a killed process had seen")
    (folder / "taps" / "step_00000033.json.tmp").write_text("half a")
    run(folder, resume=True)
    assert held(folder) == held(tapped)


@pytest.mark.skipif(not FULL, reason="ten processes are started and killed: NNSPEC_FULL=1")
def test_the_folder_of_a_run_killed_again_and_again_is_that_of_one_that_was_not(tmp_path: Path) -> None:
    spec, draw = tmp_path / "spec.yaml", random.Random(5)
    spec.write_text(SPEC.replace("units: 12", "units: 256").replace("epochs: 6", "epochs: 150"))

    def start(folder: Path) -> subprocess.Popen[bytes]:
        call = [sys.executable, "-m", "nnspec", "run", str(spec), "--out", str(folder), "--resume", "--taps", "5"]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        return subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)

    assert start(tmp_path / "straight").wait() == 0
    for _ in range(10):
        before, process = taps.steps(tmp_path / "killed"), start(tmp_path / "killed")
        while process.poll() is None and taps.steps(tmp_path / "killed") == before:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.6)
        process.kill()
        process.wait()
    assert start(tmp_path / "killed").wait() == 0
    assert held(tmp_path / "killed") == held(tmp_path / "straight")


def test_older_taps_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tapped: Path) -> None:
    monkeypatch.setattr(taps, "MOST", 8)
    folder = run(tmp_path / "run", "2")
    assert taps.steps(folder) == (0, 8, 16, 24, 32, 36)  # 0 to 36 by twos are 19, more than twice 8
    with pytest.raises(Interrupted):
        run(tmp_path / "two", "2", SPEC, Stop(21))
    run(tmp_path / "two", "2", resume=True)
    assert held(tmp_path / "two") == held(folder)


def test_a_disk_that_is_full_is_told_once_and_the_run_goes_on(tapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnspec.runtime.atomic import refused

    def full(path: Path, parts: Iterator[bytes]) -> None:
        raise refused(path, OSError(28, "No space left on device"))

    monkeypatch.setattr(taps, "replace", full)
    said: list[str] = []
    folder = run(tmp_path / "run", said=said)
    assert len(said) == 1 and "step_00000000.json cannot be written" in said[0] and taps.steps(folder) == ()
    assert (folder / "last.safetensors").read_bytes() == (tapped / "last.safetensors").read_bytes()


def test_memory_that_is_short_is_told_once_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = Programs.ready

    def short(self: Programs, kind: str, *rest: Any) -> Any:
        if kind == "slopes":
            raise MemoryError("no room")
        return ready(self, kind, *rest)

    monkeypatch.setattr(Programs, "ready", short)
    said: list[str] = []
    run(tmp_path / "run", said=said)
    assert said == ["there are no taps of this run: no room"]


def test_a_new_run_in_the_folder_of_one_that_never_saved_starts_without_its_taps(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "taps").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "taps" / "step_00000003.json").write_text("{}")
    run(folder, None, resume=True)
    assert taps.steps(folder) == ()


@pytest.mark.parametrize("text", ["0", "-1", "epoch", "1.5epochs", "100 minutes", ""])
def test_what_is_no_number_of_steps_or_epochs_is_one_clear_error(text: str) -> None:
    with pytest.raises(SpecError, match="does not say how often to look") as told:
        taps.every(text)
    assert len(told.value.problems) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "layers": [], "parameters": {}}', "{" * 100_000, '{"format": 2}'])
def test_a_damaged_tap_is_one_clear_error_and_left_out_of_the_history(content: str, tmp_path: Path) -> None:
    (tmp_path / "taps").mkdir()
    (tmp_path / "taps" / "step_00000003.json").write_text(content)
    with pytest.raises(DataError, match="this is no tap"):
        taps.read(tmp_path)
    assert taps.history(tmp_path)["steps"] == []
    with pytest.raises(DataError, match="has no tap of step 4"):
        taps.read(tmp_path, 4)
    with pytest.raises(NnspecError, match="has no taps"):
        taps.read(tmp_path / "nowhere")
