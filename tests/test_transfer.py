"""Weights of PyTorch, of Keras and of earlier runs reach the parameters they are meant for, or an error says which do not."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.compiler import loads
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.interop.rename import Pattern, Rule, rename
from nnspec.runtime.checkpoint import save
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.saving import load_model
from nnspec.runtime.session import Model, compile
from nnspec.runtime.trainer import train

FULL = bool(os.environ.get("NNSPEC_FULL"))
GOLDEN = Path(__file__).parent / "golden" / "transfer"
HEAD = "nnspec: 1\nprecision: float64\n"
Arrays = Mapping[str, np.ndarray[Any, Any]]


def safetensors(path: Path, arrays: Arrays) -> Path:
    """A file by the reference library."""
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, path)
    return path


def by_hand(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def weights(path: Path, **keys: Any) -> str:
    return "weights: " + json.dumps({"from": str(path), **keys}) + "\n"


# Names


@pytest.mark.parametrize(
    ("pattern", "becomes", "name", "wanted"),
    [
        ("features.*.", "stage_*/", "features.3.weight", "stage_3/weight"),
        ("features.*.", "stage_*/", "features.3", None),
        ("features", "stem", "features.3.weight", "stem.3.weight"),
        ("features", "stem", "features2.weight", None),
        ("features", "stem", "a.features.weight", None),
        ("layer*.*.conv*", "stage_*/unit_*+1/conv2d_*", "layer2.0.conv1.weight", "stage_2/unit_1/conv2d_1.weight"),
        ("block*_conv*", "stage_*/conv2d_*", "block1_conv2/kernel", "stage_1/conv2d_2/kernel"),
        ("*.*", "*", "a.b.c", "a.c"),
        ("module.", "", "module.fc.weight", "fc.weight"),
        ("", "backbone/", "fc.weight", "backbone/fc.weight"),
        ("fc.weight", "head/kernel", "fc.weight", "head/kernel"),
        ("fc.weight", "head/kernel", "fc.weights", None),
        ("a.*", "b.*", "a.b-c_d.e", "b.b-c_d.e"),
        ("conv2d_*", "conv2d_*+1", "conv2d_9/kernel", "conv2d_10/kernel"),
        ("a[.]", "b", "a[.].c", "b.c"),
    ],
)
def test_a_star_is_what_stands_within_one_segment(pattern: str, becomes: str, name: str, wanted: str | None) -> None:
    assert Rule(Pattern(pattern), becomes).apply(name) == wanted


def test_renames_follow_one_another_in_order() -> None:
    rules = (Rule(Pattern("module."), ""), Rule(Pattern("conv*."), "conv2d_*+1/"))
    used: set[Rule] = set()
    assert rename("module.conv0.weight", rules, used) == "conv2d_1/weight"
    assert used == set(rules)


# Networks of PyTorch


def torch_file(module: Any, path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)
    return path


def trained_a_little(module: Any) -> Any:
    """Float64, and statistics and affine parameters that are not those of the start."""
    import torch

    generator = torch.Generator().manual_seed(1)
    module = module.double()
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            value.data.copy_(torch.rand(value.shape, generator=generator, dtype=torch.float64) - (0.0 if "var" in name else 0.5) + 0.1)
    return module.eval()


def agree(module: Any, spec: str, shape: tuple[int, ...]) -> Model:
    """The compiled network and PyTorch's give the same, channels apart."""
    import torch

    model = compile(loads(spec))
    x = np.random.default_rng(0).normal(size=(3, *shape))
    with torch.no_grad():
        y = module(torch.tensor(np.moveaxis(x, -1, 1))).numpy()
    ours = model.predict(x, raw=True)
    np.testing.assert_allclose(ours, np.moveaxis(y, 1, -1) if y.ndim > 2 else y, rtol=1e-10, atol=1e-10)
    return model


