"""What is made of a convolution's kernel is kept between predictions, and made again whenever a parameter may be another."""

import numpy as np
import pytest

import nnspec
import nnspec.passes.keep_kernels
from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import compile_graph, loads
from nnspec.ir.program import KEPT
from nnspec.passes import run_pipeline
from nnspec.passes.bound_tiles import bound_tiles
from nnspec.passes.keep_kernels import keep_kernels
from nnspec_numpy.kernels.gemm import lanes
from nnspec_numpy.llvm.cpu import chosen

compiled = pytest.mark.skipif(chosen() is None, reason="without llvmlite few kernels are made into anything")

NETWORK = """
nnspec: 1
name: kept
inputs: {{x: {{shape: [{size}, {size}, {channels}]}}}}
layers:
  - conv2d: {{filters: {filters}, kernel: 3, padding: same, stride: {stride}}}
  - batch_norm
  - relu
  - residual:
      layers: [{{conv2d: {{filters: {filters}, kernel: 1}}}}, {{conv2d: {{filters: {filters}, kernel: 3, padding: same}}}}]
  - conv2d: {{filters: {wide}, kernel: {kernel}, padding: same, stride: 2}}
  - global_avg_pool2d
  - dense: 5
loss: cross_entropy
optimizer: {{sgd: {{learning_rate: 0.05}}}}
seed: 3
"""


def network(size=12, channels=16, filters=64, wide=128, kernel=3, stride=1, **settings):
    text = NETWORK.format(size=size, channels=channels, filters=filters, wide=wide, kernel=kernel, stride=stride)
    return loads(text, set=settings)


def rows(model, n, seed=0):
    (shape,) = (t.shape for t in model.spec.inputs.values())
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def fresh(model, x):
    """What a new model of the same parameters answers, and what the reference answers."""
    for backend in ("numpy", "interpret"):
        other = nnspec.compile(model.spec, backend=backend)
        other.restore(model.state())
        yield other.predict(x, raw=True)


def near(y, expected, tolerance=2e-5):
    return np.abs(y - expected).max() <= tolerance * np.abs(expected).max()


def program(model, x, kind="predict"):
    (entry,) = model.spec.inputs
    return model.programs.ready(kind, {entry: x}, len(x), False).program


def kept(plan):
    return [name for name in plan.arenas if name.startswith(KEPT)]


@pytest.mark.parametrize("seed", range(6))
def test_networks_of_any_size_answer_as_the_reference_does(seed):
    rng = np.random.default_rng(seed)
    model = nnspec.compile(network(*(int(rng.choice(c)) for c in ([5, 8, 13], [1, 3, 16, 48], [8, 24, 64, 160], [40, 128, 192], [1, 3, 5], [1, 2]))))
    x = rows(model, int(rng.integers(1, 6)), seed)
    ours, reference = fresh(model, x)
    assert near(model.predict(x, raw=True), reference)
    assert np.array_equal(model.predict(x, raw=True), ours)


@compiled
def test_nothing_is_stale_after_a_step_an_assignment_or_a_restored_state():
    model = nnspec.compile(network())
    x, classes = rows(model, 3), np.array([0, 1, 4])
    target = next(iter(model.spec.built.losses)).feed
    before = model.state()
    first = model.predict(x, raw=True)
    assert kept(program(model, x))

    model.train_batch({"x": x, target: classes})
    moved = model.predict(x, raw=True)
    assert not near(moved, first)
    ours, reference = fresh(model, x)
    assert np.array_equal(moved, ours) and near(moved, reference)

    path = next(p for p, v in model.parameters.items() if v.shape == (3, 3, 64, 64))
    model.write(path, model.read(path) * 2)
    assigned = model.predict(x, raw=True)
    ours, reference = fresh(model, x)
    assert np.array_equal(assigned, ours) and near(assigned, reference) and not near(assigned, moved)

    model.restore(before)
    assert np.array_equal(model.predict(x, raw=True), first)


@compiled
def test_programs_share_what_is_kept_and_none_reads_what_another_has_left_behind():
    model = nnspec.compile(network(wide=256))
    many, one = rows(model, 8), rows(model, 8)[:4]
    model.predict(many), model.predict(one)
    assert set(kept(program(model, many))) & set(kept(program(model, one)))
    for factor in (2, 0.25):
        for path in model.parameters:
            if path.endswith("kernel"):
                model.write(path, model.read(path) * factor)
        for x in (many, one, many):
            assert np.array_equal(model.predict(x, raw=True), next(fresh(model, x)))


def test_a_saved_model_answers_what_it_answered(tmp_path):
    model = nnspec.compile(network())
    x = rows(model, 2)
    model.train_batch({"x": x, next(iter(model.spec.built.losses)).feed: np.array([0, 1])})
    y = model.predict(x, raw=True)
    model.save(tmp_path / "model")
    assert np.array_equal(nnspec.load_model(tmp_path / "model").predict(x, raw=True), y)


@compiled
def test_what_trains_keeps_nothing():
    model = nnspec.compile(network())
    x = rows(model, 2)
    target = next(iter(model.spec.built.losses)).feed
    arrays = {"x": x, target: np.array([0, 1])}
    assert not kept(model.programs.ready("train", arrays, 2, False).program)
    assert kept(model.programs.ready("score", arrays, 2, False).program)


def test_double_precision_keeps_nothing_and_changes_no_bit():
    model = nnspec.compile(network(precision="float64"))
    x = rows(model, 2).astype(np.float64)
    assert not kept(program(model, x))


@compiled
def test_strict_keeps_strips_alone_and_changes_no_bit(monkeypatch):
    model = nnspec.compile(network(math="strict"))
    x = rows(model, 2)
    assert all("strips" in name for name in kept(program(model, x)))
    y = model.predict(x, raw=True)
    monkeypatch.setattr(nnspec.passes.keep_kernels, "keep_kernels", lambda graph: graph)
    plain = nnspec.compile(model.spec)
    assert not kept(program(plain, x))
    assert np.array_equal(plain.predict(x, raw=True), y)


@compiled
@pytest.mark.parametrize("n", [1, 5])
def test_plans_hold_and_say_what_is_kept(n):
    model = nnspec.compile(network())
    x = rows(model, n)
    (entry,) = model.spec.inputs
    ready = model.programs.ready("predict", {entry: x}, n, False)
    graph = run_pipeline(keep_kernels(bound_tiles(ready.graph)), model.backend.claims, model.backend.loops(), verify=True)
    plan = model.backend.plan(graph, "kept")
    check_plan(graph, plan)
    assert kept(plan) == kept(compile_graph(ready.graph, model.backend, "kept"))
    said = [model.backend.choice(s) for s in plan.steps if s.call.op.name == "Conv"]
    assert sum(1 + ("filters in 2 parts" in text) for text in said if "its kernel is kept" in text) == len(kept(plan))


@pytest.mark.skipif(not lanes(), reason="other kernels for vectors this short")
@pytest.mark.parametrize(("n", "size", "way"), [(1, 7, "direct"), (3, 12, "Winograd")])
def test_kernels_that_are_kept_in_parts_of_their_filters_answer_alike_on_any_number_of_threads(n, size, way):
    model = nnspec.compile(network(size=size, channels=32, filters=256, wide=320))
    x = rows(model, n)
    plan = program(model, x)
    ways = [model.backend.choice(s) for s in plan.steps]
    assert any("filters in 2 parts" in w and way in w for w in ways)
    found = []
    for threads in (1, 2, 4):
        model.backend.set_threads(threads)
        found.append(model.predict(x, raw=True))
    model.backend.set_threads(1)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    assert near(found[0], list(fresh(model, x))[1])
