"""Each line of PyTorch's on the page "coming from Keras or PyTorch" and ours beside it give equal numbers, with the same weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli.commands import COMMANDS
from nnspec.compiler import loads
from nnspec.errors import SpecError

torch = pytest.importorskip("torch", reason="PyTorch's lines are run")
nn = torch.nn

TEXT = (Path(__file__).resolve().parent.parent / ".github" / "docs" / "coming-from-keras-pytorch.md").read_text("utf-8")
TABLES = [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
          for table in re.findall(r"(^\| Keras \| PyTorch \| here \|\n(?:\|.*\n)+)", TEXT, re.MULTILINE)]  # fmt: skip
LAYERS, LOSSES, OPTIMIZERS, REST = TABLES


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def test_all_lines_of_the_page_were_found() -> None:
    assert [len(table) for table in TABLES] == [34, 6, 7, 9]
    assert all(len(row) == 3 for table in TABLES for row in table)


def weights(ours: Any, theirs: Any) -> None:
    """Random numbers for both: PyTorch's kernels have the filters first."""
    rng = np.random.default_rng(0)
    state = theirs.state_dict()
    words = {"kernel": "weight", "embedding": "weight", "gamma": "weight", "bias": "bias", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    for p in ours.parameters.values():
        numbers = rng.uniform(0.5, 1.5, p.shape)
        p.assign(numbers)
        if p.layer == "depthwise_conv2d" and p.role == "kernel":
            numbers = numbers.transpose(2, 3, 0, 1).reshape(-1, 1, *p.shape[:2])
        elif p.role == "kernel":
            numbers = numbers.transpose(*range(numbers.ndim)[:-3:-1], *range(numbers.ndim - 2))
        (name,) = (n for n in state if n.split(".")[-1] == words[p.role])
        assert tuple(state[name].shape) == numbers.shape, name
        state[name] = torch.from_numpy(np.ascontiguousarray(numbers))
    theirs.load_state_dict(state)


@pytest.mark.parametrize(("theirs", "ours"), [(row[1], codes(row[2])[0]) for row in LAYERS], ids=[codes(row[2])[0] for row in LAYERS])
def test_a_layer_gives_what_pytorchs_gives(theirs: str, ours: str) -> None:
    rng = np.random.default_rng(1)
    n, kind = 4, ours.split(":")[0]
    shape = [7, 6, n] if "2d" in kind or kind in ("batch_norm", "group_norm") else [6, n] if "1d" in kind or kind in ("permute", "layer_norm", "rms_norm") else [8] if kind == "reshape" else [n]
    names = ["a", "b"] if "from" in ours else ["x"]
    dtype = "int64" if kind == "embedding" else "float32"
    entry = f"{{{ours}}}" if ":" in ours else ours
    listed = ", ".join(f"{name}: {{shape: {shape}, dtype: {dtype}}}" for name in names)
    model = nnspec.compile(loads(f"nnspec: 1\nprecision: float64\ninputs: {{{listed}}}\nlayers: [{entry}]\n"))
    given = {name: rng.integers(0, 1000, (3, *shape)) if dtype == "int64" else rng.normal(size=(3, *shape)) for name in names}
    first = "2d" in theirs or "1d" in theirs or "Group" in theirs or "Upsample" in theirs or "1:-1" in theirs
    x = {name: torch.from_numpy(v).movedim(-1, 1) if first else torch.from_numpy(v) for name, v in given.items()}
    lines = [eval(code, {"nn": nn, "torch": torch, "n": n, **x}) for code in codes(theirs)]  # the page's own line
    if isinstance(lines[0], nn.Module):
        module = nn.Sequential(*lines).double().eval()
        weights(model, module)
        answer = module(*x.values())
    else:
        answer = lines[0]
    answer = answer.movedim(1, -1) if first and answer.ndim > 2 else answer
    np.testing.assert_allclose(model.predict(given if len(names) > 1 else given["x"], raw=True), answer.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("theirs", "ours"), [(codes(row[1])[0], codes(row[2])[0]) for row in LOSSES], ids=[codes(row[2])[0] for row in LOSSES])
def test_a_loss_is_pytorchs(theirs: str, ours: str) -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(size=(5, 3))
    t = rng.integers(0, 3, 5) if "CrossEntropy" in theirs else (rng.random((5, 3)) > 0.5).astype(float) if "BCE" in theirs else 3 * rng.normal(size=(5, 3))
    model = nnspec.compile(loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [3]}}}}\nlayers: [identity]\n{ours}\n"))
    expected = eval(theirs, {"nn": nn})(torch.from_numpy(y), torch.from_numpy(t))
    assert model.evaluate({"x": y, "target": t})["loss"] == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("theirs", "ours"), [(row[1], codes(row[2])[0]) for row in OPTIMIZERS], ids=[codes(row[2])[0] for row in OPTIMIZERS])
def test_an_optimizer_takes_pytorchs_steps(theirs: str, ours: str) -> None:
    model = nnspec.compile(loads(f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [3]}}}}\nlayers: [dense: 2]\nloss: mse\n{ours}\n"))
    layer = nn.Linear(3, 2).double()
    weights(model, layer)
    clip = "clip" in theirs
    optimizer = eval(codes(theirs)[-1], {**vars(torch.optim), "p": layer.parameters()})
    rng = np.random.default_rng(3)
    for _ in range(5):
        x, t = rng.normal(size=(4, 3)), 10 * rng.normal(size=(4, 2))
        model.train_batch({"x": x, "target": t})
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(torch.from_numpy(x)), torch.from_numpy(t)).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
    np.testing.assert_allclose(np.asarray(model.parameters["dense_1/kernel"]), layer.weight.detach().numpy().T, rtol=1e-7)


@pytest.mark.parametrize("ours", [code for row in REST for code in codes(row[2])])
def test_the_rest_of_our_words_are_ours(ours: str) -> None:
    if ours.startswith("nnspec "):
        assert ours.split()[1] in COMMANDS
    elif ours.startswith("model."):
        assert callable(getattr(nnspec.runtime.session.Model, ours.split(".")[1].split("(")[0]))
    else:
        own = ours.split(":")[0] in ("trainable", "init", "regularize")
        layer, top = (f"dense: {{units: 2, {ours}}}", "") if own else ("dense: 2", ours)
        try:
            loads(f"nnspec: 1\ndata: iris\nlayers: [dense: {{units: 4}}, {{{layer}}}, dense: 3]\nloss: cross_entropy\noptimizer: adam\n{top}\n")
        except SpecError as error:
            assert "validation" in error.render(), error.render()  # what is watched wants a split


def test_kerass_layers_have_as_many_parameters() -> None:
    """Where Keras can be imported (``KERAS_BACKEND=torch``); it is no extra of ours."""
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    for theirs, _, here in LAYERS:
        ours = codes(here)[0]
        kind = ours.split(":")[0]
        if "from" in ours or kind == "embedding":
            continue
        shape = (7, 6, 4) if "2d" in kind or kind in ("batch_norm", "group_norm") else (6, 4) if "1d" in kind or kind == "permute" else (8,) if kind == "reshape" else (4,)
        layer = eval(codes(theirs)[0], vars(keras.layers))
        out = layer(keras.Input(shape))
        entry = f"{{{ours}}}" if ":" in ours else ours
        nodes = loads(f"nnspec: 1\ninputs: {{x: {{shape: {list(shape)}}}}}\nlayers: [{entry}]\n").built.network
        assert sum(node["parameters"] for node in nodes.nodes.values()) == layer.count_params(), ours
        assert tuple(nodes.outputs[0].shape) == tuple(out.shape[1:]), ours