def test_a_network_of_convolutions_and_a_flattened_head_gives_what_pytorch_gives(tmp_path: Path) -> None:
    from torch import nn

    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU())
    head = nn.Sequential(nn.Dropout(), nn.Linear(6 * 2 * 3, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5))
    net = trained_a_little(nn.Sequential())
    net.features, net.flatten, net.classifier = features, nn.Flatten(), head
    net = trained_a_little(net)
    rename = {"features.0.": "conv2d_1/", "features.3.": "conv2d_2/", "classifier.1": "dense_1", "classifier.2.": "batch_norm_1/", "classifier.4": "head"}
    spec = f"""{HEAD}inputs: [8, 10, 3]
{weights(torch_file(net, tmp_path / "vgg.safetensors"), layout="torch", rename=rename)}layers:
  - conv2d: {{filters: 4, padding: same, activation: relu}}
  - max_pool2d: 2
  - conv2d: {{filters: 6, activation: relu}}
  - flatten
  - dropout: 0.5
  - dense: 7
  - batch_norm: {{epsilon: 1e-5}}
  - relu
  - dense: {{units: 5, name: head}}
"""
    agree(net, spec, (8, 10, 3))


def test_a_residual_network_with_batch_norm_and_depthwise_gives_what_pytorch_gives(tmp_path: Path) -> None:
    from torch import nn

    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(6, 12, 3, padding=1, groups=6, bias=False), nn.BatchNorm2d(12)
            self.conv2, self.bn2 = nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6)
            self.act = nn.PReLU()

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(x + self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.norm = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
            self.layer1 = nn.Sequential(Unit(), Unit())
            self.mix, self.fc = nn.Conv2d(6, 4, 3, groups=2), nn.Linear(4, 5)

        def forward(self, x: Any) -> Any:
            x = self.mix(self.layer1(self.norm(self.stem(x))))
            return self.fc(x.mean((2, 3)))

    net = trained_a_little(Net())
    rename = {
        "layer1.*.conv1.": "unit_*+1/residual_1/layers/depthwise_conv2d_1/", "layer1.*.conv2.": "unit_*+1/residual_1/layers/conv2d_1/",
        "layer1.*.bn*.": "unit_*+1/residual_1/layers/batch_norm_*/", "layer1.*.act.": "unit_*+1/residual_1/layers/prelu_1/",
        "stem": "conv2d_1", "norm": "batch_norm_1", "mix": "conv2d_2", "fc": "dense_1",
    }  # fmt: skip
    spec = f"""{HEAD}inputs: [9, 8, 3]
{weights(torch_file(net, tmp_path / "resnet.safetensors"), layout="torch", rename=rename)}blocks:
  unit:
    layers:
      - residual:
          - depthwise_conv2d: {{kernel: 3, multiplier: 2, padding: 1, bias: false}}
          - batch_norm: {{epsilon: 1e-5}}
          - prelu
          - conv2d: {{filters: 6, kernel: 1, bias: false}}
          - batch_norm: {{epsilon: 1e-5}}
      - relu
layers:
  - conv2d: {{filters: 6, kernel: 3, stride: 2, padding: 1}}
  - batch_norm: {{epsilon: 1e-5}}
  - unit: {{repeat: 2}}
  - conv2d: {{filters: 4, groups: 2}}
  - global_avg_pool2d
  - dense: 5
"""
    agree(net, spec, (9, 8, 3))


def test_what_is_normalised_or_joined_behind_a_flattened_image_is_put_in_order_as_well(tmp_path: Path) -> None:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.norm, self.fc = nn.Conv2d(2, 3, 2), nn.Conv2d(2, 4, 3), nn.BatchNorm1d(3 * 3 * 4), nn.Linear(3 * 3 * 4 + 4 * 2 * 3, 5)

        def forward(self, x: Any) -> Any:
            return self.fc(torch.cat([torch.tanh(self.norm(self.a(x).flatten(1))), self.b(x).flatten(1)], 1))

    net = trained_a_little(Net())
    spec = f"""{HEAD}inputs: [4, 5, 2]
{weights(torch_file(net, tmp_path / "w.safetensors"), layout="torch")}layers:
  - branches:
      merge: none
      paths:
        - - conv2d: {{filters: 3, kernel: 2, name: a}}
          - flatten
          - batch_norm: {{epsilon: 1e-5, name: norm}}
          - tanh: {{name: one}}
        - - conv2d: {{filters: 4, kernel: 3, name: b}}
          - flatten
  - concat: {{name: both}}
  - dense: {{units: 5, name: fc}}
"""
    rename = {name: f"branches_1/{path}/{name}" for name, path in (("a", 0), ("norm", 0), ("b", 1))}
    agree(net, spec.replace('"torch"', '"torch", "rename": ' + json.dumps(rename)), (4, 5, 2))


def test_an_embedding_of_pytorch_and_a_dense_layer_over_its_flattened_sequence_are_not_reordered(tmp_path: Path) -> None:
    import torch
    from torch import nn

    net = trained_a_little(nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 5), nn.LayerNorm(5)))
    rename = {"0": "embedding_1", "2": "dense_1", "3": "layer_norm_1"}
    spec = f"""{HEAD}inputs: {{words: {{shape: [4], dtype: int64}}}}
{weights(torch_file(net, tmp_path / "w.safetensors"), layout="torch", rename=rename)}layers:
  - embedding: {{vocabulary: 7, units: 3}}
  - flatten
  - dense: 5
  - layer_norm: {{epsilon: 1e-5}}
"""
    x = np.random.default_rng(0).integers(0, 7, (6, 4))
    with torch.no_grad():
        np.testing.assert_allclose(compile(loads(spec)).predict(x), net(torch.tensor(x)).numpy(), rtol=1e-10, atol=1e-10)


