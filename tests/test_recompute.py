"""``memory: 512MB``: a training step computes again what does not fit, keeps to its budget, and gives the same bits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

import nnspec
from nnspec.cli import status
from nnspec.cli.test import static
from nnspec.cli.traced import open_axes, passed, trace, trains
from nnspec.codegen.backend import load_backend
from nnspec.codegen.budget import Budget, keep_to
from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import Spec, loads
from nnspec.errors import ResourceError, SpecError
from nnspec.ir.graph import Graph
from nnspec.ir.program import Program
from nnspec.ir.verify import verify
from nnspec.ops.conv import Conv
from nnspec.passes.recompute import STAGE, Recomputed, recompute
from nnspec.runtime.session import Model, compile
from nnspec.spec.expect import Bytes
from nnspec_numpy.llvm.cpu import chosen
from tests.drawn import shipped, specs

ROOT = Path(__file__).parent.parent / "specs"
FULL = bool(os.environ.get("NNSPEC_FULL"))
BACKEND = load_backend("numpy")
SMALL: dict[str, dict[str, Any]] = {
    "mlp_wide": {"vars.width": 48}, "vgg_small": {"vars.width": 8}, "resnet18_cifar": {"vars.width": 4}, "unet_small": {"vars.width": 4},
    "mobilenet_v2": {"vars.width": 4}, "resnet50": {"vars.width": 4, "inputs.image.shape": [96, 96, 3]},
}  # fmt: skip
CHAIN = """\
nnspec: 1
name: chain
precision: float32
inputs: {image: {shape: [16, 16, 3]}}
blocks:
  unit:
    args: {filters: required}
    layers: [conv2d: {filters: $filters, kernel: 3, padding: same, bias: false}, batch_norm, relu, dropout: 0.1]
