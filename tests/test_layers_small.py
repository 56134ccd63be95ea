"""Norms, noise and merges: over generated shapes beside PyTorch in float64, as statistics, and in whole compiled steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.ir.interpret import evaluate
from nnspec.ir.types import DType
from nnspec.layers.layer import Entry
from nnspec.ops.reduce import sum_
from nnspec.runtime.session import compile
from tests.test_layers import Sample, beside_torch, built

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional


def same_as_torch(entry: Entry, sample: Sample) -> None:
    """Value and every gradient of a random weighing, to 1e-10 of the largest."""
    for ours, theirs in beside_torch(entry, sample):
        close(ours, np.zeros_like(ours) if theirs is None else theirs)


def close(a: Any, b: Any) -> None:
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * max(1.0, float(np.abs(b).max(initial=0))))


def channels_first(f: Any, x: Any, *rest: Any, **options: Any) -> Any:
    return f(x.movedim(-1, 1), *rest, **options).movedim(1, -1)


SHAPES = st.integers(0, 3).flatmap(lambda n: st.tuples(st.integers(1, 3), *[st.integers(1, 5)] * n, st.integers(1, 8)))


@given(SHAPES.filter(lambda s: s[0] > 1), st.data())  # PyTorch refuses a single element
def test_group_norm_equals_pytorch(shape: tuple[int, ...], data: Any) -> None:
    groups = data.draw(st.sampled_from([g for g in range(1, 9) if shape[-1] % g == 0]))
    entry = Entry.registry["group_norm"](groups=groups, epsilon=0.01)
    same_as_torch(entry, Sample({}, (shape,), lambda x, gamma, beta: channels_first(F.group_norm, x, groups, gamma, beta, 0.01)))


@given(SHAPES.filter(lambda s: len(s) > 2 and s[0] > 1))
def test_instance_norm_equals_pytorch(shape: tuple[int, ...]) -> None:
    entry = Entry.registry["instance_norm"](epsilon=0.01)
    same_as_torch(entry, Sample({}, (shape,), lambda x, gamma, beta: channels_first(F.group_norm, x, shape[-1], gamma, beta, 0.01)))


@given(SHAPES, st.integers(1, 12), st.sampled_from([0.5, 0.75, 1.0]))
def test_local_response_norm_equals_pytorch(shape: tuple[int, ...], size: int, beta: float) -> None:
    entry = Entry.registry["local_response_norm"](size=size, alpha=0.7, beta=beta, k=1.5)

    def theirs(x: Any) -> Any:
        flat = x.reshape(len(x), -1, shape[-1])  # PyTorch asks for three axes
        return channels_first(F.local_response_norm, flat, size, 0.7, beta, 1.5).reshape(x.shape)

    same_as_torch(entry, Sample({}, (shape,), theirs))


@given(SHAPES, st.data())
def test_layer_norm_over_drawn_axes_equals_pytorch(shape: tuple[int, ...], data: Any) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(shape) - 2), min_size=1, unique=True))
    axes = tuple(a - (len(shape) - 1) if data.draw(st.booleans()) else a for a in chosen)
    entry = Entry.registry["layer_norm"](axes=axes, epsilon=0.01)

    def theirs(x: Any, gamma: Any, beta: Any) -> Any:
        order = [i + 1 for i in sorted(chosen)]
        last = list(range(-len(order), 0))
        turned = x.movedim(order, last)
        return F.layer_norm(turned, turned.shape[-len(order):], gamma, beta, 0.01).movedim(last, order)

    same_as_torch(entry, Sample({}, (shape,), theirs))


@given(SHAPES)
def test_rms_norm_equals_pytorch(shape: tuple[int, ...]) -> None:
    same_as_torch(Entry.registry["rms_norm"](), Sample({}, (shape,), lambda x, gamma: F.rms_norm(x, shape[-1:], gamma, 1e-6)))


@given(st.integers(1, 3), st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2), st.lists(st.integers(1, 3), max_size=2), st.booleans(), st.data())
def test_dot_equals_pytorch(rows: int, n: int, left: list[int], right: list[int], normalize: bool, data: Any) -> None:
    i, j = data.draw(st.integers(0, len(left))), data.draw(st.integers(0, len(right)))
    a, b = (rows, *left[:i], n, *left[i:]), (rows, *right[:j], n, *right[j:])

    def theirs(x: Any, y: Any) -> Any:
        x, y = x.movedim(i + 1, -1), y.movedim(j + 1, -1)
        x, y = (F.normalize(v, dim=-1) if normalize else v for v in (x, y))
        out = torch.einsum("bmk,bnk->bmn", x.reshape(rows, -1, n), y.reshape(rows, -1, n))
        return out.reshape(rows, *((*left, *right) or (1,)))

    same_as_torch(Entry.registry["dot"](axes=(i, j), normalize=normalize), Sample({}, (a, b), theirs))


def test_the_cosine_with_a_vector_of_zeros_has_a_gradient() -> None:
    x, _, y, fed = built(Entry.registry["dot"](normalize=True), Sample({}, ((1, 3), (1, 3))))
    found = [g for g in gradients(sum_(y), list(x)) if g is not None]
    values = evaluate(found, {**fed, x[0]: np.zeros((1, 3))})
    assert all(np.isfinite(values[g]).all() for g in found)


def drawn(entry: Entry, shape: tuple[int, ...], seed: int = 1, step: int = 0, ones: bool = True) -> Any:
    """What a random layer makes in training of ones (or zeros)."""
    x, _, y, fed = built(entry, Sample({}, (shape,), training=True))
    scalars = {v: np.array(seed, np.uint32) if v.dtype == DType.uint32 else np.array(step) for v in fed if v.shape == ()}
    return evaluate([y], {**fed, x[0]: np.full(shape, float(ones)), **scalars})[y]


RANDOM = [("dropout", {"rate": 0.3}), ("spatial_dropout", {"rate": 0.3}), ("drop_path", {"rate": 0.3}), ("gaussian_noise", {"deviation": 1.0})]


@pytest.mark.parametrize(("kind", "fields"), RANDOM)
def test_a_draw_depends_on_seed_and_step_alone(kind: str, fields: dict[str, Any]) -> None:
    entry, shape = Entry.registry[kind](**fields), (64, 3, 5)
    first = drawn(entry, shape)
    np.testing.assert_array_equal(first, drawn(entry, shape))
    assert (first != drawn(entry, shape, seed=2)).any()
    assert (first != drawn(entry, shape, step=1)).any()
    np.testing.assert_array_equal(first[:10], drawn(entry, (10, 3, 5)))  # rows further down change nothing


def test_spatial_dropout_drops_whole_channels() -> None:
    y = drawn(Entry.registry["spatial_dropout"](rate=0.25), (200, 3, 4, 100))
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert (y == y[:, :1, :1]).all()
    assert abs((y == 0).mean() - 0.25) < 4 * (0.25 * 0.75 / 20_000) ** 0.5  # four deviations


def test_drop_path_drops_whole_rows() -> None:
    y = drawn(Entry.registry["drop_path"](rate=0.25), (20_000, 3))
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert (y == y[:, :1]).all()
    assert abs((y == 0).mean() - 0.25) < 4 * (0.25 * 0.75 / 20_000) ** 0.5


@pytest.mark.parametrize("width", [1, 7, 250])
def test_gaussian_noise_is_normal(width: int) -> None:
    y = drawn(Entry.registry["gaussian_noise"](deviation=2.0), (70_000 // width, width), ones=False) / 2.0
    n = y.size
    assert abs(y.mean()) < 4 / n**0.5
    assert abs(y.var() - 1) < 4 * (2 / n) ** 0.5
    assert abs((y**3).mean()) < 4 * (15 / n) ** 0.5
    assert abs((y**4).mean() - 3) < 4 * (96 / n) ** 0.5
    if width > 1:  # neighbours, and the two of one draw, know nothing of each other
        for k in {1, (width + 1) // 2}:
            pairs = y[:, :-k] * y[:, k:]
            assert abs(pairs.mean()) < 4 / pairs.size**0.5


CHAIN = """nnspec: 1
precision: float64
inputs: {{image: {{shape: [4, 4, 6]}}}}
layers:
  - conv2d: {{filters: 6, kernel: 3, padding: same, name: start}}
  - {layer}
  - flatten
  - dense: 3
