"""State dicts with the names of published code are loaded by the table of their family, and answer as there; every spec of the zoo has a table."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.cli.zoo import works
from nnspec.compiler import Spec
from nnspec.errors import SpecError
from nnspec.runtime.session import Model, compile
from nnspec.spec.include import shipped
from nnspec.spec.source import plain, read_file
from tests.drawn import ZOO

torch = pytest.importorskip("torch", reason="PyTorch writes the files; install the extra 'test'")
from safetensors.torch import save_file  # noqa: E402  # it needs torch

from tests import zoo_named as named  # noqa: E402  # it needs torch

FULL = bool(os.environ.get("NNSPEC_FULL"))
W = 16 if FULL else 4
SAME = {"border": 1, "norm": True, "channels": 3}
NAMED: dict[str, tuple[str, str, dict[str, Any], Any, tuple[int, ...]]] = {  # spec, table, its variables, the module, an input channels first
    "dcgan generator": ("dcgan_generator", "", {"width": W}, partial(named.dcgan_generator, W), (2, 100, 1, 1)),
    "dcgan discriminator": ("dcgan_discriminator", "", {"width": W}, partial(named.dcgan_discriminator, W), (2, 3, 64, 64)),
    "patchgan": ("patchgan", "", {"width": W}, partial(named.patchgan, W), (2, 3, 64, 70)),
    "patchgan of pix2pix": ("patchgan", "", {"width": W, "norm": "batch", "channels": 6}, partial(named.patchgan, W, "batch", 6), (2, 6, 64, 64)),
    "cyclegan, 9 blocks": ("cyclegan_resnet", "", {"width": W}, partial(named.cyclegan_resnet, W), (1, 3, 32, 40)),
    "cyclegan, 6 blocks": ("cyclegan_resnet", "cyclegan_resnet_6", {"width": W, "blocks": 6}, partial(named.cyclegan_resnet, W, 6), (1, 3, 32, 24)),
    "pix2pix": ("pix2pix_unet", "", {"width": W}, partial(named.pix2pix_unet, W), (1, 3, 256, 256)),
    "cyclegan's u-net": ("pix2pix_unet", "", {"width": W, "norm": "instance"}, partial(named.pix2pix_unet, W, "instance"), (1, 3, 512, 512)),
    "unet": ("unet", "", {"width": W, **SAME}, partial(named.unet, W), (1, 3, 32, 48)),
    "unet without norm": ("unet", "", {"width": W, "border": 1, "classes": 1}, partial(named.unet, W, 1, 1, norm=False), (1, 1, 32, 16)),
    "unet_small": ("unet_small", "", {"width": W}, partial(named.unet, W, levels=3), (1, 3, 32, 16)),
    "unet++": ("unet_plus_plus", "", {"width": W}, partial(named.unet_plus_plus, W), (1, 3, 32, 48)),
    "unet++, supervised": ("unet_plus_plus", "", {"width": W}, partial(named.unet_plus_plus, W, True), (1, 3, 32, 16)),
    "srresnet": ("srresnet", "", {"width": W}, partial(named.srresnet, W), (1, 3, 10, 7)),
    "i3d": ("i3d", "", {"thin": 1 if FULL else 16, "classes": 5}, partial(named.i3d, 1 if FULL else 16, 5), (1, 3, 9, 193, 200)),
    "vae": ("vae", "", {}, named.vae, (2, 784)),
    "alexnet": ("alexnet", "", {"width": 12, "hidden": 8, "classes": 5}, partial(named.alexnet, 12, 8, 5), (1, 3, 227, 227)),
    "alexnet by caffe's names": ("alexnet", "", {"width": 12, "hidden": 8, "classes": 5}, partial(named.alexnet, 12, 8, 5, True), (1, 3, 227, 227)),
    "lenet5": ("lenet5", "", {}, partial(named.lenet5, torch.nn.ReLU, torch.nn.MaxPool2d, False), (2, 1, 28, 28)),
    "lenet5 in a row": ("lenet5", "", {}, partial(named.lenet5, torch.nn.ReLU, torch.nn.MaxPool2d, True), (2, 1, 28, 28)),
    "lenet5 of 1998": ("lenet5_original", "lenet5", {}, partial(named.lenet5, torch.nn.Tanh, torch.nn.AvgPool2d, False), (2, 1, 28, 28)),
    "resnet18_cifar": ("resnet18_cifar", "", {"width": W}, partial(named.resnet18_cifar, W), (2, 3, 32, 32)),
    "vgg_small": ("vgg_small", "", {"width": W}, partial(named.vgg_small, W), (2, 3, 32, 32)),
}
LONG = {"i3d", "unet++, supervised", "cyclegan's u-net", "unet without norm", "alexnet"}  # seconds each: in the short form their weights fit, no more
NEEDS_NONE = {"mlp": "a row of dense layers that nobody has published", "mlp_wide": "a row of dense layers that nobody has published"}


def drawn(net: Any, seed: int = 0) -> Any:
    """A module in double precision, each of its numbers drawn: factors and variances positive, kernels that neither fade nor grow."""
    rng, net = np.random.default_rng(seed), net.double().eval()
    for name, tensor in net.state_dict().items():
        shape = tuple(tensor.shape)
        if not shape:
            continue
        leaf = name.rpartition(".")[2]
        positive = leaf == "running_var" or leaf == "weight" and len(shape) == 1
        values = rng.uniform(0.5, 1.5, shape) if positive else rng.standard_normal(shape) * ((1.5 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1)
        tensor.copy_(torch.from_numpy(values))
    return net


def saved(net: Any, folder: Path) -> Path:
    path = folder / "saved.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    return path


def loaded(name: str, net: Any, folder: Path) -> Spec:
    """The spec of a family with a file of the module's weights."""
    spec, table, variables, _, shape = NAMED[name]
    path = shipped() / "zoo" / f"{spec}.yaml"
    entry = next(iter(plain(read_file(path))["inputs"]))
    weights = {"from": str(saved(net, folder)), "layout": "torch", "rename": f"renames/{table or spec}.yaml"}
    sized = {f"inputs.{entry}.shape": [*shape[2:], shape[1]], "precision": "float64", "weights": weights}
    return nnspec.load(path, set={f"vars.{k}": v for k, v in variables.items()} | sized)


