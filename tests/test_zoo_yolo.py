"""YOLO networks, filled by rule or with a file as ultralytics writes it, answer in double precision what ultralytics answers."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.cli.zoo import works
from nnspec.interop.flattened import Flattened
from nnspec.interop.layouts import form, param_of, place_of
from nnspec.interop.rename import Pattern, Rule, rename
from nnspec.runtime.export import onnx_model
from nnspec.runtime.session import Model, compile
from nnspec.spec.source import plain, read_file
from tests.published import filled, held, shape_of, spec_of
from tests.reference.fingerprint import compare, fill, image

FULL = bool(os.environ.get("NNSPEC_FULL"))
REFERENCE: dict[str, Any] = held("yolo")  # of each: what it answers to an image, and of some what their convolutions are called
WORKS = works()
KNOWN = [name for name in REFERENCE if name in WORKS]
TRANSPOSES = {"yolov8": 3, "yolov3": 3}  # of the image, of scores, of predictions
RENAMED = {"prototypes": "pictures"}
NAMED = [name for name in KNOWN if "names" in REFERENCE[name] and name != "Ultralytics yolov3"]  # which fills gigabytes


def table(name: str) -> str:
    return f"renames/{WORKS[name].spec.name.replace('_seg', '')}"


def roles(name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The role and shape of each weight that ultralytics saves of a network; what is no parameter here has no role."""
    found: dict[str, tuple[str, tuple[int, ...]]] = {"model.24.anchors": ("", (3, 3, 2))} if name.startswith("YOLOv5 original") else {}
    for layer, shape in REFERENCE[name]["names"].items():
        up, bins = layer.endswith("upsample"), layer.endswith("dfl.conv")
        n, role = shape[1 if up else 0], "convT_kernel" if up else "conv_kernel" if len(shape) == 4 else "dense_kernel"
        found[f"{layer}.weight"] = ("" if bins else role, tuple(shape))
        if layer.endswith(".conv") and not bins:
            norm = layer.removesuffix("conv") + "bn"
            words = {"weight": "bn_gamma", "bias": "bn_beta", "running_mean": "bn_mean", "running_var": "bn_var"}
            found |= {f"{norm}.{word}": (role, (n,)) for word, role in words.items()} | {f"{norm}.num_batches_tracked": ("", ())}
        elif not bins:
            found[f"{layer}.bias"] = ("bias", (n,))
    return found


def state_dict(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """What ultralytics saves of a network that is filled by rule."""

    def values(role: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        if not role:
            return np.zeros(shape)
        return fill(role, shape[::-1]).T if role == "dense_kernel" else fill(role, shape, conv_gain=REFERENCE[name]["conv_gain"])

    return {weight: values(role, shape) for weight, (role, shape) in roles(name).items()}


def loaded(name: str, folder: Path, **settings: Any) -> Model:
    """A network of the index with a file of its weights."""
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v) for k, v in state_dict(name).items()}, folder / "yolo.safetensors")
    weights = {"from": str(folder / "yolo.safetensors"), "layout": "torch", "rename": table(name)}
    return compile(spec_of(name, shape_of(REFERENCE[name]["input"])[1:], precision="float64", weights=weights, **settings))


def by_rule(name: str) -> Model:
    """A network of the index, filled by rule."""
    model = Model(spec_of(name, shape_of(REFERENCE[name]["input"])[1:], precision="float64"), start=False)
    network = model.spec.built.network
    gain = REFERENCE[name]["conv_gain"]
    model.restore({f"parameters/{path}": filled(network.nodes[p.layer]["leaf"], p, gain) for path, p in network.parameters.items()})
    return model


def answered(name: str, model: Model) -> dict[str, Any]:
    """What a network makes of the image that the reference was made with."""
    n, *shape = shape_of(REFERENCE[name]["input"])
    y = model.predict(image(n, *shape).transpose(0, 2, 3, 1), raw=True)
    return y if isinstance(y, dict) else {"logits": y}


