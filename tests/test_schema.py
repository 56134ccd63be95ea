"""The JSON Schema: it accepts what the compiler accepts, and refuses what an editor can know to be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry
from nnspec.network.entry import STRUCTURES
from nnspec.spec.blocks import COMMON
from nnspec.spec.load import PARTS
from nnspec.spec.schema import schema
from nnspec.spec.schema_types import required
from nnspec.spec.settings import Settings
from nnspec.spec.source import plain, read
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.schedules import Schedule
from tests.drawn import specs

jsonschema = pytest.importorskip("jsonschema", reason="install the extra 'test'")
ROOT = Path(__file__).resolve().parent.parent
SPECS = sorted(
    [*specs(), *(ROOT / "nnspec" / "cli" / "templates").glob("*.yaml")]
)
VALIDATOR = jsonschema.Draft7Validator(schema())
MINIMAL = {"nnspec": 1, "inputs": {"x": {"shape": [3]}}}
FULL = """\
nnspec: 1
name: full
vars: {w: 3}
data:
  csv: {path: x.csv, target: y}
  columns: {a: number, b: {number: {missing: median}}, c: {category: {classes: [p, q]}}, d: drop}
  split: {train: 0.8, validation: 0.2, stratify: c}
  prepare: [standardize: [a, b], rescale: {scale: 0.5}]
inputs: {n: {columns: [a, b]}, c: {columns: c}, image: {shape: [height, 8, $w], dtype: float32}}
blocks:
  unit: {args: {filters: required, stride: 1}, layers: [conv2d: {filters: $filters, stride: $stride}, relu]}
  short: [relu]
layers:
  - conv2d: {filters: $w, kernel: [3, $w], padding: [1, 0, 1, 0], activation: {leaky_relu: 0.2}, name: first}
  - conv2d: {kernel: 3, padding: 1, repeat: {filters: [4, 8]}}
  - unit: {repeat: {filters: [8, 16], stride: [1, 2]}}
  - short
  - residual: [dense: 3]
  - residual: {layers: [dense: $(2 * w)], shortcut: []}
  - branches: {merge: {concat: 0}, paths: [[], [relu]], when: $w}
  - concat: {from: [first, n], axis: -1}
  - dropout: $(0.1 * w)
  - dense: {units: 4, init: {kernel: he_normal, bias: 0.1}, trainable: false}
  - dense: {units: 2, init: {kernel: [[1, 2], [3, 4]]}}
