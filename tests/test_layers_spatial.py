"""Spatial layers over generated shapes against PyTorch in float64, and compiled against interpreted."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.ir.graph import abstract, constant
from nnspec.ir.interpret import evaluate
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType
from nnspec.layers.layer import Entry, Mode, Values
from nnspec.ops.reduce import sum_
from nnspec.runtime.session import compile
from tests.spatial_twins import each, ends, torch, twin

MANY = 20 if os.environ.get("NNSPEC_FULL") else 1
Drawn = tuple[str, dict[str, Any], tuple[tuple[int, ...], ...]]


def agree(kind: str, fields: dict[str, Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    """Values and all gradients, to 1e-10 of the largest."""
    rng = np.random.default_rng(2)
    entry = Entry.registry[kind](**fields)
    x = tuple(abstract(TensorType(s, DType.float64), f"x{i}") for i, s in enumerate(shapes))
    values = {p.name: abstract(TensorType(p.shape, DType.float64), p.name) for p in entry.parameters(x)}
    y = entry.apply(x, Values(values), Mode(batched=(True,) * len(x), batch=shapes[0][0])).y
    wrt = [*x, *values.values()]
    n = sum(int(np.prod(v.shape)) for v in wrt)  # type: ignore[arg-type]  # bound
    apart = np.split(rng.permutation(n) / n * 4 - 2, np.cumsum([int(np.prod(v.shape)) for v in wrt])[:-1])  # type: ignore[arg-type]  # bound
    fed = {v: a.reshape(v.shape) for v, a in zip(wrt, apart, strict=True)}  # type: ignore[arg-type]  # bound
    weight = rng.standard_normal(y.shape)  # type: ignore[arg-type]  # bound
    found = gradients(sum_(y * constant(weight, DType.float64)), wrt)
    ours = evaluate([y, *(g for g in found if g is not None)], fed)
    tensors = [torch.tensor(fed[v], requires_grad=True) for v in wrt]
    theirs = twin(kind, **fields)(*tensors[: len(x)], **dict(zip(values, tensors[len(x) :], strict=True)))
    (theirs * torch.tensor(weight)).sum().backward()
    close(ours[y], theirs.detach().numpy())
    for g, t in zip(found, tensors, strict=True):
        close(np.zeros(t.shape) if g is None else ours[g], np.zeros(t.shape) if t.grad is None else t.grad.numpy())


def close(a: Any, b: Any) -> None:
    assert a.shape == b.shape
    assert np.abs(a - b).max(initial=0.0) <= 1e-10 * max(float(np.abs(b).max(initial=0.0)), 1e-2)


@st.composite
def windows(draw: Any, kinds: tuple[str, ...]) -> Drawn:
    """A layer that moves a window, its fields, and an input that holds at least one."""
    axes = draw(st.integers(1, 3))
    kind = draw(st.sampled_from([k for k in kinds if f"{k}{axes}d" in Entry.registry])) + f"{axes}d"
    numbers = lambda least, most: draw(st.tuples(*[st.integers(least, most)] * axes))  # noqa: E731  # six uses in a row
    size, stride = numbers(1, 3 if axes < 3 else 2), numbers(1, 3)
    most = 1 if "pool" in kind else 3
    lists = st.lists(st.integers(0, most), min_size=2 * axes, max_size=2 * axes).map(tuple)
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), st.integers(0, most), lists))
    if "pool" in kind and not isinstance(padding, str):
        assume(all(max(pair) < k for pair, k in zip(ends(padding, size, size, stride, stride), size, strict=True)))
    spatial = numbers(1, 6 if axes < 3 else 4)
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2))
    fields: dict[str, Any] = {"stride": stride, "padding": padding}
    if "pool" in kind:
        return kind, {"size": size, **fields}, ((draw(st.integers(1, 3)), *spatial, channels),)
    fields |= {"kernel": size, "dilation": numbers(1, 2), "bias": draw(st.booleans())}
    if "depthwise" not in kind:
        fields["filters"] = groups * draw(st.integers(1, 2))
    if kind[-2:] and kind.startswith(("conv", "conv_transpose")):
        fields["groups"] = groups
    if kind.startswith(("depthwise", "separable")):
        fields["multiplier"] = draw(st.integers(1, 2))
    if "transpose" in kind and padding != "same" and draw(st.booleans()):
        fields["output_padding"] = tuple(draw(st.integers(0, s - 1)) for s in stride)
    return kind, fields, ((draw(st.integers(1, 3)), *spatial, channels),)


def tried(drawn: Drawn) -> None:
    """Agrees, unless nothing fits."""
    try:
        agree(*drawn)
    except ShapeError as e:
        assert e.message in ("the window is larger than its input", "the padding leaves nothing of the output")
        assume(False)


@settings(max_examples=120 * MANY)
@given(windows(("conv", "depthwise_conv", "separable_conv")))
def test_convolutions_are_pytorchs(drawn: Drawn) -> None:
    tried(drawn)


@settings(max_examples=120 * MANY)
@given(windows(("conv_transpose",)))
def test_transposed_convolutions_are_pytorchs(drawn: Drawn) -> None:
    tried(drawn)


@settings(max_examples=80 * MANY)
@given(windows(("max_pool", "avg_pool")))
def test_pools_are_pytorchs(drawn: Drawn) -> None:
    tried(drawn)


# --- through the compiler -----------------------------------------------------------------------------------------

SHAPES = {1: [7, 3], 2: [6, 5, 3], 3: [4, 5, 3, 3]}
COMPILED: dict[str, str] = {
    **{f"conv{n}d": "{filters: 4, padding: same, stride: 2, activation: relu}" for n in (1, 2, 3)},
    **{f"depthwise_conv{n}d": "{multiplier: 2, padding: 1}" for n in (1, 2, 3)},
    **{f"separable_conv{n}d": "{filters: 4, multiplier: 2, dilation: 2, padding: 2, activation: tanh}" for n in (1, 2)},
    **{f"conv_transpose{n}d": "{filters: 4, stride: 2, kernel: 3, padding: 1, output_padding: 1}" for n in (1, 2, 3)},
    **{f"{kind}{n}d": "{size: 2, stride: 1, padding: same}" for n in (1, 2, 3) for kind in ("max_pool", "avg_pool")},
    **{f"{kind}{n}d": "{keep: true}" for n in (1, 2, 3) for kind in ("global_avg_pool", "global_max_pool")},
}  # fmt: skip


def spec(layer: str, shape: Any, more: str = "") -> str:
    return (f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: {list(shape)}}}}}\nlayers:\n"
            f"  - dense: 3\n  - {layer}\n  - flatten\n  - dense: 2\nloss: mse\noptimizer: {{sgd: 0.1}}\n{more}")  # fmt: skip


@pytest.mark.parametrize("kind", COMPILED)
def test_a_compiled_training_step_equals_the_interpreted_one(kind: str) -> None:
    shape = SHAPES[int(kind[-2])]
    models = [compile(loads(spec(f"{kind}: {COMPILED[kind]}", shape)), backend=b, seed=3) for b in ("numpy", "interpret")]
    rng = np.random.default_rng(1)
    feeds = {"x": rng.standard_normal((4, *shape)), "target": rng.standard_normal((4, 2))}
    for _ in range(2):
        losses = [m.train_batch(feeds)["loss"] for m in models]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    assert losses[0] > 0
    for name in models[0].parameters:
        a, b = (np.asarray(m.parameters[name]) for m in models)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)


# --- shapes ---------------------------------------------------------------------------------------------------------

NAMED = [
    ("conv1d: {filters: 4, padding: [2, 0]}", "time, 3", "time x 4"),
    ("conv3d: {filters: 2, padding: same, stride: 2}", "depth, 8, 8, 1", "(depth + 1)//2 x 4 x 4 x 2"),
    ("max_pool1d: 2", "time, 3", "time//2 x 3"),
    ("conv_transpose2d: {filters: 2, stride: 2, padding: same}", "height, width, 3", "2*height x 2*width x 2"),
    ("conv_transpose2d: {filters: 2, stride: 2}", "height, width, 3", "2*height + 1 x 2*width + 1 x 2"),
    ("conv_transpose1d: {filters: 2, kernel: 4, stride: 2, padding: 1}", "time, 3", "2*time x 2"),
]


@pytest.mark.parametrize(("layer", "shape", "wanted"), NAMED)
def test_named_axes_are_carried(layer: str, shape: str, wanted: str) -> None:
    s = loads(f"nnspec: 1\ninputs: {{x: {{shape: [{shape}]}}}}\nlayers:\n  - {layer}\n")
    (node,) = [n for n in s.graph.nodes.values() if n["kind"] == layer.split(":")[0]]
    assert " x ".join(map(str, node["shape"])) == wanted


def test_a_named_axis_bound_to_a_length_that_does_not_fit_is_an_error_of_the_layer() -> None:
    m = compile(loads("nnspec: 1\ninputs: {x: {shape: [height, width, 3]}}\nlayers:\n  - conv2d: {filters: 2, kernel: 5}\n  - global_avg_pool2d\n"))
    assert m.predict(np.zeros((2, 5, 5, 3)), raw=True).shape == (2, 2)
    with pytest.raises(SpecError, match=r"spec.yaml:4:5: layer 'conv2d_1': the window is larger than its input(.|\n)*a window of 5 over 3  from 'x'"):
        m.predict(np.zeros((2, 3, 3, 3)), raw=True)


# --- what is wrong -------------------------------------------------------------------------------------------------

WRONG = [
    ("conv2d: {filters: 2, padding: causal}", "6, 6, 3", "'padding' does not fit", "[n, 0] with n = (kernel - 1) * dilation"),
    ("conv1d: {filters: 2, padding: [1, 1, 1]}", "6, 3", "'padding' does not fit", "a whole number, or [left, right]"),
    ("conv2d: {filters: 2, padding: [1, 1]}", "6, 6, 3", "'padding' does not fit", "two numbers an axis"),
    ("conv3d: {filters: 2, padding: [[1, 1], [1, 1], [1, 1]]}", "6, 6, 6, 3", "'padding' does not fit", "one flat list, two numbers an axis"),
    ("conv1d: {filters: 2, kernel: x}", "6, 3", "'kernel' of layer 'conv1d' does not fit", "wanted  a whole number"),
    ("conv1d: 2", "6, 6, 3", "layer 'conv1d_1': conv1d does not fit the input", "wanted  2 axes"),
    ("conv_transpose2d: {filters: 2, stride: 2, output_padding: 2}", "6, 6, 3", "'output_padding' does not fit", "less than the stride: [2, 2]"),
    ("conv_transpose2d: {filters: 2, stride: 2, output_padding: 1, padding: same}", "6, 6, 3", "'output_padding' does not go with padding: same", ""),
    ("conv_transpose1d: {filters: 2, padding: 5}", "6, 3", "the padding leaves nothing of the output", "10 taken off 8"),
    ("conv_transpose1d: {filters: 2, groups: 2}", "6, 3", "groups must divide the channels", "3 channels in, 2 filters, 2 groups"),
    ("max_pool2d: {size: 2, padding: 2}", "6, 6, 3", "'padding' is as wide as the window", "less than the size: [2, 2]"),
    ("avg_pool1d: 9", "6, 3", "the window is larger than its input", "a window of 9 over 6"),
    ("global_avg_pool3d", "6, 6, 3", "global_avg_pool3d does not fit the input", "wanted  4 axes"),
    ("Conv2DTranspose: {filters: 2}", "6, 6, 3", "no layer is called 'Conv2DTranspose'", "in nnspec this is 'conv_transpose2d'"),
    ("ConvTranspose3d: 2", "6, 6, 3", "no layer is called 'ConvTranspose3d'", "in nnspec this is 'conv_transpose3d'"),
    ("SeparableConv1D: 2", "6, 3", "no layer is called 'SeparableConv1D'", "in nnspec this is 'separable_conv1d'"),
    ("AveragePooling3D: 2", "6, 3", "no layer is called 'AveragePooling3D'", "in nnspec this is 'avg_pool3d'"),
]


@pytest.mark.parametrize(("layer", "shape", "message", "more"), WRONG)
def test_what_is_wrong_is_one_error_that_says_what_was_wanted(layer: str, shape: str, message: str, more: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"nnspec: 1\ninputs: {{x: {{shape: [{shape}]}}}}\nlayers:\n  - {layer}\n")
    text = str(e.value)
    assert message in text and more in text and text.count("spec.yaml:") == 1, text


def test_a_number_stands_for_every_axis() -> None:
    for n in (1, 2, 3):
        assert Entry.registry[f"conv{n}d"](filters=1, kernel=2).kernel == each(2, n)