layers:
  - unit: {filters: 12, repeat: 4}
  - unit: 12
  - max_pool2d: 2
  - residual: {layers: [unit: 12, gaussian_noise: 0.1]}
  - unit: 16
  - global_avg_pool2d
  - dense: {units: 24, activation: gelu}
  - dropout: 0.5
  - dense: 4
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
batch_size: 8
"""


def graph_of(spec: Spec, rows: int) -> Graph:
    return list(passed(trace(spec, rows, {}), BACKEND, spec.settings.strict))[-1][1]


def path(graph: Graph) -> Iterator[tuple[Recomputed, Program]]:
    for found in recompute(graph, BACKEND.plan(graph, "t")):
        yield found, BACKEND.plan(found.graph, "t")


def least(spec: Spec) -> int:
    return _least(spec.text, str(chosen()))


@cache
def _least(text: str, cpu: str) -> int:
    spec = loads(text)
    return min(program.peak for _, program in path(graph_of(spec, spec.settings.batch_size)))


def within(text: str, budget: int | str, **settings: Any) -> Spec:
    return loads(text, set={"memory": budget, **settings})


def program_of(model: Model, kind: str = "train") -> Program:
    (ready,) = [r for key, r in model.programs._kept.items() if key[0] == kind]
    assert ready.program is not None
    return ready.program


def stepped(spec: Spec, steps: int = 2) -> tuple[Model, list[float], dict[str, bytes]]:
    model, rng = compile(spec), np.random.default_rng(0)
    rows = spec.settings.batch_size * model.accumulate
    feeds = {"image": rng.standard_normal((rows, 16, 16, 3)), "target": rng.integers(0, 4, rows)}
    losses = [model.train_batch(feeds)["loss"] for _ in range(steps)]
    return model, losses, {label: model.memory.read(label).tobytes() for label in model.memory.types}


@pytest.mark.parametrize("cpu", ["", "none"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_budget_changes_no_bit_of_a_network_with_dropout_noise_and_batch_norm(
    precision: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    if cpu:
        monkeypatch.setenv("NNSPEC_CPU", cpu)
    free = loads(CHAIN, set={"precision": precision})
    model, losses, state = stepped(free)
    before, limit = program_of(model).peak, least(free)
    assert limit < (0.6 if (wide := chosen()) and wide.width >= 32 else 0.8) * before
    for budget in (limit, (limit + before) // 2) if FULL or precision == "float32" and not cpu else (limit,):
        kept, again, found = stepped(within(CHAIN, budget, precision=precision))
        assert program_of(kept).peak <= budget < before
        assert again == losses and found == state


def test_a_micro_batch_keeps_to_the_budget_too() -> None:
    accumulating = CHAIN.replace("momentum: 0.9", "momentum: 0.9, accumulate: 2")
    free = loads(accumulating)
    model, losses, state = stepped(free)
    budget = least(free)
    kept, again, found = stepped(within(accumulating, budget))
    assert program_of(kept, "gather").peak <= budget < program_of(model, "gather").peak
    assert again == losses and found == state


@pytest.mark.compiled
def test_random_ops_and_normalisations_go_before_convolutions() -> None:
    stages = [found.calls for found, _ in path(graph_of(loads(CHAIN), 8))]
    assert stages[0] and not any(isinstance(c.op, Conv) for c in stages[0])
    assert all(set(a) <= set(b) for a, b in zip(stages, stages[1:], strict=False))
    assert any(isinstance(c.op, Conv) for c in stages[-1])


def test_a_repetition_is_the_same_call_of_the_same_kinds_beside_its_gradient() -> None:
    graph = graph_of(loads(CHAIN), 8)
    *_, found = recompute(graph, BACKEND.plan(graph, "t"))
    calls_again, calls = found.graph, found.calls
    verify(calls_again)
    made = [c for c in calls_again.calls if c.origin.stage == STAGE]
    assert sorted((c.origin.layer, c.op.name) for c in made) == sorted((c.origin.layer, c.op.name) for c in calls)
    assert len(calls_again.calls) - len(graph.calls) >= len(made)
    first = min(c.serial for c in made)
    assert any(c.serial < first for c in calls_again.calls if c.origin.stage == "backward")


def test_a_large_budget_leaves_the_program_as_it_is() -> None:
    plain, bounded = (stepped(spec, 1)[0] for spec in (loads(CHAIN), within(CHAIN, "1TB")))
    assert str(program_of(plain)) == str(program_of(bounded))


def test_the_same_budget_gives_the_same_program() -> None:
    budget = Budget(least(loads(CHAIN)))
    first, second = (str(keep_to(budget, graph_of(loads(CHAIN), 8), "t", BACKEND.plan).program) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("file", ["quickstart/digits_cnn.yaml", "zoo/vgg_small.yaml"])
def test_plans_that_are_left_out_would_not_have_fitted(file: str) -> None:
    """Of the graphs that need less and less, the first whose plan fits is taken, as if all had been planned."""
    spec = nnspec.load(ROOT / file)
    graph = graph_of(spec, 8)
    before = BACKEND.plan(graph, "t").peak
    found = [(program.peak, made.calls) for made, program in path(graph)]
    for limit in [peak for peak, _ in found if peak < before][:: 1 if FULL else 3]:
        first = next((one for one in found if one[0] <= limit), None)
        kept = keep_to(Budget(limit), graph, "t", BACKEND.plan)
        assert first is not None and (kept.program.peak, len(kept.calls)) == (first[0], len(first[1]))
    with pytest.raises(ResourceError, match=f"{min(peak for peak, _ in found):,} bytes at best"):
        keep_to(Budget(1), graph, "t", BACKEND.plan)


def test_prediction_and_evaluation_know_no_budget() -> None:
    spec = within(CHAIN, "1kB")
    assert compile(spec).predict(np.zeros((2, 16, 16, 3))).shape == (2, 4)


LONG = ("transfer", "resnet50")  # the first trains before, the second is like ResNet-18 and twice as long
WORKS = [p for p in specs(large=False) if FULL or p.stem not in LONG]


@pytest.mark.parametrize("file", WORKS, ids=[p.stem for p in WORKS])
def test_no_two_live_buffers_overlap_where_a_shipped_spec_recomputes(file: Path) -> None:
    file = shipped(file.stem) if file.parent.name == "quickstart" else file
    spec = nnspec.load(file, set={} if FULL else SMALL.get(file.stem, {}))
    if not trains(spec) or open_axes(spec):
        return  # it trains nothing
    graph = graph_of(spec, 2)
    found = list(recompute(graph, BACKEND.plan(graph, "t")))
    for made in found if FULL else found[-1:]:
        verify(made.graph)
        check_plan(made.graph, BACKEND.plan(made.graph, "t"))


@pytest.mark.wide
@pytest.mark.parametrize(("name", "rows", "share"), [("vgg_small", 64, 0.7), ("resnet18_cifar", 32, 0.8), ("unet_small", 8, 0.85)])
def test_the_peak_of_a_work_falls(name: str, rows: int, share: float) -> None:
    graph = graph_of(nnspec.load(ROOT / "zoo" / f"{name}.yaml"), rows)
    program = BACKEND.plan(graph, "t")
    before, made = program.peak, list(recompute(graph, program))
    some = made if FULL else [*made[:-1:2], made[-1]]
    found = [(BACKEND.plan(m.graph, "t").peak, sum(c.op.flops(*(v.type for v in c.inputs)) for c in m.calls)) for m in some]
    assert min(peak for peak, _ in found) < share * before
    assert found[-1][1] < 0.2 * graph.flops
    assert any(peak < 0.95 * before and more < 0.01 * graph.flops for peak, more in found), "the first are nearly free"


def test_what_cannot_fit_is_one_error_that_names_the_least() -> None:
    free = loads(CHAIN)
    before, limit = BACKEND.plan(graph_of(free, 8), "t").peak, least(free)
    with pytest.raises(ResourceError) as e:
        stepped(loads(CHAIN + "memory: 100kB\n", "spec.yaml"))
    hint = -(-limit // 10**4) / 100
    assert e.value.render() == f"""\
