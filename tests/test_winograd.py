"""Winograd's algorithm: exact as algebra, as near as columns in float32, chosen from shapes, and turned off where exactness is asked."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnspec
import nnspec.ops
from nnspec.compiler import loads
from nnspec.ir.types import DType, TensorType, known
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec_numpy.kernels import KERNELS, tiles, winograd
from nnspec_numpy.kernels.algorithm import way
from nnspec_numpy.kernels.conv_input_grad import mirrored
from nnspec_numpy.kernels.kernel import sequence
from nnspec_numpy.kernels.tiles import Tiles
from nnspec_numpy.kernels.windows import Windows, of_convolution
from nnspec_numpy.llvm.cpu import chosen
from tests.processors import processor
from tests.test_numpy_kernels import bound, numbers, peak, spoiled, type_of

CLOSE = {2: 1e-6, 4: 4e-6}  # of the largest element, in float32


@pytest.mark.parametrize("m", [2, 4])
def test_its_matrices_give_a_correlation_of_three_places_and_its_gradients(m: int) -> None:
    a, g, b = tiles.matrices(m)
    x, w, dy = np.random.default_rng(0).normal(size=(m + 2,)), np.array([0.3, -2.0, 0.7]), np.arange(1.0, m + 1)
    np.testing.assert_allclose(a @ ((g @ w) * (b @ x)), np.correlate(x, w), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(g.T @ ((a.T @ dy) * (b @ x)), np.correlate(x, dy), rtol=1e-12, atol=1e-12)


@cache
def _has_avx2() -> bool:
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return False
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma"))


def _run(steps: Any) -> None:
    with np.errstate(all="ignore"):
        sequence(steps)()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(3, 23), st.integers(3, 19), st.integers(1, 9), st.integers(1, 9),
       st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2), st.sampled_from([2, 4]), st.booleans(),
       st.sampled_from([0, 0, 16, 33]), st.sampled_from([0, 0, 0, 70]), st.sampled_from(["", "avx2", "baseline", "none"]))
def test_every_size_and_border_gives_what_the_references_give(n: int, height: int, width: int, channels: int, filters: int, padding: Any, m: int,
                                                              small: bool, more: int, blocks: int, cpu: str) -> None:
    channels, filters = channels + more, filters + more + blocks  # of 16 and more there are compiled transformations
    op = Conv((1, 1), padding, (1, 1))
    x, w = numbers((n, height, width, channels), "float32"), numbers((3, 3, channels, filters), "float32", 1)
    g = numbers(known(op.infer(type_of(x), type_of(w)).shape), "float32", 2)
    cut = Tiles(of_convolution(op, x.shape, (3, 3), g.shape), m, DType.float32, filters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNSPEC_CPU", cpu if cpu != "avx2" or _has_avx2() else "")
        if small:  # parts of one image at a time
            patch.setattr(tiles, "LEAST", 2)
            patch.setattr(tiles, "BYTES", 1)
        if blocks:  # some filters at a time
            patch.setattr(tiles, "KERNEL", 1)
        y, dw, dx = spoiled(g.shape, g.dtype), spoiled(w.shape, w.dtype), spoiled(x.shape, x.dtype)
        flipped = mirrored(of_convolution(op, x.shape, (3, 3), g.shape), filters)
        if flipped is not None:
            back = Tiles(flipped, m, DType.float32, channels)
            _run(winograd.convolve(back, g, w, dx, [spoiled(known(t.shape), t.dtype.numpy) for t in winograd.workspace(back, True)], turned=True))
        space = [spoiled(known(t.shape), t.dtype.numpy) for t in winograd.workspace(cut)]
        _run(winograd.convolve(cut, x, w, y, space))
        space = [spoiled(known(t.shape), t.dtype.numpy) for t in winograd.gradient_workspace(cut)]
        _run(winograd.kernel_gradient(cut, x, g, dw, space))
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    if flipped is not None:
        wanted = op.input_grad(x.shape).reference(g, w)
        np.testing.assert_allclose(dx, wanted, rtol=0, atol=CLOSE[m] * max(1.0, float(np.abs(wanted).max())))
    for found, wanted in ((y, op.reference(x, w)), (dw, op.kernel_grad(w.shape).reference(x, g))):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=CLOSE[m] * max(1.0, float(np.abs(wanted).max())))


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("cpu", ["", "avx2", "baseline", "none"])
def test_a_kernels_gradient_is_zero_where_all_its_terms_are(cpu: str, m: int) -> None:
    """As behind a relu, a dropout or a pool. Adam would divide the noise of a transformation by its own size."""
    rng = np.random.default_rng(m)
    op = Conv((1, 1), "same", (1, 1))
    for n, side, channels, filters, few in ((16, 7, 19, 33, 0.04), (64, 4, 32, 64, 0.1), (8, 16, 32, 32, 0.02)):
        x, g = ((rng.normal(size=(n, side, side, c)) * (rng.random((n, side, side, c)) < few)).astype(np.float32) for c in (channels, filters))
        cut, w = Tiles(of_convolution(op, x.shape, (3, 3), g.shape), m, DType.float32, filters), spoiled((3, 3, channels, filters), x.dtype)
        with processor(cpu, skip=False):
            _run(winograd.kernel_gradient(cut, x, g, w, [spoiled(known(t.shape), t.dtype.numpy) for t in winograd.gradient_workspace(cut)]))
        wanted = op.kernel_grad(w.shape).reference(*(a.astype(np.float64) for a in (x, g)))
        nothing = wanted == 0
        assert 0.001 < nothing.mean() < 0.9 and (nothing & (np.abs(wanted).max((0, 1)) > 0)).any()
        assert not w[nothing].any()
        np.testing.assert_allclose(w, wanted, rtol=0, atol=CLOSE[m] * np.abs(wanted).max())


def windows(n: int, side: int, channels: int, size: int = 3, stride: int = 1) -> Windows:
    op = Conv((stride, stride), "same", (1, 1))
    out = -(-side // stride)
    return of_convolution(op, (n, side, side, channels), (size, size), (n, out, out, 1))


def test_many_channels_take_tiles_and_gradients_larger_ones() -> None:
    assert way(windows(16, 32, 64), 64, 1, DType.float32, 2).name == "Winograd 2x2"
    assert way(windows(16, 32, 64), 64, 1, DType.float32, 4, "kernel").name == "Winograd 4x4"
    assert way(windows(16, 32, 64), 64, 1, DType.float32, 4, "input").name == "Winograd 4x4"


@pytest.mark.parametrize(("kind", "why"), [
    ((windows(16, 32, 64), 64, 1, DType.float64, 2), "float64 is strict"),
    ((windows(16, 32, 64), 64, 1, DType.float32, 0), "math: strict"),
    ((windows(16, 32, 64), 64, 2, DType.float32, 2), "2 groups"),
    ((windows(16, 32, 64, 5), 64, 1, DType.float32, 2), "windows of 5x5"),
    ((windows(16, 32, 64, 3, 2), 64, 1, DType.float32, 2), "a stride"),
    ((windows(16, 32, 3), 16, 1, DType.float32, 2), "transforming would cost more than it saves"),
    ((windows(1, 4, 64), 64, 1, DType.float32, 2), "transforming would cost more than it saves")])
@pytest.mark.parametrize("cpu", ["", "none"])
def test_other_convolutions_take_another_way_and_say_why(kind: Any, why: str, cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    usual = "columns" if chosen() is None or kind[3] == DType.float64 else "direct"
    assert str(way(*kind)) == f"{usual}: {why}"


def test_scratch_stays_small_whatever_the_images_are() -> None:
    cpu = chosen()
    kernels = 3 if cpu is not None and cpu.width >= 32 else 5  # a library's product is no sum: a share of each lane's is made beside it
    for n, side, channels in ((256, 32, 64), (8, 224, 64), (64, 16, 256), (32, 4, 512)):
        op, x, w = Conv((1, 1), "same", (1, 1)), TensorType((n, side, side, channels)), TensorType((3, 3, channels, channels))
        y = op.infer(x, w)
        for grad, inputs in ((op, (x, w)), (op.input_grad(x.shape), (y, w)), (op.kernel_grad(w.shape), (x, y))):
            space = KERNELS[type(grad)].workspace(grad, inputs, grad.types(*inputs))
            assert sum(prod(known(t.shape)) * t.dtype.size for t in space) <= kernels * tiles.KERNEL + (26 << 20)


@pytest.mark.parametrize("cpu", ["", "none"])
def test_a_product_of_tiles_asks_for_no_memory_and_repeats_to_the_bit(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    op = Conv((1, 1), "same", (1, 1))
    x, w = numbers((6, 21, 22, 48), "float32"), numbers((3, 3, 48, 64), "float32", 1)
    run, (y,), _ = bound(op, x, w)
    assert KERNELS[Conv].choice(op, [type_of(x), type_of(w)], [type_of(y)]).startswith("Winograd")
    assert peak(run) <= 4096
    first = y.copy()
    run()
    assert first.tobytes() == y.tobytes()


SMOOTH = """nnspec: 1
data: digits
layers:
  - conv2d: {filters: 48, kernel: 3, padding: same, activation: tanh}
  - conv2d: {filters: 48, kernel: 3, padding: same}
  - batch_norm
  - activation: tanh
  - avg_pool2d: 2
  - conv2d: {filters: 48, kernel: 3, padding: same, activation: tanh}
  - flatten
  - dense: 10
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.02, momentum: 0.9}}
batch_size: 16
epochs: 1
"""


@pytest.mark.parametrize("cpu", ["", "none"])
def test_a_training_run_strays_from_float64_at_most_three_times_as_far_as_the_interpreter(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNSPEC_CPU", cpu)
    rng = np.random.default_rng(0)
    batches = [{"image": rng.uniform(0, 1, (16, 8, 8, 1)).astype(np.float32), "digit": rng.integers(0, 10, 16)} for _ in range(8)]

    def trained(spec: Any, backend: str) -> list[dict[str, Any]]:
        model, found = nnspec.compile(spec, backend=backend), []
        for batch in batches:
            model.train_batch(batch)
            found.append({k: np.array(v, np.float64) for k, v in model.parameters.items()})
        return found

    def stray(a: dict[str, Any], b: dict[str, Any]) -> float:
        return float(np.sqrt(sum(((a[k] - b[k]) ** 2).sum() for k in a)))

    spec = loads(SMOOTH)
    exact = trained(spec.with_(precision="float64"), "interpret")
    usual, ours = trained(spec, "interpret"), trained(spec, "numpy")
    for step, wanted in enumerate(exact):
        assert stray(ours[step], wanted) <= 3 * stray(usual[step], wanted), step


def test_a_training_step_takes_tiles_of_two_forward_and_of_four_backward() -> None:
    model = nnspec.compile(loads(SMOOTH))
    model.train_batch({"image": np.zeros((16, 8, 8, 1), np.float32), "digit": np.zeros(16, np.int64)})
    (program,) = [ready.program for ready in model.programs._kept.values() if ready.program]
    ops = [getattr(step.call.op, "first", step.call.op) for step in program.steps]
    used = {(type(op), op.tiles) for op in ops if isinstance(op, Conv | ConvInputGrad | ConvKernelGrad)}
    assert used == {(Conv, 2), (ConvInputGrad, 4), (ConvKernelGrad, 4)}


@pytest.mark.parametrize(("optimizer", "norm", "wanted"), [("sgd: 0.1", "", 4), ("adam: 0.001", "", 2), ("lion: 0.001", "", 2), ("adam: 0.001", "  - batch_norm\n", 4),
                                                           ("adam: 0.001", "  - layer_norm\n", 4), ("adam: {learning_rate: 0.001, accumulate: 2}", "", 2)])
def test_gradients_take_small_tiles_where_an_optimizer_makes_steps_of_noise(optimizer: str, norm: str, wanted: int) -> None:
    layer = f"  - conv2d: {{filters: 48, kernel: 3, padding: same}}\n{norm}  - relu\n"
    text = f"nnspec: 1\ninputs: {{image: {{shape: [8, 8, 3]}}}}\nlayers:\n{layer * 2}  - flatten\n  - dense: 10\nloss: cross_entropy\noptimizer: {{{optimizer}}}\n"
    graph = nnspec.compile(loads(text)).graph_of("train", 4)
    assert {c.op.tiles for c in graph.calls if isinstance(c.op, ConvInputGrad | ConvKernelGrad)} == {wanted}


def test_what_is_predicted_may_take_large_tiles_and_strict_math_takes_none() -> None:
    fast, strict = (nnspec.compile(loads(SMOOTH, set={"math": math})) for math in ("fast", "strict"))
    batch = {"image": np.random.default_rng(0).uniform(0, 1, (16, 8, 8, 1)).astype(np.float32)}
    used = []
    for model in (fast, strict):
        model.predict(batch)
        programs = [ready.program for ready in model.programs._kept.values() if ready.program]
        ops = [getattr(step.call.op, "first", step.call.op) for program in programs for step in program.steps]
        used.append({op.tiles for op in ops if isinstance(op, Conv)})
    assert used == [{4}, {0}]