def test_a_decoder_of_transposed_convolutions_gives_what_pytorch_gives(tmp_path: Path) -> None:
    from torch import nn

    net = trained_a_little(nn.Sequential(
        nn.Linear(5, 4 * 3 * 2), nn.BatchNorm1d(24), nn.PReLU(), nn.Unflatten(1, (4, 3, 2)), nn.ConvTranspose2d(4, 6, 4, 2, 1, groups=2), nn.ReLU(),
        nn.BatchNorm2d(6), nn.ConvTranspose2d(6, 3, 3, 2, 1, output_padding=1, bias=False),
    ))  # fmt: skip
    rename = {"0": "dense_1", "1": "batch_norm_1", "2": "prelu_1", "4": "conv_transpose2d_1", "6": "batch_norm_2", "7": "conv_transpose2d_2"}
    spec = f"""{HEAD}inputs: [5]
{weights(torch_file(net, tmp_path / "w.safetensors"), layout="torch", rename=rename)}layers:
  - dense: 24
  - batch_norm: {{epsilon: 1e-5}}
  - prelu
  - reshape: [3, 2, 4]
  - conv_transpose2d: {{filters: 6, kernel: 4, stride: 2, padding: 1, groups: 2}}
  - relu
  - batch_norm: {{epsilon: 1e-5}}
  - conv_transpose2d: {{filters: 3, kernel: 3, stride: 2, padding: 1, output_padding: 1, bias: false}}
"""
    agree(net, spec, (5,))


