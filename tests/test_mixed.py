"""Mixed precision: what is rounded to 16 bits, beside PyTorch's autocast, and the loss scale of float16 by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli.traced import passed, trace
from nnspec.codegen.check_plan import check_plan
from nnspec.compiler import compile_graph, load, loads
from nnspec.errors import NumbersError
from nnspec.ir.graph import Graph, Value, abstract
from nnspec.ir.types import DType, TensorType
from nnspec.ops.elementwise import Add, Cast, Relu, exp
from nnspec.ops.matmul import MatMul
from nnspec.ops.reduce import sum_
from nnspec.ops.rounding import Rounded, nearest
from nnspec.ops.softmax import softmax
from nnspec.passes.mix_precision import mix_precision
from nnspec.runtime.parity import _batches, parity
from nnspec.runtime.session import Model, compile
from nnspec.training import loss_scale
from nnspec_cupy import BACKEND as REGISTERED
from nnspec_cupy import convolution
from nnspec_cupy.backend import SWITCH, CupyBackend
from nnspec_cupy.cuda.compile import cubin
from nnspec_cupy.emulated import EmulatedDevice
from nnspec_cupy.source import kernels
from tests.cuda.shim import COMPILER, ShimDevice
from tests.test_cuda_compile import WITHOUT

SPECS = sorted((Path(__file__).parents[1] / "specs" / "quickstart").glob("*.yaml"))
DRAWN = ("image_folder", "segmentation", "transfer")  # whose data a script draws first
MIXED = ("mixed_bfloat16", "mixed_float16")
RNG = np.random.default_rng(11)
NET = """nnspec: 1
precision: {precision}
inputs: {{image: {{shape: [8, 8, 3]}}}}
layers:
  - conv2d: {{filters: 6, kernel: 3, padding: 1, bias: false}}
  - batch_norm: {{momentum: 0.9, epsilon: 1e-5, variance: unbiased}}
  - relu
  - max_pool2d: 2
  - flatten
  - dense: {{units: 16, activation: gelu}}
  - dense: 5
