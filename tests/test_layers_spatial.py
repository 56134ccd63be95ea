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
from tests.spatial_twins import axes_of, each, ends, torch, twin

MANY = 8 if os.environ.get("NNSPEC_FULL") else 1
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
    if kind == "grid_sample":  # away from whole places, on which side of which each would fall by its own rounding
        fed[x[1]] = rng.uniform(-1.6, 1.6, x[1].shape)  # type: ignore[arg-type]  # bound
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


@st.composite
def borders(draw: Any) -> Drawn:
    axes = draw(st.integers(1, 3))
    spatial = draw(st.tuples(*[st.integers(1, 6)] * axes))
    mode = draw(st.sampled_from(["constant", "reflect", "edge", "crop"]))
    most = {"reflect": lambda n: n - 1, "crop": lambda n: (n - 1) // 2}.get(mode, lambda n: 5)
    size = tuple(draw(st.integers(0, min(5, most(n)))) for n in spatial for _ in range(2))
    shape = (draw(st.integers(1, 2)), *spatial, draw(st.sampled_from([1, 2, 17])))
    return (f"crop{axes}d", {"size": size}, (shape,)) if mode == "crop" else (f"pad{axes}d", {"size": size, "mode": mode}, (shape,))


@settings(max_examples=80 * MANY)
@given(borders())
def test_borders_are_pytorchs(drawn: Drawn) -> None:
    agree(*drawn)


@st.composite
def resizes(draw: Any) -> Drawn:
    """To any size, or by a scale whose products with the lengths floating point does not blur."""
    axes = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["upsample", "resize", "any"]))
    spatial = draw(st.tuples(*[st.integers(1, 40 if axes == 1 else 6)] * axes))
    shape = (draw(st.integers(1, 2)), *spatial, draw(st.sampled_from([1, 3, 17])))
    linear = "linear" if kind == "any" else ("linear", "bilinear", "trilinear")[axes - 1]
    fields: dict[str, Any] = {"method": draw(st.sampled_from(["nearest", linear]))}
    if kind == "upsample":
        return f"upsample{axes}d", {**fields, "factor": draw(st.tuples(*[st.integers(1, 3)] * axes))}, (shape,)
    if fields["method"] != "nearest":
        fields["align"] = draw(st.sampled_from(["centers", "corners"]))
    if draw(st.booleans()):
        fields["size"] = draw(st.tuples(*[st.integers(1, 70 if axes == 1 else 9)] * axes))
    else:
        fields["scale"] = draw(st.tuples(*[st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2, 3.75])] * axes))
    return "resize" if kind == "any" else f"resize{axes}d", fields, (shape,)


@settings(max_examples=160 * MANY)
@given(resizes())
def test_resizing_is_pytorchs(drawn: Drawn) -> None:
    _, fields, ((_, *shape),) = drawn
    if fields["method"] == "nearest" and "scale" in fields:
        # PyTorch's gradient takes a length that a scale leaves, or doubles, for scale 1 or 2: not the gradient of its own output
        assume(all(s in (1, 2) or int(n * s) not in (n, 2 * n) for n, s in zip(shape, fields["scale"], strict=False)))
    try:
        agree(*drawn)
    except ShapeError as e:
        assert e.message == "the scale leaves nothing"
        assume(False)


@settings(max_examples=60 * MANY)
@given(resizes())
def test_compiled_resizing_is_the_interpreted_one(drawn: Drawn) -> None:
    kind, fields, ((n, *shape),) = drawn
    text = ", ".join(f"{k}: {list(v) if isinstance(v, tuple) else v}" for k, v in fields.items())
    x = np.random.default_rng(1).standard_normal((n, *shape))
    try:
        s = loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: {shape}}}}}\nlayers:\n  - {kind}: {{{text}}}\n")
    except SpecError as e:
        assert "the scale leaves nothing" in str(e)
        assume(False)
    a, b = (compile(s, backend=backend).predict(x, raw=True) for backend in ("numpy", "interpret"))
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def test_a_scale_means_its_decimals() -> None:
    """0.29 * 100 is 28.999999999999996 in floating point."""
    y = Entry.registry["resize1d"](scale=0.29, method="nearest").apply((abstract(TensorType((1, 100, 1), DType.float64)),), Values({}), Mode()).y
    assert y.shape == (1, 29, 1)


@settings(max_examples=40 * MANY)
@given(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), st.booleans())
def test_pixels_are_shuffled_as_pytorchs(drawn: tuple[int, ...], inverse: bool) -> None:
    n, h, w, c, r = drawn
    if inverse:
        agree("pixel_unshuffle", {"factor": r}, ((n, h * r, w * r, c),))
    else:
        agree("pixel_shuffle", {"factor": r}, ((n, h, w, c * r * r),))