def test_convolutions_of_sequences_and_volumes_give_what_pytorch_gives(tmp_path: Path) -> None:
    from torch import nn

    one = trained_a_little(nn.Sequential(nn.Conv1d(3, 4, 3), nn.GroupNorm(2, 4), nn.Tanh(), nn.ConvTranspose1d(4, 5, 2, 2), nn.Flatten(), nn.Linear(5 * 12, 3)))
    rename = {"0": "conv1d_1", "1": "group_norm_1", "3": "conv_transpose1d_1", "5": "dense_1"}
    agree(one, f"""{HEAD}inputs: [8, 3]
{weights(torch_file(one, tmp_path / "one.safetensors"), layout="torch", rename=rename)}layers:
  - conv1d: {{filters: 4, kernel: 3}}
  - group_norm: {{groups: 2, epsilon: 1e-5}}
  - tanh
  - conv_transpose1d: {{filters: 5, kernel: 2, stride: 2, padding: 0}}
  - flatten
  - dense: 3
""", (8, 3))  # fmt: skip
    three = trained_a_little(nn.Sequential(nn.Conv3d(2, 4, (1, 2, 3), groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 3 * 4, 3)))
    agree(three, f"""{HEAD}inputs: {{x: {{shape: [4, 4, 6, 2]}}}}
{weights(torch_file(three, tmp_path / "three.safetensors"), layout="torch", rename={"0": "conv3d_1", "3": "dense_1"})}layers:
  - conv3d: {{filters: 4, kernel: [1, 2, 3], groups: 2, activation: relu}}
  - flatten
  - dense: 3
""", (4, 4, 6, 2))  # fmt: skip


def test_the_two_halves_of_a_separable_convolution_come_from_two_layers_of_pytorch(tmp_path: Path) -> None:
    from torch import nn

    net = trained_a_little(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.Conv2d(6, 4, 1)))
    rename = {"0.weight": "separable_conv2d_1/depthwise_kernel", "1.weight": "separable_conv2d_1/pointwise_kernel", "1": "separable_conv2d_1"}
    spec = f"""{HEAD}inputs: [6, 5, 3]
{weights(torch_file(net, tmp_path / "w.safetensors"), layout="torch", rename=rename)}layers: [separable_conv2d: {{filters: 4, multiplier: 2}}]
"""
    agree(net, spec, (6, 5, 3))


# Keras, by hand


def test_keras_names_and_layouts_are_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernel, depthwise, dense, table = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(3, 3, 4, 2)), rng.normal(size=(2 * 3 * 8, 5)), rng.normal(size=8)
    arrays = {
        "conv2d/kernel:0": kernel, "conv2d/bias:0": rng.normal(size=4), "depthwise_conv2d/depthwise_kernel:0": depthwise,
        "depthwise_conv2d/bias:0": rng.normal(size=8), "p_re_lu/alpha:0": table.reshape(1, 1, 8), "batch_normalization/gamma:0": rng.normal(size=8),
        "batch_normalization/beta:0": rng.normal(size=8), "batch_normalization/moving_mean:0": rng.normal(size=8),
        "batch_normalization/moving_variance:0": rng.uniform(1, 2, 8), "dense/kernel:0": dense, "dense/bias:0": rng.normal(size=5),
    }  # fmt: skip
    rename = {"conv2d": "conv2d_1", "depthwise_conv2d": "depthwise_conv2d_1", "p_re_lu": "prelu_1", "batch_normalization": "batch_norm_1", "dense": "dense_1"}
    model = compile(loads(f"""{HEAD}inputs: [6, 7, 2]
{weights(safetensors(tmp_path / "w.safetensors", arrays), layout="keras", rename=rename)}layers:
  - conv2d: 4
  - depthwise_conv2d: {{multiplier: 2}}
  - prelu
  - batch_norm
  - flatten
  - dense: 5
"""))
    held = {path: np.asarray(p) for path, p in model.parameters.items()}
    np.testing.assert_array_equal(held["conv2d_1/kernel"], kernel)
    np.testing.assert_array_equal(held["depthwise_conv2d_1/kernel"], depthwise)
    np.testing.assert_array_equal(held["prelu_1/alpha"], table)
    np.testing.assert_array_equal(held["dense_1/kernel"], dense)
    for word in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(held[f"batch_norm_1/{word}"], arrays[f"batch_normalization/{word}:0"])