outputs: [first]
loss: [cross_entropy: {from: first, target: y, weight: 0.5}, mse]
metrics: {accuracy: , top_k: 2}
optimizer: {adamw: {learning_rate: 1e-3, weight_decay: {rate: 0.01, only: kernels}, clip_norm: 1}}
schedule: {cosine: {warmup: 500 steps, minimum: 1e-5}}
early_stopping: {watch: validation.loss, patience: 3}
checkpoint: best
epochs: $(2 * w)
precision: float64
memory: 1.5 GiB
expect: {parameters: [">= 3", "<= 1k"], memory: "<= 1MB", validation.accuracy: 0.5, train.loss: "<= $w"}
sweep: {over: {vars.w: [1, 2], optimizer.adamw.learning_rate: {log: [1e-4, 0.1]}, epochs: {linear: [1, $w]}}, trials: 5, minimize: train.loss}
x-note: {anything: [1, 2]}
"""


def lists(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: lists(inner) for key, inner in value.items()}
    return [lists(inner) for inner in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def problems(spec: Any) -> list[str]:
    return [f"{e.json_path}: {e.message}"[:300] for e in VALIDATOR.iter_errors(spec)]


def test_the_schema_is_one_of_draft_7() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    json.dumps(schema(), allow_nan=False)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_shipped_spec_is_valid(path: Path) -> None:
    assert problems(lists(plain(read(path.read_text("utf-8"), path.name)))) == []


def test_a_spec_of_everything_is_valid() -> None:
    assert problems(lists(plain(read(FULL, "full.yaml")))) == []


def test_every_key_at_the_top_is_known() -> None:
    assert set(schema()["properties"]) == {*Settings.model_fields, *PARTS}


def test_structures_and_the_keys_of_all_entries_are_those_of_the_walk() -> None:
    entry = schema()["definitions"]["entry"]["anyOf"][0]["properties"]
    assert set(entry) == {*Entry.registry, *STRUCTURES}
    dense = entry["dense"]["anyOf"][0]["properties"]
    assert set(dense) == {*COMMON, *Entry.registry["dense"].model_fields}
    for kind, keys in STRUCTURES.items():
        ways = entry[kind].get("anyOf", [entry[kind]])
        assert set(ways[-1]["properties"]) == {*keys, *COMMON}


@pytest.mark.parametrize("kind", [k for k, cls in Entry.registry.items() if not required(cls)])
def test_a_layer_that_needs_nothing_may_stand_alone(kind: str) -> None:
    assert problems({**MINIMAL, "layers": [kind]}) == []


@pytest.mark.parametrize("kind", Activation.activations)
def test_every_activation_is_a_value(kind: str) -> None:
    assert problems({**MINIMAL, "layers": [{"dense": {"units": 2, "activation": kind}}]}) == []


@pytest.mark.parametrize(
    ("key", "family"), [("loss", Loss), ("optimizer", Optimizer), ("schedule", Schedule), ("metrics", Metric)]
)
def test_every_member_of_a_family_is_a_value(key: str, family: Any) -> None:
    for kind, cls in family.registry.items():
        if not required(cls):
            assert problems({**MINIMAL, "layers": ["relu"], key: kind}) == []


WRONG = [
    "Dense",
    "conv2d",
    {"Linear": 3},
    {"lstm": 4},
    {"dense": -1},
    {"dense": {"unts": 3}},
    {"dense": {"units": 2.5}},
    {"dense": {"units": 3, "activation": "ReLU"}},
    {"conv2d": {"filters": 3, "padding": "sam"}},
    {"dense": 3, "relu": None},
    {"residual": {"layer": []}},
    {"branches": {"paths": [[]]}},
]


@pytest.mark.parametrize("entry", WRONG, ids=str)
def test_a_wrong_entry_is_refused(entry: Any) -> None:
    assert problems({**MINIMAL, "layers": [entry]})


@pytest.mark.parametrize(
    "part",
    [
        {"nnspec": 2},
        {"epoch": 3},
        {"epochs": "many"},
        {"batch_size": 0},
        {"loss": "crossentropy"},
        {"optimizer": {"adam": {"lr": 0.1}}},
        {"data": "iriss"},
        {"data": {"digits": {}, "iris": {}}},
        {"data": {"csv": {}}},
        {"inputs": {"x": {"shap": [3]}}},
        {"layers": []},
        {"early_stopping": {"patience": 0}},
        {"expect": {"parameters": True}},
        {"expect": ["parameters"]},
        {"sweep": {"trials": 3}},
        {"sweep": {"over": {"seed": 3}}},
        {"sweep": {"over": {"seed": {"uniform": [1, 2]}}, "trials": 3}},
        {"sweep": {"over": {"seed": [1, 2]}, "trial": 3}},
    ],
    ids=str,
)
def test_a_wrong_part_is_refused(part: dict[str, Any]) -> None:
    assert problems({**MINIMAL, "layers": ["relu"], **part})


@pytest.mark.parametrize("data", [
    "{csv: {path: {train: a, test: b}}}", "{idx: {image: {train: a, test: b}, label: c, target: label}}", "{parquet: a.parquet}",
    "{image_folder: {path: a, size: [4, 4], channels: gray}}", "{image_folder: {train: a, test: b}}",
    "{files: {image: 'a/*', mask: {path: 'b/*', as: labels, classes: {a: 0}}, target: mask}}", "{files: {image: {train: a, test: b}}}",
    "{csv: a.csv, columns: {photo: {image: {size: 8, root: b}}}}",
])  # fmt: skip
def test_sources_of_files_fit(data: str) -> None:
    assert not problems({**MINIMAL, "layers": ["relu"], "data": json.loads(json.dumps(plain(read(data, "data"))))})


@pytest.mark.parametrize("data", ["{idx: {}}", "{idx: a}", "{idx: {path: a}}", "{csv: {path: {tran: a}}}", "{image_folder: {path: a, sise: 3}}",
                                  "{files: {image: {path: a, as: pixels}}}"])  # fmt: skip
def test_wrong_sources_of_files_do_not_fit(data: str) -> None:
    assert problems({**MINIMAL, "layers": ["relu"], "data": json.loads(json.dumps(plain(read(data, "data"))))})


@pytest.mark.parametrize("schedule", ["[constant: 100, {linear: {to: 0, length: 500 steps}}, {epochs: 10, trainable: [a/b], learning_rate: 1e-5}]",
                                      "{plateau: {watch: train.loss, patience: 3}}", "[{cosine: {minimum: 0.1}, length: 3 steps, trainable: 'a*'}]",
                                      "{multistep: {at: [3, 500 steps]}}"])  # fmt: skip
def test_schedules_and_stretches_fit(schedule: str) -> None:
    assert not problems(lists(plain(read(f"nnspec: 1\nlayers: [relu]\nschedule: {schedule}", "spec"))))


@pytest.mark.parametrize("schedule", ["[]", "[{epoch: 3}]", "[{epochs: 3, trainable: 5}]", "[{epochs: 0}]", "{plateau: {factor: 1}}", "[5]"])
def test_wrong_schedules_and_stretches_do_not_fit(schedule: str) -> None:
    assert problems(lists(plain(read(f"nnspec: 1\nlayers: [relu]\nschedule: {schedule}", "spec"))))


def members(schema_: Any) -> Any:
    """Every kind of every family with what may stand after it."""
    definitions = schema_["definitions"]
    yield from (("layers", kind, way) for kind, way in definitions["entry"]["anyOf"][0]["properties"].items())
    for family in ("loss", "metric", "optimizer", "schedule"):
        yield from ((family, kind, way) for kind, way in definitions[family]["anyOf"][0]["anyOf"][0]["properties"].items())


def test_every_kind_is_described_and_its_example_fits() -> None:
    wrong = []
    for family, kind, way in members(schema()):
        assert way["description"], kind
        assert "```yaml\n" in way["markdownDescription"], kind
        entry = {kind: way["examples"][0]} if "examples" in way else kind
        if kind in ("residual", "branches"):
            continue
        spec = {"layers": [entry]} if family == "layers" else {"layers": ["relu"], {"metric": "metrics"}.get(family, family): entry}
        wrong += [(family, entry)] if problems({**MINIMAL, **spec}) else []
    assert wrong == []


def test_every_key_is_described() -> None:
    whole = schema()
    assert [key for key, value in whole["properties"].items() if not value.get("description")] == []
    missing = []
    for family, kind, way in members(whole):
        body = next((w for w in way.get("anyOf", [way]) if w.get("type") == "object"), {})
        for key, value in body.get("properties", {}).items():
            said = whole["definitions"].get(value.get("$ref", "").rsplit("/", 1)[-1], {}).get("description") or value.get("description")
            missing += [] if said else [f"{family}.{kind}.{key}"]
    assert missing == []
