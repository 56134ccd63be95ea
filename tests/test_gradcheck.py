"""``nnspec gradcheck``: right gradients pass whatever the layer, a wrong one is found where it is, and kinks are no mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli import status
from nnspec.compiler import loads
from nnspec.ir.op import Op
from nnspec.network.phases import Phase
from nnspec.ops.choices import Relu
from nnspec.ops.conv import Conv
from nnspec.ops.functions import Sigmoid, Tanh
from nnspec.ops.matmul import MatMul
from nnspec.ops.softmax import SoftmaxCrossEntropy
from nnspec.runtime.checked import How, Row
from nnspec.runtime.gradcheck import gradcheck
from nnspec.runtime.reduced import reduced
from nnspec.runtime.slopes import Difference, judge

IMAGES = """\
nnspec: 1
inputs: {image: {shape: [6, 6, 2]}}
layers:
  - conv2d: {filters: 4, kernel: 3, activation: relu}
  - batch_norm
  - residual: {layers: [{depthwise_conv2d: {kernel: 3, padding: same}}, gelu]}
  - max_pool2d: 2
  - dropout: 0.3
  - flatten
  - dense: {units: 8, activation: tanh, regularize: {kernel: {l2: 0.01}}}
  - dense: 3
loss: cross_entropy
optimizer: adam
"""


def rows(text: str, **how: Any) -> dict[str, Row]:
    return {row.path: row for row in gradcheck(loads(text), How(**how))}


def failed(found: dict[str, Row]) -> set[str]:
    return {path for path, row in found.items() if row.failed}


def test_right_gradients_pass_in_every_layer_the_loss_and_the_step() -> None:
    found = rows(IMAGES)
    assert not failed(found)
    assert list(found)[-2:] == ["loss", "step"]
    assert all(row.tensors and not row.why for row in found.values())
    assert {t.name for t in found["batch_norm_1"].tensors} == {"input", "gamma", "beta"}
    assert max(t.relative for row in found.values() for t in row.tensors) < 1e-6


def test_inputs_of_whole_numbers_are_told_and_parameters_behind_them_checked() -> None:
    found = rows("nnspec: 1\ninputs: {word: {shape: [5], dtype: int64}}\nlayers: [embedding: {vocabulary: 7, units: 3}, flatten, dense: 1]\nloss: mse\noptimizer: sgd\n")
    assert not failed(found)
    assert [t.name for t in found["embedding_1"].tensors] == ["embedding"] and "whole numbers" in found["embedding_1"].why


def test_what_stops_gradients_by_declaration_is_right() -> None:
    found = rows("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [dense: 3, stop_gradient, dense: {units: 1, activation: step}]\nloss: perceptron\noptimizer: sgd\n")
    assert not failed(found)
    assert found["stop_gradient_1"].tensors and found["loss"].tensors


def test_several_outputs_losses_and_shared_weights_pass() -> None:
    found = rows("""\
nnspec: 1
inputs: {left: {shape: [4]}, right: {shape: [4]}}
layers:
  - dense: {units: 5, activation: elu, from: left, name: one}
  - dense: {units: 5, activation: elu, from: right, share: one, name: two}
  - multiply: {from: [one, two]}
  - layer_norm
  - dense: {units: 2, name: kind}
  - dense: {units: 1, from: layer_norm_1, name: size}