def test_keras_embeddings_and_default_numbers_are_renamed(tmp_path: Path) -> None:
    arrays = {"embedding/embeddings:0": np.ones((7, 3)), **{f"dense{n}/kernel:0": np.full((3, 3), float(i)) for i, n in enumerate(("", "_1", "_2"))}}
    rename = {"embedding": "embedding_1", "dense": "dense_0", "dense_*": "dense_*+1"}
    model = compile(loads(f"""{HEAD}inputs: {{words: {{shape: [4], dtype: int64}}}}
{weights(safetensors(tmp_path / "w.safetensors", arrays), layout="keras", rename=rename)}layers:
  - embedding: {{vocabulary: 7, units: 3}}
  - dense: {{units: 3, bias: false, repeat: 3}}
"""))
    assert [np.asarray(model.parameters[f"dense_{n}/kernel"])[0, 0] for n in (1, 2, 3)] == [0, 1, 2]


# Numbers


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_halves_and_doubles_become_the_precision_of_the_spec(tmp_path: Path, dtype: str) -> None:
    import torch
    from safetensors.torch import save_file

    kernel = torch.randn(4, 3).to(getattr(torch, dtype))
    save_file({"dense_1/kernel": kernel, "dense_1/bias": torch.zeros(3).to(getattr(torch, dtype))}, tmp_path / "w.safetensors")
    model = compile(loads(f"nnspec: 1\ninputs: [4]\n{weights(tmp_path / 'w.safetensors')}layers: [dense: 3]\n"))
    np.testing.assert_array_equal(np.asarray(model.parameters["dense_1/kernel"]), kernel.to(torch.float32).numpy())


DENSE = "inputs: [2]\nlayers: [dense: {units: 2, bias: false}]\n"