loss: cross_entropy
optimizer: {{sgd: 0.1}}
"""
LAYERS = ["group_norm: 2", "instance_norm", "rms_norm", "layer_norm: {axes: [0, 1]}", "local_response_norm: {size: 3, alpha: 0.1}", "dropout: 0.4",
          "spatial_dropout: 0.4", "drop_path: 0.4", "gaussian_noise: 0.3", "minimum: {from: [start, image]}", "dot: {from: [start, image], axes: 1}",
          "dot: {from: [start, image], normalize: true}", "unsqueeze: [0, -1]", "residual: [unsqueeze: 2, squeeze]"]


@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_steps_equal_interpreted_ones_and_padding_is_not_seen(layer: str) -> None:
    text = CHAIN.format(layer=layer)
    rng = np.random.default_rng(0)
    feeds = {"image": rng.standard_normal((5, 4, 4, 6)), "target": rng.integers(0, 3, 5)}
    compiled, plain = compile(loads(text)), compile(loads(text), backend="interpret")
    padded = compile(loads(text + "batch_size: 8\n"))
    for _ in range(2):
        losses = [m.train_batch(feeds)["loss"] for m in (compiled, plain, padded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-11)
        assert losses[0] == pytest.approx(losses[2], rel=1e-11)
    for path in compiled.parameters:
        np.testing.assert_allclose(compiled.read(path), plain.read(path), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(compiled.read(path), padded.read(path), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(compiled.predict(feeds["image"], raw=True), plain.predict(feeds["image"], raw=True), rtol=1e-9, atol=1e-12)


BAD = [("group_norm: 4", "groups do not divide the channels"), ("squeeze: 0", "axis 0 of (batch, 4, 4, 6) is 4 long"), ("squeeze: 3", "squeeze has no such axis"),
       ("unsqueeze: [0, 0]", "names an axis twice"), ("layer_norm: {axes: []}", "needs an axis"), ("dot: {from: [start, image], axes: [0, 2]}", "axes of one length"),
       ("dot: {from: [start, image], axes: 3}", "dot has no such axis"), ("drop_path: 1.0", "less than 1"), ("gaussian_noise", "needs 'deviation'"),
       ("GroupNormalization: 3", "in nnspec this is 'group_norm'"), ("gaussian_noise: {stddev: 1}", "in nnspec this is 'deviation'")]


@pytest.mark.parametrize(("layer", "said"), BAD)
def test_what_does_not_fit_is_one_clear_error(layer: str, said: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(CHAIN.format(layer=layer))
    assert said in str(e.value)
    assert len(e.value.problems) == 1
    assert e.value.problems[0].place is not None and e.value.problems[0].place.line == 6
