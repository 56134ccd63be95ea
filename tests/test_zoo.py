"""The networks of specs/zoo are those of PyTorch and torchvision: as many parameters, the same answers, gradients and statistics."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli.traced import passed, planned, trace
from nnspec.codegen.backend import load_backend
from nnspec.codegen.check_plan import check_plan
from nnspec.interop.flattened import Flattened
from nnspec.interop.layouts import form
from nnspec.runtime.session import Model, compile

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
from tests.bench.twins import TWINS  # noqa: E402  # it needs torch

ZOO = Path(__file__).parent.parent / "specs" / "zoo"
FULL = bool(os.environ.get("NNSPEC_FULL"))
TRAINABLE = {"mlp": 235_146, "lenet5": 61_706, "resnet18_cifar": 11_173_962, "resnet50": 25_557_032, "mobilenet_v2": 3_504_872}  # as published
SMALL: dict[str, dict[str, int]] = {"mlp_wide": {"width": 48}, "vgg_small": {"width": 8}, "resnet18_cifar": {"width": 4}, "unet_small": {"width": 4},
                                    "mobilenet_v2": {"width": 8, "classes": 7}, "resnet50": {"width": 8, "classes": 9}}  # fmt: skip
SIDE = {"resnet50": 64, "mobilenet_v2": 64}  # of an image, where the network takes any
NAMES = sorted(TWINS)
WHOLE = NAMES if FULL else ["lenet5", "vgg_small"]


def pair(name: str, precision: str, small: bool) -> tuple[Model, Any, dict[str, Any], Any]:
    """A spec of the zoo and its twin with the same weights, and a batch for each."""
    variables: dict[str, Any] = dict(SMALL.get(name, {})) if small else {}
    if name == "mobilenet_v2":
        variables["dropout"] = 0
    changes: dict[str, Any] = {f"vars.{k}": v for k, v in variables.items()} | {"precision": precision}
    if small and name in SIDE:
        changes["inputs.image.shape"] = [SIDE[name], SIDE[name], 3]
    torch.manual_seed(0)
    twin = TWINS[name](**variables).to(getattr(torch, precision))
    model = compile(nnspec.load(ZOO / f"{name}.yaml", set=changes))
    model.restore({f"parameters/{path}": values for path, values in canonical(model, twin.named_parameters()).items()})
    rng = np.random.default_rng(1)
    (entry, type), = model.spec.inputs.items()
    x = rng.standard_normal((3, *type.shape)).astype(precision)
    (target,) = model.spec.built.losses
    assert target.type is not None and target.port.type is not None
    shape: Any = target.type.shape[1:]
    most: Any = target.port.type.shape[-1]
    t = rng.integers(0, most, (3, *shape))
    first = torch.from_numpy(x.transpose(0, 3, 1, 2).copy() if x.ndim == 4 else x)
    return model, twin, {entry: x, target.feed: t}, first


def canonical(model: Model, theirs: Any) -> dict[str, Any]:
    """PyTorch's tensors in our layout, by our paths: both list their layers in the same order."""
    network = model.spec.built.network
    mine = [path for path, p in network.parameters.items() if p.trainable]
    given = [t.detach().numpy() for _, t in theirs]
    flattened = Flattened(network)
    assert len(mine) == len(given)
    out = {}
    for path, values in zip(mine, given, strict=True):
        p = network.parameters[path]
        written = form(network.nodes[p.layer]["leaf"], p.param, "torch", flattened)
        assert values.shape == written.shape, path
        out[path] = written.turn(values)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_a_work_of_the_zoo_has_its_twins_parameters(name: str) -> None:
    spec = nnspec.load(ZOO / f"{name}.yaml")
    with torch.device("meta"):
        twin = TWINS[name]()
    parameters = spec.built.network.parameters.values()
    trainable = sum(int(np.prod(p.param.shape)) for p in parameters if p.trainable)
    assert trainable == sum(p.numel() for p in twin.parameters()) == TRAINABLE.get(name, trainable)
    held = [t for n, t in twin.state_dict().items() if not n.endswith("num_batches_tracked")]
    assert sum(int(np.prod(p.param.shape)) for p in parameters) == sum(t.numel() for t in held)
    assert spec.settings.expect is not None and "parameters" in spec.settings.expect


@pytest.mark.parametrize("name", NAMES if FULL else [n for n in NAMES if n != "resnet50"])  # whose answers are compared below
def test_answers_gradients_and_statistics_of_a_work_are_its_twins(name: str) -> None:
    alike(name, "float64", small=not FULL or name == "resnet50", rtol=1e-8)