def one(path: Path, kernel: Any) -> str:
    return "nnspec: 1\n" + weights(safetensors(path / "w.safetensors", {"dense_1/kernel": np.asarray(kernel)})) + DENSE


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ([[np.nan, 0.0], [0.0, 0.0]], "NaN or infinity"),
        ([[1e300, 0.0], [0.0, 0.0]], "a number that does not fit"),
        ([[1, 2], [3, 4]], "no numbers with a fraction"),
        ([[True, False], [True, True]], "no numbers with a fraction"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(tmp_path: Path, kernel: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        compile(loads(one(tmp_path, kernel)))


# What does not fit

TORCH_NAMES = {"features.0.weight": (4, 3, 3, 3), "features.0.bias": (4,), "fc.weight": (1000, 4), "fc.bias": (1000,)}
NET = "inputs: [8, 8, 3]\nlayers: [conv2d: 4, global_avg_pool2d: , dense: {units: 10, name: head}]\n".replace(": ,", ",")
WRONG: dict[str, tuple[dict[str, tuple[int, ...]], dict[str, Any]]] = {
    "nothing_renamed": (TORCH_NAMES, {"layout": "torch"}),
    "layout_left_out": (TORCH_NAMES, {}),
    "another_head": (TORCH_NAMES, {"layout": "torch", "rename": {"features.0.": "conv2d_1/", "fc.": "head/"}}),
    "a_head_too_many": (TORCH_NAMES, {"layout": "torch", "rename": {"features.0.": "conv2d_1/"}, "except": ["head/*"]}),
    "rename_of_nothing": (TORCH_NAMES, {"layout": "torch", "rename": {"feature.*.": "conv2d_*+1/"}, "except": ["head", "fc"]}),
    "rename_to_too_many_stars": (TORCH_NAMES, {"layout": "torch", "rename": {"features.*.": "conv2d_*/*/"}}),
    "exception_of_nothing": (TORCH_NAMES, {"layout": "torch", "rename": {"features.*.": "conv2d_*+1/"}, "except": ["heads/*", "fc"]}),
    "two_become_one": (TORCH_NAMES, {"layout": "torch", "rename": {"features.0.": "head/", "fc.": "head/"}}),
    "a_word_where_a_number_should_be": (TORCH_NAMES, {"layout": "torch", "rename": {"*.": "conv2d_*+1/"}}),
    "many": ({f"layer{i}.weight": (i,) for i in range(1, 500)}, {"layout": "torch"}),
    "axes_of_pytorch": ({"conv2d_1/kernel": (4, 3, 3, 3), "conv2d_1/bias": (4,), "head/kernel": (10, 4), "head/bias": (10,)}, {}),
    "nothing_fits_loosely": (TORCH_NAMES, {"layout": "torch", "strict": False}),
    "no_such_layout": (TORCH_NAMES, {"layout": "tensorflow"}),
    "unknown_key": (TORCH_NAMES, {"ecxept": ["head/*"]}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_said_of_weights_that_do_not_fit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes, keys = WRONG[name]
    monkeypatch.chdir(tmp_path)
    safetensors(tmp_path / "w.safetensors", {k: np.zeros(s, np.float32) for k, s in shapes.items()})
    section = "weights:\n" + "".join(f"  {k}: {json.dumps(v)}\n" for k, v in {"from": "w.safetensors", **keys}.items())
    with pytest.raises(SpecError) as e:
        compile(loads("nnspec: 1\n" + section + NET))
    text = e.value.render().replace(str(tmp_path), "DIR") + "\n"
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("NNSPEC_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()
    assert max(map(len, text.splitlines())) < 800
    assert all(p.place is not None and (p.wanted or p.hint) for p in e.value.problems)


def test_no_golden_text_of_transfer_is_left_over() -> None:
    assert {p.stem for p in GOLDEN.glob("*.txt")} == set(WRONG)


def test_an_exception_leaves_a_parameter_as_initialised_and_a_weight_out(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "w.safetensors", {k: np.ones(s, np.float32) for k, s in TORCH_NAMES.items()})
    keys = {"layout": "torch", "rename": {"features.0.": "conv2d_1/"}, "except": ["head/*", "fc.*"]}
    model, plain = (compile(loads("nnspec: 1\n" + w + NET)) for w in (weights(path, **keys), ""))
    assert (np.asarray(model.parameters["conv2d_1/kernel"]) == 1).all()
    np.testing.assert_array_equal(np.asarray(model.parameters["head/kernel"]), np.asarray(plain.parameters["head/kernel"]))


def test_what_is_not_strict_takes_what_fits_by_name(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "w.safetensors", {"conv2d_1/kernel": np.ones((3, 3, 3, 4)), "old/kernel": np.ones(3)})
    model = compile(loads("nnspec: 1\n" + weights(path, strict=False) + NET))
    assert (np.asarray(model.parameters["conv2d_1/kernel"]) == 1).all()
    assert not (np.asarray(model.parameters["head/kernel"]) == 1).any()


# Runs


def spec_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


BASE = """nnspec: 1
data: {digits: {}, split: {train: 0.2, validation: 0.1, test: 0.7}}
layers:
  - conv2d: {filters: 4, stride: 2, activation: relu}
  - batch_norm
  - flatten
  - dense: 10
loss: cross_entropy
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.01}}
epochs: 2
"""


def run(spec: Path, out: Path, resume: bool = False, **settings: Any) -> Model:
    model = compile(nnspec.load(spec, set=settings), weights=not resume)
    with open_run(out, "x", resume) as folder:
        train(model, folder=folder, resume=resume)
    return model


def test_a_run_begins_with_the_weights_of_another_and_records_them(tmp_path: Path) -> None:
    first = run(spec_file(tmp_path, "base.yaml", BASE), tmp_path / "a")
    spec = spec_file(tmp_path, "next.yaml", BASE.replace("epochs: 2", "epochs: 0") + "weights: a\n")
    second = run(spec, tmp_path / "b")
    for path, p in first.parameters.items():
        np.testing.assert_array_equal(np.asarray(p), np.asarray(second.parameters[path]))
    (record,) = json.loads((tmp_path / "b" / "run.json").read_text())["weights"]
    import hashlib

    assert record["sha256"] == hashlib.sha256((tmp_path / "a" / "last.safetensors").read_bytes()).hexdigest()
    assert record["parameters"] == len(first.parameters)


def test_the_best_weights_of_a_run_go_by_their_file(tmp_path: Path) -> None:
    run(spec_file(tmp_path, "base.yaml", BASE + "checkpoint: {keep: best, watch: validation.accuracy}\n"), tmp_path / "a")
    model = compile(loads(BASE + f"weights: {tmp_path}/a/best.safetensors\n"))
    best = load_model(tmp_path / "a", which="best")
    for path, p in best.parameters.items():
        np.testing.assert_array_equal(np.asarray(p), np.asarray(model.parameters[path]))


def test_a_saved_model_is_as_good_as_a_run(tmp_path: Path) -> None:
    model = compile(loads(BASE))
    model.save(tmp_path / "m")
    other = compile(loads(BASE.replace("nnspec: 1", "nnspec: 1\nseed: 7") + f"weights: {{from: {tmp_path}/m, except: [dense_1]}}\n"))
    np.testing.assert_array_equal(np.asarray(model.parameters["conv2d_1/kernel"]), np.asarray(other.parameters["conv2d_1/kernel"]))
    assert not np.array_equal(np.asarray(model.parameters["dense_1/kernel"]), np.asarray(other.parameters["dense_1/kernel"]))


def test_a_resumed_run_has_its_checkpoint_and_needs_the_file_no_more(tmp_path: Path) -> None:
    run(spec_file(tmp_path, "base.yaml", BASE), tmp_path / "a")
    spec = spec_file(tmp_path, "next.yaml", BASE + "weights: a\n")
    run(spec, tmp_path / "b", epochs=1)
    before = json.loads((tmp_path / "b" / "run.json").read_text())["weights"]
    whole = run(spec, tmp_path / "c")
    (tmp_path / "a" / "last.safetensors").unlink()
    resumed = run(spec, tmp_path / "b", resume=True, epochs=2)
    for path, p in whole.parameters.items():
        np.testing.assert_array_equal(np.asarray(p), np.asarray(resumed.parameters[path]))
    assert json.loads((tmp_path / "b" / "run.json").read_text())["weights"] == before
    loaded = load_model(tmp_path / "b")
    np.testing.assert_array_equal(np.asarray(loaded.parameters["dense_1/kernel"]), np.asarray(resumed.parameters["dense_1/kernel"]))


def test_the_canonical_spec_names_the_file_absolutely(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    spec = nnspec.load(spec_file(tmp_path, "next.yaml", BASE + "weights: {from: sub/a, except: [dense_1]}\n"))
    again = loads(spec.text)
    assert again.document.weights is not None and again.document.weights.path == tmp_path / "sub" / "a"
    assert again.text == spec.text


def test_a_layout_of_others_is_refused_for_our_own_files(tmp_path: Path) -> None:
    compile(loads(BASE)).save(tmp_path / "m")
    with pytest.raises(SpecError, match="was written by nnspec"):
        compile(loads(BASE + f"weights: {{from: {tmp_path}/m, layout: torch}}\n"))


# Files of strangers

ENTRY = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a whole safetensors file"),
    "short": (b"abc", "not a whole safetensors file"),
    "huge header": (struct.pack("<Q", 1 << 60) + b"{}", "not a whole safetensors file"),
    "no json": (by_hand(b"{not json}"), "this is not JSON"),
    "not utf-8": (by_hand(b"\xff\xfe{}"), "this is not JSON"),
    "deep": (by_hand(b"[" * 100_000), "this is not JSON"),
    "a list": (by_hand([1, 2]), "not a mapping"),
    "metadata": (by_hand({"__metadata__": {"a": 1}}), "no mapping of texts"),
    "twice": (by_hand(b'{"a": {}, "a": {}}'), "stands there twice"),
    "keys": (by_hand({"a": {"dtype": "F32", "shape": [2]}}), "not described as a tensor"),
    "dtype": (by_hand({"a": {**ENTRY, "dtype": "F31"}}, b"0" * 16), "dtype that is not known"),
    "negative": (by_hand({"a": {**ENTRY, "shape": [-2, -2]}}, b"0" * 16), "the shape of 'a'"),
    "fraction": (by_hand({"a": {**ENTRY, "shape": [2.0, 2]}}, b"0" * 16), "the shape of 'a'"),
    "many axes": (by_hand({"a": {**ENTRY, "shape": [1] * 1000}}, b"0" * 16), "the shape of 'a'"),
    "size lies": (by_hand({"a": {**ENTRY, "shape": [1 << 40, 1 << 40]}}, b"0" * 16), "another size than its shape"),
    "offsets": (by_hand({"a": {**ENTRY, "data_offsets": [16, 0]}}, b"0" * 16), "the offsets of 'a'"),
    "overlap": (by_hand({"a": ENTRY, "b": {**ENTRY, "data_offsets": [8, 24]}}, b"0" * 24), "overlaps another tensor"),
    "gap": (by_hand({"a": {**ENTRY, "data_offsets": [8, 24]}}, b"0" * 24), "leaves a gap"),
    "cut off": (by_hand({"a": ENTRY}, b"0" * 15), "cut off"),
    "too long": (by_hand({"a": ENTRY}, b"0" * 17), "longer than its tensors"),
    "name": (by_hand({"a" * 1000: ENTRY}, b"0" * 16), "a name is too long"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_lies_is_one_clear_error(case: str, tmp_path: Path) -> None:
    content, said = HOSTILE[case]
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=said) as e:
        compile(loads("nnspec: 1\n" + weights(tmp_path / "w.safetensors") + DENSE))
    assert len(e.value.problems) == 1
    assert len(str(e.value)) < 1000


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.pth", b"PK\x03\x04....", "safetensors.torch.save_file"),
        ("pytorch_model.bin", b"\x80\x02}", "safetensors.torch.save_file"),
        ("renamed.safetensors", b"\x80\x04\x95........", "safetensors.torch.save_file"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "model.weights"),
        ("model.keras", b"PK\x03\x04....", "model.weights"),
        ("arrays.npz", b"PK\x03\x04....", "numpy.load"),
        ("model.onnx", b"\x08\x07....", "not a whole ONNX file"),
    ],
)
def test_files_of_other_kinds_are_not_opened_and_the_error_says_how_to_convert_them(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        compile(loads("nnspec: 1\n" + weights(tmp_path / name) + DENSE))


@pytest.mark.parametrize("name", ["nowhere.safetensors", ".", "empty\\0"])
def test_a_file_that_is_not_there_is_one_clear_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(NnspecError) as e:
        compile(loads(f'nnspec: 1\nweights: {{from: "{tmp_path}/{name}"}}\n' + DENSE))
    assert len(e.value.problems) == 1 and e.value.problems[0].place is not None


def test_mutated_files_give_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_bytes = safetensors(path, {"dense_1/kernel": np.ones((2, 2), np.float32)}).read_bytes()
    rng = np.random.default_rng(0)
    spec = loads("nnspec: 1\n" + weights(path) + DENSE)
    for _ in range(2000 if FULL else 300):
        data = bytearray(save_bytes)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(data)))
            match int(rng.integers(3)):
                case 0:
                    data[at] = int(rng.integers(256))
                case 1:
                    del data[at:]
                    data += b" "
                case _:
                    data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), np.uint8))
        path.write_bytes(bytes(data))
        try:
            compile(spec)
        except NnspecError as e:
            assert "Traceback" not in str(e)


def test_a_checkpoint_keeps_its_optimizer_to_itself(tmp_path: Path) -> None:
    from nnspec.runtime.checkpoint import Standing

    save(tmp_path / "c.safetensors", {"parameters/dense_1/kernel": np.ones((2, 2), np.float32), "optimizer/m/dense_1/kernel": np.ones((2, 2), np.float32)}, Standing())
    model = compile(loads("nnspec: 1\n" + weights(tmp_path / "c.safetensors") + DENSE))
    assert (np.asarray(model.parameters["dense_1/kernel"]) == 1).all()