spec.yaml:22:1: the training step of chain, batch 8, float32 does not fit into its budget of memory
   | memory: 100kB
   | ^
   found   {limit:,} bytes at best, {before:,} where nothing is recomputed
   wanted  at most 100,000 bytes
   hint    memory: {hint:g}MB, or a smaller batch_size with accumulate, which takes the same steps in parts"""
    assert program_of(stepped(within(CHAIN, f"{hint:g}MB"), 1)[0]).peak == limit, "what the hint says fits"


@pytest.mark.parametrize(("text", "wanted"), [
    ("512MB", 512_000_000), ("1.5 GiB", 3 << 29), (4096, 4096), ("2e3kB", 2_000_000), ("1TB", 10**12),
])  # fmt: skip
def test_amounts_of_memory(text: Any, wanted: int) -> None:
    assert TypeAdapter(Bytes).validate_python(text) == wanted


@pytest.mark.parametrize("text", ["512mb", "512Mb", "lots", "", "-1MB", 0, "0", "<= 1MB", True, "5 parsec", "1e400", [1]])
def test_what_is_no_amount(text: Any) -> None:
    with pytest.raises(ValidationError, match="memory"):
        TypeAdapter(Bytes).validate_python(text)


def test_a_wrong_unit_is_told_ours() -> None:
    with pytest.raises(SpecError) as e:
        loads(CHAIN + "memory: 512mb\n", "spec.yaml")
    assert "spec.yaml:22:9" in str(e.value) and "write MB" in str(e.value)


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("chain.yaml").write_text(CHAIN)
    budget = least(loads(CHAIN))

    def call(*args: str) -> tuple[int, str, str]:
        code = status(list(args))
        out, err = capsys.readouterr()
        return code, out, err

    plain = call("summary", "chain.yaml", "--json")
    assert call("summary", "chain.yaml", "--json", "--set", f"memory={budget}") == plain
    code, out, _ = call("plan", "chain.yaml", "--set", f"memory={budget}")
    assert code == 0 and "recomputed, for a budget of" in out and "before" in out and "now" in out and "unit_2/dropout_1" in out
    assert "recomputed" not in call("plan", "chain.yaml")[1]
    assert "nothing: the plan takes" in call("plan", "chain.yaml", "--set", "memory=1GB")[1]
    assert f", {STAGE}" in call("plan", "chain.yaml", "--source", "--set", f"memory={budget}")[1]
    code, out, err = call("plan", "chain.yaml", "--set", "memory=1kB")
    assert code == 5 and "--set" in err and "at best" in err and not out
    assert dict(static(within(CHAIN + "expect: {memory: '> 1'}\n", budget)))["memory"] == budget
