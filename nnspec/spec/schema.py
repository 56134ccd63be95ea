"""The language as JSON Schema (draft 7), made from the models that check it; for completion and checks in an editor.

What a schema cannot know it lets pass: names of blocks and of entries, and whatever a formula gives.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from inspect import cleandoc
from typing import Any, get_args

import nnspec.layers  # noqa: F401  # registers every layer
from nnspec.data import config as data
from nnspec.data.augment import Augmentation
from nnspec.data.source_kinds import Source
from nnspec.layers.activations import Activation
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry
from nnspec.spec.blocks import COMMON, MODES, SCALED
from nnspec.spec.described import described, example
from nnspec.spec.load import ALIEN
from nnspec.spec.model import Kind
from nnspec.spec.schema_types import FORMULA, PLAIN, Schema, any_of, closed, fields, formula, one_or_more, required, typed
from nnspec.spec.settings import Settings
from nnspec.spec.transfer import Weights
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.schedules import Schedule
from nnspec.training.stretches import Stretch

KEY = "every-entry-"  # in names of definitions
DRAFT = "http://json-schema.org/draft-07/schema#"
NAME: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$", "maxLength": 100}
READ: Schema = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$"}  # name, or name.output
VARIABLE: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 100}
RESIDUAL = """What the layers make of the input, plus the input, or what `shortcut` makes of it.

```yaml
- residual: {layers: [dense: 64], shortcut: [dense: 64]}
```"""
BRANCHES = """Paths side by side over one input, then merged.