loss: cross_entropy
optimizer: {optimizer}
"""

DEEPER = NET.replace("  - flatten\n", "  - conv2d: {{filters: 8, kernel: 1}}\n  - conv2d: {{filters: 16, kernel: 3, stride: 2, padding: same}}\n  - relu\n  - flatten\n").replace(
    "filters: 6", "filters: 8")


def net(precision: str, optimizer: str = "{sgd: {learning_rate: 0.1}}", **settings: Any) -> Model:
    return compile(loads(NET.format(precision=precision, optimizer=optimizer)), **settings)


def batch() -> dict[str, Any]:
    random = np.random.default_rng(5)
    return {"image": random.standard_normal((12, 8, 8, 3)).astype(np.float32), "target": random.integers(0, 5, 12)}


def scale_of(model: Model) -> list[float]:
    return [float(x) for x in model.memory.read(loss_scale.LABEL)]


def set_scale(model: Model, *state: float) -> None:
    model.memory.write(loss_scale.LABEL, np.array(state, np.float32))


# Rounding

def test_numbers_are_rounded_as_pytorch_casts_them() -> None:
    torch = pytest.importorskip("torch")
    edges = [0, 1, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x477FEFFF, 0x477FF000, 0x387FFFFF, 0x38800000, 0x33000000, 0x33000001,
             0x33C00000, 0x3F808000, 0x3F818000]
    bits = np.concatenate([RNG.integers(0, 1 << 32, 20_000, dtype=np.uint32), np.array(edges, np.uint32), np.array(edges, np.uint32) | 1 << 31])
    x = bits.astype(np.uint32).view(np.float32)
    for to, name in ((DType.bfloat16, torch.bfloat16), (DType.float16, torch.float16)):
        np.testing.assert_array_equal(nearest(x, to), torch.from_numpy(x).to(name).float().numpy())


@pytest.mark.parametrize("to", [DType.bfloat16, DType.float16])
def test_a_nest_rounds_as_the_reference_does(to: DType) -> None:
    from nnspec.codegen.backend import load_backend

    x = np.concatenate([RNG.standard_normal(500) * 10.0 ** RNG.integers(-9, 9, 500), [0.0, 65519.0, 65520.0, np.inf, -np.inf, np.nan, 3e38]])
    x = np.where(np.abs(x) < 1e-30, 0, x).astype(np.float32)
    backend = load_backend("numpy")
    a = abstract(TensorType((len(x),)), "x")
    y = Relu().one(Rounded(to).one(a)) + Rounded(to).one(-a)
    program = compile_graph(Graph({"y": y}), backend, "rounding")
    bound = backend.bind(program, backend.memory({}))
    bound.inputs["x"][...] = x
    bound.run()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(bound.outputs["y"], np.maximum(nearest(x, to), 0) + nearest(-x, to))


# Which values have 16 bits

def test_products_and_what_lies_between_are_rounded_and_reductions_are_not() -> None:
    x, w, b = (abstract(TensorType(s), n, r) for s, n, r in (((4, 3), "x", "data"), ((3, 3), "w", "state"), ((3,), "b", "state")))
    product = MatMul().one(x, w)
    between = Relu().one(product + b)
    graph = mix_precision(Graph({"between": between, "softmax": softmax(between), "sum": sum_(between), "exp": exp(between), "before": x + b}),
                          DType.bfloat16)
    found: Mapping[str, Value] = graph.outputs
    assert isinstance(found["between"].op, Relu) and isinstance(found["between"].inputs[0].op, Rounded)
    added = found["between"].inputs[0].inputs[0]
    assert isinstance(added.op, Add) and isinstance(added.inputs[0].op, Rounded)
    made = added.inputs[0].inputs[0]
    assert isinstance(made.op, MatMul) and all(isinstance(v.op, Rounded) for v in made.inputs)
    assert not any(isinstance(found[name].op, Rounded) for name in ("softmax", "sum", "exp", "before"))


def test_parameters_and_everything_kept_are_float32() -> None:
    model = net("mixed_float16", "{adam: {learning_rate: 0.01}}")
    model.train_batch(batch())
    state = model.state()
    assert {a.dtype.name for k, a in state.items() if "updates" not in k} == {"float32"}
    assert state["optimizer/loss_scale"].tolist() == [65536.0, 1.0]
    assert model.predict(batch() | {"target": None} and {"image": batch()["image"]}).dtype == np.float32


# Beside PyTorch

@pytest.mark.parametrize("precision", MIXED)
def test_losses_and_gradients_are_those_of_autocast_within_the_types_last_bits(precision: str) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model, feeds = net(precision), batch()

    class Net(nn.Module):  # type: ignore[misc]  # torch is imported by importorskip
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
            self.one, self.two = nn.Linear(96, 16), nn.Linear(16, 5)

        def forward(self, x: Any) -> Any:
            x = nn.functional.max_pool2d(self.bn(self.conv(x.permute(0, 3, 1, 2))).relu(), 2)
            return self.two(nn.functional.gelu(self.one(x.permute(0, 2, 3, 1).flatten(1))))

    twin = Net()
    names = {"conv2d_1/kernel": twin.conv.weight, "dense_1/kernel": twin.one.weight, "dense_1/bias": twin.one.bias,
             "dense_2/kernel": twin.two.weight, "dense_2/bias": twin.two.bias}
    turned = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    with torch.no_grad():
        for name, p in names.items():
            p.copy_(torch.from_numpy(model.read(name).transpose(turned[p.ndim])))
    to = torch.bfloat16 if precision == "mixed_bfloat16" else torch.float16
    step = 2.0**-8 if to == torch.bfloat16 else 2.0**-11
    with torch.autocast("cpu", dtype=to):
        y = twin(torch.from_numpy(feeds["image"]))
    loss = nn.functional.cross_entropy(y.float(), torch.from_numpy(feeds["target"]))
    (loss * 1024).backward()
    own = model.gradients(feeds)
    assert model.train_batch(feeds)["loss"] == pytest.approx(loss.item(), rel=4 * step)
    for name, p in names.items():
        there = p.grad.numpy() / 1024
        back = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[p.ndim]
        assert np.abs(own[name] - there.transpose(back)).max() <= 8 * step * np.abs(there).max(), name


# The loss scale

def test_the_scale_doubles_after_so_many_good_steps_and_counts_anew() -> None:
    model = net("mixed_float16")
    set_scale(model, 1024, loss_scale.EVERY - 2)
    feeds = batch()
    model.train_batch(feeds)
    assert scale_of(model) == [1024, loss_scale.EVERY - 1]
    model.train_batch(feeds)
    assert scale_of(model) == [2048, 0]
    model.train_batch(feeds)
    assert scale_of(model) == [2048, 1]


@pytest.mark.parametrize("optimizer", ["{adam: {learning_rate: 0.01}}", "{adam: {learning_rate: 0.01, clip_value: 0.1}}",
                                       "{adam: {learning_rate: 0.01, accumulate: 3}}"])
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_a_step_that_is_not_finite_is_not_taken_and_halves_the_scale(optimizer: str, backend: str) -> None:
    model, feeds = net("mixed_float16", optimizer, backend=backend), batch()
    set_scale(model, 2.0**40, 7)
    before = model.state()
    scores = model.train_batch(feeds)
    assert np.isfinite(scores["loss"])
    assert scale_of(model) == [2.0**39, 0]
    after = model.state()
    assert model.step == 1
    for key in before.keys() - {"optimizer/loss_scale"}:
        np.testing.assert_array_equal(before[key], after[key], err_msg=key)
    set_scale(model, 1024, 0)
    model.train_batch(feeds)
    assert scale_of(model) == [1024, 1]
    assert any((before[k] != a).any() for k, a in model.state().items() if k.startswith("parameters/dense"))
    assert {int(a) for k, a in model.state().items() if "updates" in k} == {1}, "Adam counts steps that were taken"


def test_numbers_that_no_scale_helps_are_an_error() -> None:
    model, feeds = net("mixed_float16"), batch()
    set_scale(model, 1.0, 0)
    feeds["image"] = np.full_like(feeds["image"], 3e38)
    with pytest.raises(NumbersError):
        model.train_batch(feeds)


def test_bfloat16_has_no_scale() -> None:
    model = net("mixed_bfloat16")
    assert loss_scale.LABEL not in model.memory.types and "optimizer/loss_scale" not in model.state()


def test_the_scale_makes_small_gradients_visible() -> None:
    text = "nnspec: 1\nprecision: {}\ninputs: {{x: {{shape: [2]}}}}\nlayers:\n  - dense: {{units: 4, bias: false}}\n  - dense: {{units: 1, bias: false}}\n" \
           "loss: {{mse: {{weight: 1e-7}}}}\noptimizer: sgd\n"
    feeds = {"x": RNG.standard_normal((3, 2)).astype(np.float32), "target": RNG.standard_normal((3, 1)).astype(np.float32)}
    exact, scaled = (compile(loads(text.format(p))).gradients(feeds) for p in ("float32", "mixed_float16"))
    for name, g in exact.items():
        np.testing.assert_allclose(scaled[name], g, atol=np.abs(g).max() * 2**-8)
    small = compile(loads(text.format("mixed_float16")))
    set_scale(small, 1.0, 0)
    assert any(np.abs(small.gradients(feeds)[name] - g).max() > 0.1 * np.abs(g).max() for name, g in exact.items())


def test_what_was_saved_goes_on_to_the_same_bits() -> None:
    one, feeds = net("mixed_float16", "{adam: {learning_rate: 0.01}}"), batch()
    set_scale(one, 2.0**30, 0)
    for _ in range(9):
        one.train_batch(feeds)
    other = net("mixed_float16", "{adam: {learning_rate: 0.01}}")
    other.restore(one.state())
    other.step = one.step
    for model in (one, other):
        for _ in range(9):
            model.train_batch(feeds)
    assert scale_of(one) == scale_of(other)
    for key, a in one.state().items():
        np.testing.assert_array_equal(a, other.state()[key], err_msg=key)


# Specs and backends

@pytest.mark.parametrize("path", [p for p in SPECS if p.stem not in DRAWN], ids=lambda p: p.stem)
def test_every_quickstart_spec_trains_near_float32(path: Path) -> None:
    spec = load(path)
    spec = spec.fold(1) if spec.folds else spec
    found = []
    for precision in ("float32", *MIXED):
        model = compile(spec, precision=precision)
        rows = list(islice(_batches(model, model, {}), 3))
        sizes = [-(-len(next(iter(b.values()))) // model.accumulate) * model.accumulate for b in rows]
        found.append([model.train_step(b, model.rate(model.step), n)["loss"] for b, n in zip(rows, sizes, strict=True)])
    exact, *mixed = found
    for losses in mixed:
        assert np.isfinite(losses).all()
        if "perceptron" not in path.stem:  # whose step has no slope: a number that turns by its last bit moves the whole loss
            np.testing.assert_allclose(losses, exact, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("precision", MIXED)
def test_two_backends_give_the_same_within_the_types_bound(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, SWITCH, "emulated")
    spec = loads(NET.format(precision=precision, optimizer="adam"))
    for names in (("numpy", "cupy"), ("numpy", "interpret")):
        assert parity(spec, names, 3, 1e-2, {}).passed


def test_a_step_that_is_not_finite_does_not_stop_those_behind_it_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, SWITCH, "emulated")
    model, feeds = net("mixed_float16", backend="cupy"), batch()
    set_scale(model, 2.0**40, 0)
    model.train_batch(feeds)
    assert scale_of(model) == [2.0**39, 0] and not model.late
    set_scale(model, 1024, 0)
    before = model.read("dense_1/kernel")
    model.train_batch(feeds)
    assert scale_of(model) == [1024, 1] and (model.read("dense_1/kernel") != before).any()


# Sixteen bits of memory

def test_what_a_convolution_of_a_gpu_reads_and_gives_has_sixteen_bits_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: True)
    backend, sizes = CupyBackend(EmulatedDevice()), []
    for precision in ("float32", "mixed_bfloat16"):
        spec = load(SPECS[0].parent.parent / "zoo" / "vgg_small.yaml").with_(precision=precision)
        graph = [*passed(trace(spec, 64, {}), backend)][-1][1]
        program = backend.plan(graph, "vgg_small")
        sizes.append(program.peak)
        products = [a.type.dtype for step in program.steps if step.call.op.name.startswith("Conv") for a in (*step.inputs, *step.outputs)]
        if precision == "float32":
            assert set(products) == {DType.float32}
        else:
            assert set(products) == {DType.bfloat16}
    assert sizes[1] < 0.85 * sizes[0]


@pytest.mark.parametrize("precision", MIXED)
def test_a_library_that_reads_sixteen_bits_gives_the_same(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: True)
    monkeypatch.setitem(os.environ, SWITCH, "emulated")
    assert parity(loads(DEEPER.format(precision=precision, optimizer="adam")), ("numpy", "cupy"), 3, 1e-2, {}).passed


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
@pytest.mark.parametrize("to", [DType.bfloat16, DType.float16])
def test_kernels_keep_numbers_in_sixteen_bits_as_the_reference_rounds_them(to: DType) -> None:
    edges = np.array([0.0, -0.0, 1e-8, 2.0**-24, 2.0**-25, 6.0e-8, 2.0**-14, 6.1e-5, 65504, 65519.9, 65520, 3.39e38, np.inf, -np.inf, np.nan])
    x = np.concatenate([edges, -edges, RNG.standard_normal(500) * 10.0 ** RNG.integers(-9, 9, 500)]).astype(np.float32)
    backend = CupyBackend(ShimDevice())
    a = abstract(TensorType((len(x),)), "x")
    half = Cast(to).one(a)
    program = backend.plan(Graph({"y": Cast(DType.float32).one(half)}), "casts")
    assert any(s.outputs[0].type.dtype == to for s in program.steps)
    bound = backend.bind(program, backend.memory({}))
    bound.inputs["x"][...] = x
    bound.run()
    np.testing.assert_array_equal(bound.outputs["y"], nearest(x, to))


@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
@pytest.mark.parametrize("precision", MIXED)
def test_kernels_of_a_mixed_step_give_what_numpy_gives(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: True)
    monkeypatch.setattr(REGISTERED, "_given", ShimDevice())
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    found = parity(loads(DEEPER.format(precision=precision, optimizer="adam")), ("numpy", "cupy"), 1, 1e-2, {})
    monkeypatch.delitem(REGISTERED.__dict__, "device", raising=False)
    assert found.passed, sorted(found.found, key=lambda d: -d.relative)[:3]


@pytest.mark.skipif(bool(WITHOUT), reason=WITHOUT)
@pytest.mark.parametrize("precision", MIXED)
def test_kernels_of_sixteen_bits_compile_without_the_toolkits_headers(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "library", lambda: True)
    backend = CupyBackend(EmulatedDevice())
    graph = [*passed(trace(loads(DEEPER.format(precision=precision, optimizer="adam")), 2, {}), backend)][-1][1]
    program = backend.plan(graph, "net")
    check_plan(graph, program)
    for arch in ("sm_80", "sm_90"):
        assert cubin(list(kernels(program).values()), arch).startswith(b"\x7fELF")