@pytest.mark.parametrize("name", [n for n in KNOWN if "names" in REFERENCE[n]])
def test_the_table_of_a_family_brings_every_name_to_a_parameter_of_its_shape(name: str) -> None:
    network = spec_of(name).built.network
    pairs: dict[str, str | None] = plain(read_file(WORKS[name].spec.parent / table(name)))
    rules, flattened, found = tuple(Rule(Pattern(k), v) for k, v in pairs.items()), Flattened(network), set()
    for weight, (role, shape) in roles(name).items():
        own = rename(weight, rules, set())
        if not role:
            assert own is None or own.endswith("num_batches_tracked"), weight
            continue
        assert own is not None, weight
        layer, word = place_of(own, "torch")
        param = param_of(network.nodes[layer]["leaf"], word, "torch")
        assert param is not None and form(network.nodes[layer]["leaf"], param, "torch", flattened).shape == shape, weight
        found.add(f"{layer}/{param.name}")
    assert found == set(network.parameters)


@pytest.mark.parametrize("name", [n for n in NAMED if FULL or n != "Ultralytics yolov8n"])  # whose masks have the same table
def test_what_ultralytics_saves_is_loaded_by_the_table_of_its_family(name: str, tmp_path: Path) -> None:
    model = loaded(name, tmp_path)
    mine = by_rule(name)
    for path, values in model.parameters.items():
        np.testing.assert_array_equal(np.asarray(values), np.asarray(mine.parameters[path]), err_msg=path)


@cache
def answer(name: str) -> dict[str, Any]:
    return answered(name, by_rule(name))


@pytest.mark.parametrize("name", KNOWN if FULL else NAMED)
def test_a_filled_network_answers_as_ultralytics(name: str) -> None:
    y = answer(name)
    for output, recorded in REFERENCE[name]["outputs"].items():
        assert max(compare(recorded, y[RENAMED.get(output, output)]).values()) < 1e-9, output


@pytest.mark.parametrize("name", [n for n in (KNOWN if FULL else NAMED) if "kept" in REFERENCE[n]])
def test_the_boxes_that_are_kept_are_those_of_ultralytics(name: str) -> None:
    y = answer(name)
    n = int(y["count"][0])
    rows = np.concatenate([y["boxes"][0, :n], y["scores"][0, :n, None], y["labels"][0, :n, None]], axis=-1)
    assert n == REFERENCE[name]["kept"]["shape"][0]
    assert max(compare(REFERENCE[name]["kept"], rows).values()) < 1e-9
    assert not y["boxes"][0, n:].any() and not y["scores"][0, n:].any() and (y["labels"][0, n:] == -1).all()
    if "masks" in REFERENCE[name]:
        assert y["masks"][0].sum((1, 2)).tolist() == REFERENCE[name]["masks"] + [0] * (300 - n)


@pytest.mark.parametrize("name", [n for n in KNOWN if n != "Ultralytics yolov3"] if FULL else NAMED[:1])
def test_onnxruntime_answers_alike_with_few_transposes(name: str) -> None:
    ort = pytest.importorskip("onnxruntime", reason="ONNX's reference; install the extra 'test'")
    n, *shape = shape_of(REFERENCE[name]["input"])
    model, double = Model(spec_of(name, tuple(shape)), start=False), by_rule(name)
    model.restore({f"parameters/{path}": np.asarray(v).astype(np.float32) for path, v in double.parameters.items()})
    made = onnx_model(model, raw=True)
    assert sum(node.op_type == "Transpose" for node in made.graph.node) <= TRANSPOSES.get(WORKS[name].spec.stem, 7)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    x = image(n, *shape).transpose(0, 2, 3, 1)
    (fed,) = session.get_inputs()
    wanted = answered(name, double)
    for output, y in zip(session.get_outputs(), session.run(None, {fed.name: x.astype(np.float32)}), strict=True):
        exact = wanted[output.name] if output.name in wanted else wanted["logits"]
        np.testing.assert_allclose(y, exact, rtol=0, atol=1e-5 * max(np.abs(exact).max(), 1e-6), err_msg=output.name)


def test_no_box_is_kept_where_none_is_likely_enough() -> None:
    name = "Ultralytics yolov8n"
    spec = spec_of(name, (3, 64, 64), **{"vars.least": 0.999})
    y = Model(spec).predict(np.zeros((2, 64, 64, 3)), raw=True)
    assert y["count"].tolist() == [0, 0] and not y["boxes"].any()
