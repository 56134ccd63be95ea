"""Networks of the zoo as those who published them were asked for their numbers: parameters filled by role and shape, images made by rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

import nnspec
from nnspec.cli.zoo import works
from nnspec.compiler import Spec
from nnspec.network.graph import Leaf
from nnspec.network.graph import Parameter as Declared
from nnspec.runtime.session import Model
from tests.reference.fingerprint import fill, image

FOLDER = Path(__file__).parent / "reference" / "zoo"


def held(file: str) -> Any:
    """A file of reference numbers."""
    return json.loads((FOLDER / f"{file}.json").read_text("utf-8"))


def spec_of(name: str, shape: tuple[int, ...] | None = None, **settings: Any) -> Spec:
    """A network of the index, for images of a shape that is channels first."""
    work = works()[name]
    sized = {} if shape is None else {"inputs.image.shape": [*shape[1:], shape[0]]}
    return nnspec.load(work.spec, set={**work.set, **sized, **settings})


def role_of(leaf: Leaf, parameter: Declared) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The role of a parameter, its canonical shape, and which canonical axis each of ours is (see ``filled`` for depthwise ones)."""
    kind, role, shape = leaf.entry.kind, parameter.param.role, parameter.param.shape
    spatial = tuple(range(2, len(shape)))
    if role in ("kernel", "depthwise_kernel", "pointwise_kernel"):
        if len(shape) == 2:
            return "dense_kernel", shape, (0, 1)
        if role == "depthwise_kernel" or kind.startswith("depthwise"):
            return "conv_kernel", (shape[-2] * shape[-1], 1, *shape[:-2]), (*spatial, 0, 1)
        if kind.startswith("conv_transpose"):
            return "convT_kernel", (shape[-1], shape[-2], *shape[:-2]), (*spatial, 1, 0)
        return "conv_kernel", (shape[-1], shape[-2], *shape[:-2]), (*spatial, 1, 0)
    norm = "bn" if kind == "batch_norm" else "ln"
    roles = {"bias": "bias", "gamma": f"{norm}_gamma", "beta": f"{norm}_beta", "moving_mean": "bn_mean", "moving_variance": "bn_var",
             "embedding": "embedding", "alpha": "prelu"}  # fmt: skip
    return roles[role], shape, tuple(range(len(shape)))


def filled(leaf: Leaf, parameter: Declared, conv_gain: float) -> np.ndarray[Any, Any]:
    """A parameter by the rule, in our layout."""
    role, canonical, axes = role_of(leaf, parameter)
    values, shape = fill(role, canonical, conv_gain=conv_gain), parameter.param.shape
    if canonical[1:2] == (1,) and len(shape) > 2 and shape[-1] * shape[-2] == canonical[0] and axes[-2:] == (0, 1):
        return np.moveaxis(values.reshape(shape[-2], shape[-1], *shape[:-2]), (0, 1), (-2, -1))
    return values.transpose(axes)


def multiset(spec: Spec) -> list[list[Any]]:
    """How often each role has each canonical shape, as the references list it."""
    network, counts = spec.built.network, dict[tuple[str, tuple[int, ...]], int]()
    for p in network.parameters.values():
        role, shape, _ = role_of(network.nodes[p.layer]["leaf"], p)
        counts[role, shape] = counts.get((role, shape), 0) + 1
    return sorted([role, list(shape), n] for (role, shape), n in counts.items())


def shape_of(run: str) -> tuple[int, ...]:
    """``image(2,3,96,96)`` as numbers."""
    found = re.match(r"image\(([\d,]+)\)", run)
    assert found is not None, run
    return tuple(int(n) for n in found[1].split(","))


def output(name: str, run: str, conv_gain: float, **settings: Any) -> np.ndarray[Any, Any]:
    """What a filled network of the index makes of an image in double precision."""
    n, *shape = shape_of(run)
    spec = spec_of(name, tuple(shape), precision="float64", **settings)
    model, network = Model(spec, start=False), spec.built.network
    model.restore({f"parameters/{path}": filled(network.nodes[p.layer]["leaf"], p, conv_gain) for path, p in network.parameters.items()})
    answer: np.ndarray[Any, Any] = model.predict(image(n, *shape).transpose(0, 2, 3, 1), raw=True)
    return answer