outputs: [kind, size]
loss: [cross_entropy: {from: kind}, huber: {from: size, weight: 0.3}]
optimizer: sgd
""")  # fmt: skip
    assert not failed(found)
    assert {t.name for t in found["multiply_1"].tensors} == {"from one", "from two"}
    assert len(found["loss"].tensors) == 2


def test_layers_for_one_mode_and_frozen_ones_are_told() -> None:
    found = rows("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [batch_norm: {trainable: false}, {relu: {only: inference}}, dense: 2]\nloss: mse\noptimizer: sgd\n")
    assert not failed(found)
    assert "only in inference" in found["relu_1"].why
    assert found["batch_norm_1"].tensors


def scaled(op: type[Op], factor: float, which: int = 0) -> Callable[..., Any]:
    """The op's gradient with one of its inputs' multiplied."""
    right = op.grad

    def grad(self: Op, g: Any, y: Any, *x: Any) -> Any:
        found = right(self, g, y, *x)
        return tuple(v * factor if n == which and v is not None else v for n, v in enumerate(found))

    return grad


@pytest.mark.parametrize(
    ("op", "which", "layers"),
    [
        (Relu, 0, {"conv2d_1"}),
        (Conv, 0, {"conv2d_1", "residual_1/layers/depthwise_conv2d_1"}),
        (Conv, 1, {"conv2d_1", "residual_1/layers/depthwise_conv2d_1"}),
        (MatMul, 1, {"dense_1", "dense_2"}),
        (Tanh, 0, {"dense_1"}),
        (SoftmaxCrossEntropy, 0, {"loss"}),
    ],
)
def test_a_planted_mistake_is_found_in_the_layers_that_use_it(op: type[Op], which: int, layers: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op, "grad", scaled(op, 1.0001, which))
    assert failed(rows(IMAGES)) - {"step"} == layers


def test_a_mistake_at_one_element_of_thousands_is_found_by_the_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Sigmoid.grad

    def grad(self: Op, g: Any, y: Any, *x: Any) -> Any:
        from nnspec.ir.graph import constant

        mask = np.ones(y.shape)
        mask[0, 1234] = 0.9
        return tuple(v * constant(mask, v.dtype) for v in right(self, g, y, *x))

    monkeypatch.setattr(Sigmoid, "grad", grad)
    found = rows("nnspec: 1\ninputs: {x: {shape: [5000]}}\nlayers: [sigmoid]\nloss: mse\n", layers=("sigmoid_1",))
    (tensor,) = found["sigmoid_1"].tensors
    assert tensor.failed and tensor.worst == "direction" and tensor.size == 20_000


def test_a_mistake_of_the_step_alone_is_found_in_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Phase._gradients

    def wrong(self: Phase, *args: Any) -> Any:
        found, scale = right(self, *args)
        return {path: g * 1.001 if path.endswith("gamma") else g for path, g in found.items()}, scale

    monkeypatch.setattr(Phase, "_gradients", wrong)
    assert failed(rows(IMAGES)) == {"step"}


# Slopes


def of(f: Callable[[float], float], at: float) -> Difference:
    return lambda h: (f(at + h) - f(at), 4e-16 * abs(f(at)))


@pytest.mark.parametrize(("f", "at", "slope"), [(np.exp, 1.0, np.e), (np.sin, 0.3, np.cos(0.3)), (lambda x: x**3, 2.0, 12.0), (abs, 1e-7, 1.0)])
def test_right_slopes_agree_and_wrong_ones_do_not(f: Any, at: float, slope: float) -> None:
    assert judge(of(f, at), slope, abs(slope), 1.0, 1e-6).relative < 1e-6
    wrong = judge(of(f, at), slope * 1.00001, abs(slope), 1.0, 1e-6)
    assert wrong.relative > 1e-6 and not wrong.kink


def test_at_a_kink_every_slope_between_both_sides_is_right_and_no_other() -> None:
    assert judge(of(abs, 0.0), 0.3, 1.0, 1.0, 1e-6).kink
    assert judge(of(lambda x: max(x, 0.0), 0.0), 0.0, 1.0, 1.0, 1e-6).kink
    beyond = judge(of(abs, 0.0), 1.5, 1.5, 1.0, 1e-6)
    assert not beyond.kink and beyond.relative > 0.1


# The command


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    (tmp_path / "net.yaml").write_text(IMAGES)

    def nnspec(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = status(["gradcheck", str(tmp_path / "net.yaml"), *map(str, args)])
        out, err = capsys.readouterr()
        return code, out, err

    return nnspec


def test_the_table_has_a_line_a_layer(call: Any) -> None:
    code, out, err = call("--rows", 3)
    assert code == 0 and err == ""
    lines = out.splitlines()
    assert len(lines) == 1 + 12 + 1 and lines[-1].startswith("12 checked: all right within 1e-06")
    assert all("  ok" in line for line in lines[1:-1])


def test_a_wrong_gradient_ends_with_1_and_both_numbers(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tanh, "grad", scaled(Tanh, 1.01))
    code, out, _ = call("--layers", "dense_*")
    assert code == 1 and "WRONG" in out and "the gradient says" in out
    assert "conv2d_1" not in out
    code, out, _ = call("--layers", "dense_*", "--json")
    content = json.loads(out)
    assert code == 1 and content["passed"] is False
    assert [(row["layer"], row["passed"]) for row in content["layers"]] == [("dense_1", False), ("dense_2", True)]


def test_a_pattern_of_no_layer_is_an_error(call: Any) -> None:
    code, _, err = call("--layers", "dnse_1")
    assert code == 2 and "no layer is called 'dnse_1'" in err


def test_named_axes_ask_for_their_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "open.yaml"
    spec.write_text("nnspec: 1\ninputs: {x: {shape: [time, 3]}}\nlayers: [dense: 2]\nloss: mse\n")
    assert status(["gradcheck", str(spec)]) == 2
    assert "--axis time=64" in capsys.readouterr().err
    assert status(["gradcheck", str(spec), "--axis", "time=5"]) == 0


def test_layers_that_are_alike_are_checked_once_in_large_networks() -> None:
    text = "nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: {units: 3, activation: tanh, repeat: 70}]\nloss: mse\n"
    found = rows(text, layers=("dense_*",))
    assert found["dense_1"].tensors and found["dense_70"].why == "as dense_1"


LARGE = """nnspec: 1
inputs: {image: {shape: [256, 256, 3]}}
layers:
  - conv2d: {filters: 64, kernel: 3, padding: same, activation: tanh}
  - conv2d: {filters: 32, kernel: 3, stride: 2}
  - global_avg_pool2d
  - dense: 2
loss: mse
"""


def test_a_long_pass_is_taken_over_smaller_images_where_weights_stay_what_they_are(call: Any) -> None:
    spec, small = reduced(loads(LARGE), 32)
    assert small == {"image": (128, 128, 3)}
    assert {p: q.param.shape for p, q in spec.built.network.parameters.items()} == {
        p: q.param.shape for p, q in loads(LARGE).built.network.parameters.items()}  # fmt: skip
    flat = loads(LARGE.replace("global_avg_pool2d", "flatten"))
    assert reduced(flat, 32) == (flat, {})
    assert reduced(loads(LARGE), 1)[1] == {}


def test_a_dear_layer_is_looked_at_along_directions_alone_and_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.runtime.checked.DEAR", 10)
    found = rows(IMAGES)
    assert not failed(found)
    assert sum(t.elements for t in found["conv2d_1"].tensors) == 0
    assert sum(t.elements for t in rows(IMAGES, full=True)["conv2d_1"].tensors) > 0
    monkeypatch.setattr(Conv, "grad", scaled(Conv, 1.0001, 1))
    assert failed(rows(IMAGES)) - {"step"} == {"conv2d_1", "residual_1/layers/depthwise_conv2d_1"}


def test_a_vast_step_is_left_out_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec.runtime.checked_step.VAST", 10)
    assert "--full tries it" in rows(IMAGES)["step"].why
    assert rows(IMAGES, full=True)["step"].tensors