@settings(max_examples=80 * MANY)
@given(st.tuples(*[st.integers(1, 5)] * 6), st.sampled_from(["bilinear", "nearest"]), st.sampled_from(["zeros", "border"]),
       st.sampled_from(["centers", "corners"]))
def test_grids_are_sampled_as_pytorchs(drawn: tuple[int, ...], method: str, padding: str, align: str) -> None:
    n, h, w, c, i, j = drawn
    agree("grid_sample", {"method": method, "padding": padding, "align": align}, ((n, h, w, c), (n, i, j, 2)))


@pytest.mark.parametrize("options", ["", "padding: border", "method: nearest"])
@pytest.mark.parametrize("backend", ["numpy", "interpret"])
def test_a_place_that_is_no_number_or_far_away_reads_nothing_else(options: str, backend: str) -> None:
    m = compile(loads("nnspec: 1\nprecision: float64\ninputs: {image: {shape: [3, 4, 1]}, places: {shape: [1, 4, 2]}}\nlayers:\n"
                      f"  - grid_sample: {{from: {{grid: places, image: image}}, {options}}}\n"), backend=backend)
    image = np.arange(24.0).reshape(2, 3, 4, 1)
    places = np.array([[0.25, 0.1], [np.nan, 0.0], [1e30, 0.0], [-7.0, 7.0]])
    y = m.predict({"image": image, "places": np.stack([places, places])[:, None]}, raw=True)[:, 0, :, 0]
    alone = torch.nn.functional.grid_sample(
        torch.tensor(image).permute(0, 3, 1, 2), torch.tensor(np.stack([places, places])[:, None])[:, :, [0, 2, 3]], align_corners=False,
        padding_mode="border" if "border" in options else "zeros", mode="nearest" if "nearest" in options else "bilinear")  # fmt: skip
    np.testing.assert_allclose(y[:, [0, 2, 3]], alone.numpy()[:, 0, 0], rtol=1e-12)


def test_the_corners_of_a_grid_are_the_corners_of_the_image() -> None:
    """Exactly on the border, where PyTorch lets no gradient into the grid and a maximum would let half of it."""
    sample = Entry.registry["grid_sample"](padding="border", align="corners")
    x = tuple(abstract(TensorType(s, DType.float64), f"x{i}") for i, s in enumerate(((1, 2, 3, 1), (1, 1, 4, 2))))
    y = sample.apply(x, Values({}), Mode(batched=(True, True), batch=1)).y
    grid = np.array([[[[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]]])
    (g,) = gradients(sum_(y), [x[1]])
    assert g is not None
    found = evaluate([y, g], {x[0]: np.arange(6.0).reshape(1, 2, 3, 1), x[1]: grid})
    assert found[y].ravel().tolist() == [0, 2, 3, 5]
    assert not found[g].any()


# --- through the compiler -----------------------------------------------------------------------------------------

SHAPES = {1: [7, 3], 2: [6, 4, 3], 3: [4, 5, 3, 3]}
COMPILED: dict[str, str] = {
    **{f"conv{n}d": "{filters: 4, padding: same, stride: 2, activation: relu}" for n in (1, 2, 3)},
    **{f"depthwise_conv{n}d": "{multiplier: 2, padding: 1}" for n in (1, 2, 3)},
    **{f"separable_conv{n}d": "{filters: 4, multiplier: 2, dilation: 2, padding: 2, activation: tanh}" for n in (1, 2)},
    **{f"conv_transpose{n}d": "{filters: 4, stride: 2, kernel: 3, padding: 1, output_padding: 1}" for n in (1, 2, 3)},
    **{f"{kind}{n}d": "{size: 2, stride: 1, padding: same}" for n in (1, 2, 3) for kind in ("max_pool", "avg_pool")},
    **{f"pad{n}d": f"{{size: 1, mode: {m}}}" for n, m in ((1, "constant"), (2, "reflect"), (3, "edge"))},
    **{f"crop{n}d": f"{{size: {[1, 0] * n}}}" for n in (1, 2, 3)},
    **{f"upsample{n}d": f"{{factor: 2, method: {m}}}" for n, m in ((1, "linear"), (2, "nearest"), (3, "trilinear"))},
    **{f"resize{n}d": f"{{size: 7, method: {m}}}" for n, m in ((1, "nearest"), (2, "bilinear"), (3, "trilinear"))},
    "resize": "{scale: 1.5, align: corners}", "pixel_shuffle": "2", "pixel_unshuffle": "2", "grid_sample": "{from: [dense_1, places]}",
    **{f"{kind}{n}d": "{keep: true}" for n in (1, 2, 3) for kind in ("global_avg_pool", "global_max_pool")},
}  # fmt: skip


def spec(kind: str, shape: Any) -> str:
    places = "  - dense: {from: x, units: 2, activation: tanh, name: places}\n" if kind == "grid_sample" else ""
    return (f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: {list(shape)}}}}}\nlayers:\n  - dense: 4\n{places}"
            f"  - {kind}: {COMPILED[kind]}\n  - flatten\n  - dense: 2\nloss: mse\noptimizer: {{sgd: 0.1}}\n")  # fmt: skip


