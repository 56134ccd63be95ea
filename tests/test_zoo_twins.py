"""Generators and networks of dense prediction, filled by rule, answer as what their authors publish in PyTorch; graphs and digits as the reference."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec.errors import SpecError
from nnspec.runtime.session import Model
from nnspec.spec.include import shipped
from tests.published import filled, held
from tests.reference.fingerprint import compare, fill, image

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
from tests import zoo_twins as twins  # noqa: E402  # it needs torch

FULL = bool(os.environ.get("NNSPEC_FULL"))
WIDTH = 64 if FULL else 4
TWINS: dict[str, tuple[str, dict[str, Any], Any, tuple[int, ...]]] = {  # the spec, its variables, the twin, an image channels first
    "srresnet": ("srresnet", {"width": WIDTH, "blocks": 3}, lambda: twins.srresnet(WIDTH, 3), (1, 3, 10, 7)),
    "pix2pix": ("pix2pix_unet", {"width": WIDTH}, lambda: twins.pix2pix_unet(WIDTH, "batch"), (1, 3, 256, 256)),
    "cyclegan u-net": ("pix2pix_unet", {"width": WIDTH, "norm": "instance"}, lambda: twins.pix2pix_unet(WIDTH, "instance"), (1, 3, 512, 512)),
    "unet": ("unet", {"width": WIDTH, "border": 1, "norm": True, "channels": 3, "classes": 1}, lambda: twins.UNet(WIDTH, True), (1, 3, 48, 32)),
    "unet++": ("unet_plus_plus", {"width": WIDTH}, lambda: twins.UNetPlusPlus(WIDTH), (2, 3, 32, 48)),
    "patchgan": ("patchgan", {"width": WIDTH}, lambda: twins.patchgan(WIDTH, "instance", 3), (1, 3, 64, 70)),
    "patchgan of pix2pix": ("patchgan", {"width": WIDTH, "norm": "batch", "channels": 6}, lambda: twins.patchgan(WIDTH, "batch", 6), (1, 6, 64, 64)),
    "dcgan discriminator": ("dcgan_discriminator", {"width": WIDTH}, lambda: twins.dcgan_discriminator(WIDTH), (2, 3, 64, 64)),
    "i3d": ("i3d", {"thin": 1 if FULL else 16, "classes": 5}, lambda: twins.i3d(1 if FULL else 16, 5), (1, 3, 9, 193, 200)),
}


def fed(spec: str, settings: dict[str, Any], gain: float = 1.5) -> Model:
    """A filled network in double precision."""
    model = Model(nnspec.load(shipped() / "zoo" / f"{spec}.yaml", set={**settings, "precision": "float64"}), start=False)
    network = model.spec.built.network
    model.restore({f"parameters/{path}": filled(network.nodes[p.layer]["leaf"], p, gain) for path, p in network.parameters.items()})
    return model


@pytest.mark.parametrize("name", TWINS)
def test_a_filled_network_answers_as_its_twin(name: str) -> None:
    spec, variables, twin, shape = TWINS[name]
    x = image(*shape) if len(shape) == 4 else fill("input", shape)
    entry = "video" if len(shape) == 5 else "image"
    model = fed(spec, {f"vars.{k}": v for k, v in variables.items()} | {f"inputs.{entry}.shape": [*shape[2:], shape[1]]})
    with torch.no_grad():
        wanted = twins.filled(twin())(torch.from_numpy(x)).numpy()
    found = np.moveaxis(model.predict(np.moveaxis(x, 1, -1), raw=True), -1, 1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize(("file", "spec", "x"), [
    ("torch_cyclegan_resnet9", "cyclegan_resnet", image(1, 3, 64, 64)),
    ("torch_dcgan_generator", "dcgan_generator", fill("input", (2, 100, 1, 1))),
    ("torch_unet_paper_valid_1to2", "unet", image(1, 1, 188, 188)),
])  # fmt: skip
def test_a_filled_network_answers_as_the_reference(file: str, spec: str, x: Any) -> None:
    reference = held(file)
    entry = "z" if spec == "dcgan_generator" else "image"
    model = fed(spec, {f"inputs.{entry}.shape": [*x.shape[2:], x.shape[1]]}, reference["conv_gain"])
    y = np.moveaxis(model.predict(np.moveaxis(x, 1, -1), raw=True), -1, 1)
    assert max(compare(reference["runs"][0]["output"], y).values()) < 1e-9


def test_a_filled_autoencoder_of_digits_answers_as_the_reference() -> None:
    y = fed("vae", {}).predict((fill("input", (2, 784)) + 1) / 2, raw=True)
    assert max(compare(held("torch_vae_mu")["runs"][0]["output"], y["reconstruction"]).values()) < 1e-9


def ring() -> Any:
    """The reference's graph as a list of entries: 30 nodes, each bound to the next and to another, and itself."""
    a = np.eye(30)
    for i in range(30):
        for j in ((i + 1) % 30, (7 * i + 3) % 30):
            a[i, j] = a[j, i] = 1
    d = a.sum(1) ** -0.5
    rows, columns = np.nonzero(a)
    return np.stack([rows, columns, d[rows] * d[columns]], -1)[None]


def test_a_filled_network_of_a_graph_answers_as_the_reference_in_any_order_of_entries() -> None:
    model, x, graph = fed("gcn", {"vars.words": 20}), fill("input", (30, 20))[None], ring()
    recorded = held("torch_gcn_small")["runs"][0]["output"]
    assert max(compare(recorded, model.predict({"features": x, "adjacency": graph}, raw=True)[0]).values()) < 1e-9
    longer = np.concatenate([graph[:, ::-1], np.zeros((1, 5, 3))], axis=1)
    assert max(compare(recorded, model.predict({"features": x, "adjacency": longer}, raw=True)[0]).values()) < 1e-9
    assert model.predict({"features": fill("input", (7, 20))[None], "adjacency": np.zeros((1, 1, 3))}, raw=True).shape == (1, 7, 7)


@pytest.mark.parametrize(("place", "number"), [(0, 30.0), (1, 30.0), (0, -1.0), (1, float("inf")), (0, float("nan")), (1, 2.5)])
def test_an_entry_of_a_node_that_is_not_there_is_an_error(place: int, number: float) -> None:
    model, graph = fed("gcn", {"vars.words": 20}), ring()
    graph[0, 4, place] = number
    with pytest.raises(SpecError, match="'adjacency' holds a number that nothing has"):
        model.predict({"features": fill("input", (30, 20))[None], "adjacency": graph}, raw=True)


def test_a_network_of_a_graph_learns_its_subjects() -> None:
    model = Model(nnspec.load(shipped() / "zoo" / "gcn.yaml", set={"vars.words": 20, "vars.dropout": 0}))
    feeds = {"features": fill("input", (30, 20))[None], "adjacency": ring(), "target": np.arange(30)[None] % 7}
    losses = [model.train_batch(feeds)["loss"] for _ in range(400)]
    assert losses[-1] < losses[0] / 10