@pytest.mark.parametrize("name", WHOLE)
def test_a_work_at_its_own_size_in_single_precision_is_its_twin(name: str) -> None:
    """Answers agree to rounding. Gradients: a unit that rounding moves over the edge of its relu changes them by up to a hundredth."""
    model, twin, feeds, x = pair(name, "float32", small=False)
    entry, target = feeds
    t = torch.from_numpy(feeds[target])
    exact = copy.deepcopy(twin).double()
    with torch.no_grad():
        close(model.predict(feeds[entry], raw=True), last(twin.eval()(x)), 2e-5, "inference")
    theirs, wanted = (trained(model, net.train(), x.to(kind), t) for net, kind in ((twin, torch.float32), (exact, torch.float64)))
    found = model.gradients(feeds)
    mine, allowed = (sum(float(((g[path] - w) ** 2).sum()) for path, w in wanted.items()) ** 0.5 for g in (found, theirs))
    size = sum(float((w**2).sum()) for w in wanted.values()) ** 0.5
    assert mine <= 3 * allowed + 0.01 * size


def alike(name: str, precision: str, small: bool, rtol: float) -> None:
    """Raises AssertionError where a work and its twin differ by more than ``rtol`` of the largest element of a tensor."""
    model, twin, feeds, x = pair(name, precision, small)
    entry, target = feeds
    t = torch.from_numpy(feeds[target])
    twin.eval()
    with torch.no_grad():
        close(model.predict(feeds[entry], raw=True), last(twin(x)), rtol, "inference")
    twin.train()
    wanted = trained(model, twin, x, t)
    found = model.gradients(feeds)
    assert list(found) == list(wanted)
    most = max(float(np.abs(g).max()) for g in wanted.values())
    for path, g in wanted.items():
        close(found[path], g, rtol, path, floor=1e-3 * most)
    assert np.isfinite(model.train_batch(feeds)["loss"])
    theirs = [b.numpy() for n, b in twin.named_buffers() if "running" in n]
    mine = [np.asarray(p) for p in model.parameters.values() if not p.trainable]
    for a, b in zip(mine, theirs, strict=True):
        close(a, b, rtol, "statistics", floor=1e-2)


def trained(model: Model, twin: Any, x: Any, t: Any) -> dict[str, Any]:
    """The twin's gradients on a batch, in our layout; its statistics move."""
    torch.nn.functional.cross_entropy(twin(x), t).backward()
    return canonical(model, [(n, p.grad) for n, p in twin.named_parameters()])


def last(y: Any) -> Any:
    """Channels last, as an array."""
    return (y.movedim(1, -1) if y.ndim == 4 else y).numpy()


def close(a: Any, b: Any, rtol: float, what: str, floor: float = 0.0) -> None:
    np.testing.assert_allclose(a, b, rtol=0, atol=rtol * max(float(np.abs(b).max()), floor), err_msg=what)


@pytest.mark.parametrize("name", ["resnet18_cifar", "resnet50"])
def test_the_renames_that_a_spec_of_the_zoo_tells_load_torchvisions_weights(name: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    text = (ZOO / f"{name}.yaml").read_text("utf-8")
    assert text.count("# weights:\n") == 1
    text = re.sub(r"^# ?", "", text.partition("# weights:\n")[2], flags=re.MULTILINE)
    variables = SMALL[name]
    torch.manual_seed(0)
    twin = TWINS[name](**variables).double().eval()
    for n, b in twin.named_buffers():
        if "running" in n:
            b.uniform_(0.5, 1.5)
    save_file(twin.state_dict(), tmp_path / f"{name}.safetensors")
    whole = (ZOO / f"{name}.yaml").read_text("utf-8").partition("# weights:\n")[0] + "weights:\n" + text
    (tmp_path / f"{name}.yaml").write_text(whole, "utf-8")
    changes: dict[str, Any] = {f"vars.{k}": v for k, v in variables.items()} | {"precision": "float64", "inputs.image.shape": [32, 32, 3]}
    model = compile(nnspec.load(tmp_path / f"{name}.yaml", set=changes))
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    with torch.no_grad():
        close(model.predict(x, raw=True), twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy(), 1e-8, "inference")


@pytest.mark.parametrize("name", NAMES)
def test_no_two_live_buffers_of_a_work_overlap(name: str) -> None:
    small = {} if FULL else {f"vars.{k}": v for k, v in SMALL.get(name, {}).items()}
    spec, backend = nnspec.load(ZOO / f"{name}.yaml", set=small), load_backend("numpy")
    stages = list(passed(trace(spec, 2, {}), backend))
    check_plan(stages[-1][1], planned(spec, stages, backend))