@pytest.mark.parametrize("kind", COMPILED)
def test_a_compiled_training_step_equals_the_interpreted_one(kind: str) -> None:
    shape = SHAPES[axes_of(kind) if kind[-1] == "d" and kind[-2].isdigit() else 2]
    models = [compile(loads(spec(kind, shape)), backend=b, seed=3) for b in ("numpy", "interpret")]
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
    ("pad2d: {size: [1, 2, 0, 0], mode: reflect}", "height, width, 3", "height + 3 x width x 3"),
    ("crop1d: 2", "time, 3", "time - 4 x 3"),
    ("upsample2d", "height, width, 3", "2*height x 2*width x 3"),
    ("resize2d: {scale: [0.5, 1.5]}", "height, width, 3", "height//2 x 3*width//2 x 3"),
    ("resize2d: [4, 5]", "height, width, 3", "4 x 5 x 3"),
    ("resize: {scale: 3}", "time, 3", "3*time x 3"),
    ("pixel_shuffle: 2", "height, width, 12", "2*height x 2*width x 3"),
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
    ("crop2d: 3", "6, 6, 3", "layer 'crop2d_1': crop2d leaves nothing", "6 places off an axis of 6"),
    ("crop1d: -1", "6, 3", "'size' does not fit", "a whole number, or [left, right]"),
    ("pad2d: -1", "6, 6, 3", "'size' does not fit", "a whole number, or [top, bottom, left, right]"),
    ("pad2d: {size: 1, mode: replicate}", "6, 6, 3", "'mode' of layer 'pad2d' does not fit", "wanted  'constant', 'reflect' or 'edge'"),
    ("pad1d: {size: 6, mode: reflect}", "6, 3", "the border is as long as what it reflects", "at most 5"),
    ("pad2d", "6, 6, 3", "layer 'pad2d' needs 'size'", ""),
    ("resize2d", "6, 6, 3", "resize2d needs 'size' or 'scale'", "neither 'size' nor 'scale'"),
    ("resize2d: {size: 4, scale: 2}", "6, 6, 3", "resize2d needs 'size' or 'scale'", "found   'size' and 'scale'"),
    ("resize2d: {scale: 0.1}", "6, 6, 3", "the scale leaves nothing", "0.1 times an axis of 6"),
    ("resize2d: {scale: 0}", "6, 6, 3", "'scale' of layer 'resize2d' does not fit", "more than 0"),
    ("resize2d: {size: 4, method: nearest, align: corners}", "6, 6, 3", "'align: corners' does not go with method: nearest", ""),
    ("resize2d: {size: 4, method: bicubic}", "6, 6, 3", "'method' of layer 'resize2d' does not fit", "'nearest' or 'bilinear'"),
    ("resize: {size: [4, 4, 4]}", "6, 6, 3", "resize asks for one number an axis", "3 for 2 axes"),
    ("upsample2d: 1.5", "6, 6, 3", "'factor' of layer 'upsample2d' does not fit", "a whole number"),
    ("upsample2d: {size: 2}", "6, 6, 3", "no key of layer 'upsample2d' is called 'size'", "in nnspec this is 'factor'"),
    ("pixel_shuffle: 2", "6, 6, 3", "the channels do not fill the cells", "a multiple of 4"),
    ("pixel_unshuffle: 4", "6, 8, 3", "the cells do not fill the image", "multiples of 4"),
    ("pixel_unshuffle: 2", "height, 8, 3", "the cells do not fill the image", "height and width known"),
    ("grid_sample", "6, 6, 3", "layer 'grid_sample_1' takes 2 inputs", "name them: from: [a, b]"),
    ("grid_sample: {from: [x, x]}", "6, 6, 3", "grid_sample asks for an image and a grid of two numbers a place", "(batch, height', width', 2)"),
    ("UpSampling2D: 2", "6, 6, 3", "no layer is called 'UpSampling2D'", "in nnspec this is 'upsample2d'"),
    ("ZeroPadding2D: 2", "6, 6, 3", "no layer is called 'ZeroPadding2D'", "in nnspec this is 'pad2d'"),
    ("Cropping1D: 2", "6, 3", "no layer is called 'Cropping1D'", "in nnspec this is 'crop1d'"),
    ("PixelShuffle: 2", "6, 6, 4", "no layer is called 'PixelShuffle'", "in nnspec this is 'pixel_shuffle'"),
    ("resize2d: {scale_factor: 2}", "6, 6, 4", "no key of layer 'resize2d' is called 'scale_factor'", "scale of resize2d"),
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