@pytest.mark.parametrize("name", sorted(LONG))
def test_every_weight_of_a_published_name_fits(name: str, tmp_path: Path) -> None:
    Model(loaded(name, drawn(NAMED[name][3]()), tmp_path)).transfer()


@pytest.mark.parametrize("name", [n for n in NAMED if FULL or n not in LONG])
def test_a_state_dict_by_its_published_names_answers_as_its_module(name: str, tmp_path: Path) -> None:
    net, x = drawn(NAMED[name][3]()), np.random.default_rng(1).random(NAMED[name][4])
    model = compile(loaded(name, net, tmp_path))
    with torch.no_grad():
        answers = net(torch.from_numpy(x))
    found = model.predict(np.moveaxis(x, 1, -1), raw=True)
    pairs = list(zip(found.values(), answers, strict=True)) if isinstance(answers, tuple) else [(found, answers)]
    for y, wanted in pairs:
        values = wanted.numpy()
        assert values.std() > 1e-6
        np.testing.assert_allclose(np.moveaxis(y, -1, 1), values, rtol=0, atol=1e-9 * np.abs(values).max())


@pytest.mark.parametrize(("linear", "layout"), [(False, "nnspec"), (True, "torch")])
def test_a_network_of_a_graph_takes_kernels_of_both_orders(linear: bool, layout: str, tmp_path: Path) -> None:
    net, rng = drawn(named.gcn(11, linear=linear)), np.random.default_rng(3)
    graph = np.where(rng.random((9, 9)) < 0.4, rng.random((9, 9)), 0)
    x, entries = rng.standard_normal((9, 11)), np.array([[i, j, graph[i, j]] for i, j in zip(*np.nonzero(graph), strict=True)])
    weights = {"from": str(saved(net, tmp_path)), "layout": layout, "rename": "renames/gcn.yaml"}
    model = compile(nnspec.load(shipped() / "zoo" / "gcn.yaml", set={"vars.words": 11, "precision": "float64", "weights": weights}))
    with torch.no_grad():
        wanted = net(torch.from_numpy(x), torch.from_numpy(graph)).numpy()
    np.testing.assert_allclose(model.predict({"features": x[None], "adjacency": entries[None]}, raw=True)[0], wanted, rtol=0, atol=1e-12)
    if not linear:
        with pytest.raises(SpecError, match=r"16, 11|shape"):
            Model(nnspec.load(shipped() / "zoo" / "gcn.yaml", set={"vars.words": 11, "weights": weights | {"layout": "torch"}})).transfer()


def test_every_spec_of_the_zoo_has_a_table_or_needs_none() -> None:
    specs = {p.stem for p in ZOO.glob("*.yaml")} - {"index"}
    listed = {work.spec.stem: set[str]() for work in works().values()}
    for work in works().values():
        listed[work.spec.stem].add(work.rename)
    tables = {name: listed.get(name, {f"renames/{name}.yaml"}) for name in specs - NEEDS_NONE.keys()}
    assert [(name, table) for name, found in sorted(tables.items()) for table in found if not (ZOO / table).is_file()] == []
    assert not NEEDS_NONE.keys() - specs


def test_every_table_belongs_to_a_spec() -> None:
    told = {Path(work.rename).stem for work in works().values()} | {p.stem for p in ZOO.glob("*.yaml")}
    others = {p.stem for p in (ZOO / "renames").glob("*.yaml")} - told
    assert others == {"torchvision_vgg11_bn", "torchvision_vgg13", "torchvision_vgg13_bn", "torchvision_vgg19_bn"}  # depths and norms that the index has not