```yaml
- branches: {merge: concat, paths: [[], [dense: 64]]}
```"""
STRUCTURES: Schema = {"residual": {"layers": ["$1"]}, "branches": {"merge": "concat", "paths": [["$1"], ["$2"]]}}  # as an editor writes them
FAMILIES: Mapping[str, type[Kind]] = {
    "activation": Activation, "initializer": Initializer, "loss": Loss, "metric": Metric, "optimizer": Optimizer,
    "schedule": Schedule, "column": data.ColumnKind, "prepare": data.Prepare, "augmentation": Augmentation,
}  # fmt: skip


def schema() -> Schema:
    """The schema of a whole spec."""
    return {
        "$schema": DRAFT,
        "title": "nnspec",
        "description": "A neural network, its data and its training.",
        "type": "object",
        "required": ["nnspec", "layers"],
        "properties": described({**fields(Settings), **_parts()}),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "definitions": {**_families(), **_layers(), **_common(), "formula": FORMULA},
    }


def _parts() -> Schema:
    names = one_or_more(formula(NAME))
    layers = {"$ref": "#/definitions/layers"}
    loss, metric = several("loss"), several("metric")
    axis = formula({"anyOf": [{"type": "integer", "minimum": 1}, NAME]})
    columns = one_or_more(formula(PLAIN[str]))
    source = closed({"shape": formula(one_or_more(axis)), "dtype": formula({"enum": ["float32", "int32", "int64"]}), "columns": columns})
    single = any_of(closed(source["properties"], ["shape"]), {"type": "array", "items": axis})  # the one input, without its name
    variables = {"type": "object", "propertyNames": VARIABLE, "description": "names for formulas"}
    block = closed({
        "args": {"type": "object", "propertyNames": VARIABLE, "description": "name: default, or required"},
        "vars": {**variables, "description": "names for its formulas, in place of the spec's"},
        "inputs": names, "outputs": any_of(names, {"type": "object", "propertyNames": NAME, "additionalProperties": READ}),
        "layers": layers, "description": PLAIN[str],
    }, ["layers"])  # fmt: skip
    return {
        "vars": variables,
        "include": one_or_more(PLAIN[str]),
        "blocks": {"type": "object", "propertyNames": NAME, "additionalProperties": any_of(block, layers)},
        "data": formula(_data()),
        "inputs": formula(any_of({"type": "object", "propertyNames": NAME, "additionalProperties": source}, single)),
        "layers": {"allOf": [layers], "minItems": 1},
        "outputs": one_or_more(formula(READ)),
        "loss": loss,
        "metrics": metric,
        "optimizer": {"$ref": "#/definitions/optimizer"},
        "schedule": any_of({"$ref": "#/definitions/schedule"}, {"type": "array", "items": _stretch(), "minItems": 1}),
        "weights": formula(typed(Weights)),
        "networks": {"type": "object", "propertyNames": NAME, "additionalProperties": any_of(PLAIN[str], *_networks())},
    }


def _stretch() -> Schema:
    """One of a list of schedules, with its own keys."""
    mapping, alone, *_ = _family("schedule", Schedule)["anyOf"][0]["anyOf"]
    body = closed({**mapping["properties"], **fields(Stretch)})
    return any_of(alone, {**body, "minProperties": 1, "description": cleandoc(Stretch.__doc__ or "")})


def _networks() -> tuple[Schema, Schema]:
    """A network from a file, and one that is written out."""
    said = {"until": PLAIN[str], "trainable": formula(PLAIN[bool]), "weights": typed(Weights), "description": PLAIN[str]}
    part = {key: {"$ref": f"#/properties/{key}"} for key in ("inputs", "vars", "blocks", "layers", "outputs", "networks")}
    file = {"spec": PLAIN[str], **{key: part[key] for key in ("vars", "inputs")}, **said}
    return closed(file, ["spec"]), closed({**part, "data": {"type": "object"}, **said}, ["layers"])


def _data() -> Schema:
    sources = Source.registry
    columns = {"type": "object", "additionalProperties": {"$ref": "#/definitions/column"}}
    body = closed({
        **{name: member(cls, {}) for name, cls in sources.items()},
        "columns": columns, "split": closed(fields(data.Split)), **fields(data.Loading),
        "augment": {"type": "array", "items": {"$ref": "#/definitions/augmentation"}},
        "prepare": {"type": "array", "items": {"$ref": "#/definitions/prepare"}},
    })  # fmt: skip
    body["oneOf"] = [{"required": [name]} for name in sources]
    return any_of({"enum": [name for name, cls in sources.items() if not required(cls)]}, body)


def _families() -> Schema:
    """A definition for each family of which a spec chooses one."""
    return {name: _family(name, family) for name, family in FAMILIES.items()}


def _family(name: str, family: type[Kind]) -> Schema:
    term: Schema = {}
    if name in ("loss", "metric"):
        weight = any_of(formula(PLAIN[float]), {"$ref": "#/definitions/schedule"})
        target = any_of(one_or_more(PLAIN[str]), PLAIN[float])
        term = described({"name": formula(NAME), "from": PLAIN[str], "target": target, "weight": weight}, "term")
    members = family.activations if issubclass(family, Activation) else family.registry
    chosen = choice(members, {k: v for k, v in term.items() if name == "loss" or k != "weight"})
    return any_of(chosen, {"$ref": "#/definitions/formula"}, *(_of_a_block(members) if name in ("activation", "loss", "metric") else ()))


def _of_a_block(members: Collection[str]) -> tuple[Schema, Schema]:
    """A block of the spec's own, by name alone or with its arguments: any name that is not known to be something else."""
    own: Schema = {"allOf": [NAME, {"not": {"enum": sorted({*ALIEN, *members})}}]}
    return own, {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": own}


def _layers() -> Schema:
    """Lists of entries, the entries themselves, and the keys that each of them has."""
    layers = {"$ref": "#/definitions/layers"}
    common = {key: {"$ref": f"#/definitions/{KEY}{key}"} for key in COMMON}
    residual = {**any_of(layers, closed({**described({"layers": layers, "shortcut": layers}), **common}, ["layers"])), **said(RESIDUAL)}
    merge = any_of({"enum": ["add", "multiply", "average", "maximum", "concat", "none"]}, {"type": "object"}, FORMULA)
    paths = formula({"type": "array", "items": layers, "minItems": 1})
    branches = {**closed({**described({"paths": paths, "merge": merge}), **common}, ["paths", "merge"]), **said(BRANCHES)}
    kinds = {**choice(Entry.registry, common)["anyOf"][0]["properties"], "residual": residual, "branches": branches}
    own = {"not": {"enum": sorted(ALIEN)}}  # any other name may be a block's
    names = [kind for kind, cls in Entry.registry.items() if not required(cls)]
    words = {"enum": names, "enumDescriptions": [kinds[name]["description"] for name in names]}
    alone = any_of(words, {"allOf": [NAME, own, {"not": {"enum": list(kinds)}}]})
    kinds |= {name: {**kinds[name], "doNotSuggest": True} for name in (*names, *STRUCTURES)}  # suggested as words, and as a snippet
    entry = {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": kinds,
             "propertyNames": {"allOf": [NAME, own]}, "additionalProperties": {}, "defaultSnippets": _snippets(kinds)}  # fmt: skip
    return {"layers": {"type": "array", "items": {"$ref": "#/definitions/entry"}}, "entry": any_of(entry, alone)}


def _snippets(kinds: Schema) -> list[Schema]:
    """What an editor writes for a structure."""
    return [{"label": kind, "description": kinds[kind]["description"], "body": {kind: body}} for kind, body in STRUCTURES.items()]


def _common() -> Schema:
    """The keys that every entry has."""
    count = formula({"type": "integer", "minimum": 0})
    value = any_of({"$ref": "#/definitions/initializer"}, PLAIN[float], {"type": "array"})
    keys: Schema = {
        "name": NAME,
        "from": any_of(formula(one_or_more(PLAIN[str])), {"type": "object", "additionalProperties": formula(PLAIN[str])}),
        "repeat": any_of(count, {"type": "object", "properties": {"times": count, "as": NAME, "share": PLAIN[bool]}, "minProperties": 1}),
        "when": formula(PLAIN[bool]),
        "trainable": formula(PLAIN[bool]),
        "init": any_of(value, {"type": "object", "additionalProperties": value}),
        "only": formula({"enum": list(MODES)}),
        "share": formula(PLAIN[str]),
        "regularize": {"type": "object", "additionalProperties": closed({"l1": formula(PLAIN[float]), "l2": formula(PLAIN[float])})},
        "learning_rate": any_of(formula(PLAIN[float]), {"type": "string", "pattern": SCALED}),
    }
    return {f"{KEY}{key}": value for key, value in described(keys, "entry").items()}


def choice(members: Mapping[str, type[Kind]], common: Schema) -> Schema:
    """``name``, ``name: primary`` or ``name: {fields}``."""
    alone = [name for name, cls in members.items() if not required(cls)]
    properties = {name: member(cls, common) for name, cls in members.items()}
    return any_of({**closed(properties), "minProperties": 1, "maxProperties": 1}, {"enum": alone})


def several(family: str) -> Schema:
    """One of a family, a list, or a mapping of several."""
    one = {"$ref": f"#/definitions/{family}"}
    return any_of(one, {"type": "array", "items": one}, {"type": "object", "minProperties": 2})


def member(cls: type[Kind], common: Schema) -> Schema:
    """What stands after ``kind:``."""
    own = described(fields(cls), cls.kind, _family_of(cls))
    body = closed({**own, **common})
    if cls.model_config.get("extra") == "allow":  # keys of any name
        body["additionalProperties"] = typed(get_args(cls.__annotations__["__pydantic_extra__"])[1])
        body["minProperties"] = 1
        body["propertyNames"] = {"not": {"enum": ["path", "columns"]}}
    if (needed := required(cls)) and "repeat" in common:
        body["anyOf"] = [{"required": needed}, {"required": ["repeat"]}]  # a repeat may give the field, copy by copy
    elif needed:
        body["required"] = needed
    ways = [body] if needed else [body, PLAIN[type(None)]]
    if cls.primary is not None:
        ways.append(own[cls.primary])
    given = example(cls.kind, cls.primary, needed, _family_of(cls))
    shown = f"\n\n```yaml\n{_written(cls.kind, given)}\n```" if given is not None or not needed else ""
    return {**any_of(*ways), **said(cleandoc(cls.__doc__ or "") + shown), **({"examples": [given]} if given is not None else {})}


def said(text: str) -> Schema:
    """A description: its first paragraph as plain text, all of it as Markdown."""
    return {"description": text.split("\n\n")[0].replace("``", "`"), "markdownDescription": text}


def _family_of(cls: type[Kind]) -> str:
    """What family a kind is of; of layers none, which every word is about."""
    return "" if issubclass(cls, Entry) else next((name for name, family in FAMILIES.items() if issubclass(cls, family)), "")


def _written(kind: str, value: Any) -> str:
    """An example as YAML."""
    flow = json.dumps(value).replace('"', "") if not isinstance(value, str) else f'"{value}"' if "," in value or "*" in value else value
    return kind if value is None else f"{kind}: {flow}"
