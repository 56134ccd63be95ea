"""The language as JSON Schema (draft 7), made from the models that check it; for completion and checks in an editor.

What a schema cannot know it lets pass: names of blocks and of entries, and whatever a formula gives.
"""

from __future__ import annotations

import json
import types
from collections.abc import Collection, Iterable, Mapping
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

import nnspec.layers  # noqa: F401  # registers every layer
from nnspec.data import config as data
from nnspec.data.augment import Augmentation
from nnspec.data.column import SPLITS
from nnspec.data.source_kinds import FileColumn, Source, parse_paths
from nnspec.layers.activations import Activation
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry
from nnspec.layers.windows import Ends
from nnspec.spec.blocks import COMMON, MODES, SCALED
from nnspec.spec.described import described, example
from nnspec.spec.expect import parse_bounds, parse_bytes
from nnspec.spec.load import ALIEN
from nnspec.spec.model import Config, Kind
from nnspec.spec.settings import Checkpoint, EarlyStopping, Settings
from nnspec.spec.sweep import SCALES, parse_axis
from nnspec.spec.transfer import Renames, Weights
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer, WeightDecay
from nnspec.training.schedules import Schedule, Span
from nnspec.training.stretches import Stretch

Schema = dict[str, Any]

KEY = "every-entry-"  # in names of definitions
DRAFT = "http://json-schema.org/draft-07/schema#"
FORMULA: Schema = {"type": "string", "pattern": r"\$", "description": "a formula: $name or $(expression)"}
NAME: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_-]*$", "maxLength": 100}
READ: Schema = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)?$"}  # name, or name.output
VARIABLE: Schema = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 100}
PLAIN: Mapping[Any, Schema] = {
    int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"}, str: {"type": "string"},
    type(None): {"type": "null"}, Any: {},
    Span: {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": r"^\d{1,12} (steps?|epochs?)$"}],
           "description": "epochs, or '500 steps'"},
}  # fmt: skip
BOUND: Schema = {"anyOf": [{"type": ["number", "string"]}, {"type": "array", "items": {"type": ["number", "string"]}, "minItems": 1}],
                 "description": "'<= 1e5', with <=, >=, <, > or =="}  # fmt: skip
BYTES: Schema = {"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": r"^\s*[+0-9.].*$",
                 "description": "512MB or 1.5GiB: the most that a training step may take; what is cheap is made twice until it fits"}  # fmt: skip
ENDS: Schema = {"type": "array", "items": {"type": ["number", "string"]}, "minItems": 2, "maxItems": 2}
AXIS: Schema = {"anyOf": [{"type": "array", "minItems": 1}, *(
    {"type": "object", "properties": {scale: ENDS}, "required": [scale], "additionalProperties": False} for scale in SCALES)]}  # fmt: skip
RESIDUAL = """What the layers make of the input, plus the input, or what `shortcut` makes of it.

```yaml
- residual: {layers: [dense: 64], shortcut: [dense: 64]}
```"""
BRANCHES = """Paths side by side over one input, then merged.

```yaml
- branches: {merge: concat, paths: [[], [dense: 64]]}
```"""
STRUCTURES: Schema = {"residual": {"layers": ["$1"]}, "branches": {"merge": "concat", "paths": [["$1"], ["$2"]]}}  # as an editor writes them
BOUNDS = ((Ge, "ge", "minimum"), (Gt, "gt", "exclusiveMinimum"), (Le, "le", "maximum"), (Lt, "lt", "exclusiveMaximum"))
# the field that a bare value sets
SHORT: Mapping[type[Config], str] = {
    EarlyStopping: "patience", Checkpoint: "keep", WeightDecay: "rate", Weights: "from", FileColumn: "path",
}  # fmt: skip
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
        "weights": formula(_typed(Weights)),
        "networks": {"type": "object", "propertyNames": NAME, "additionalProperties": any_of(PLAIN[str], *_networks())},
    }


def _stretch() -> Schema:
    """One of a list of schedules, with its own keys."""
    mapping, alone, *_ = _family("schedule", Schedule)["anyOf"][0]["anyOf"]
    body = closed({**mapping["properties"], **fields(Stretch)})
    return any_of(alone, {**body, "minProperties": 1, "description": cleandoc(Stretch.__doc__ or "")})


def _networks() -> tuple[Schema, Schema]:
    """A network from a file, and one that is written out."""
    said = {"until": PLAIN[str], "trainable": formula(PLAIN[bool]), "weights": _typed(Weights), "description": PLAIN[str]}
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
        body["additionalProperties"] = _typed(get_args(cls.__annotations__["__pydantic_extra__"])[1])
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


def fields(cls: type[Config]) -> Schema:
    """Each field's schema by its key in a spec."""
    return {field.alias or name: formula(_field(field)) for name, field in cls.model_fields.items()}


def required(cls: type[Config]) -> list[str]:
    return [field.alias or name for name, field in cls.model_fields.items() if field.is_required()]


def _field(field: FieldInfo) -> Schema:
    own = _typed(field.annotation, tuple(field.metadata))
    default = field.get_default()
    plain = isinstance(default, bool | int | float | str) and not field.is_required()
    return {**own, "default": default} if plain and "$ref" not in own else own


def _typed(of: Any, metadata: tuple[Any, ...] = ()) -> Schema:
    """The schema of a type as pydantic reads it, with the short forms that a validator before it takes."""
    origin, args = get_origin(of), get_args(of)
    for m in metadata:
        if isinstance(ends := getattr(m, "func", None), Ends):
            return _ends(ends)
    if any(getattr(m, "func", None) is parse_bounds for m in metadata):
        return BOUND
    if any(getattr(m, "func", None) is parse_bytes for m in metadata):
        return BYTES
    if any(getattr(m, "func", None) is parse_axis for m in metadata):
        return AXIS
    if any(getattr(m, "func", None) is parse_paths for m in metadata):
        return any_of({"type": "string", "minLength": 1}, closed(dict.fromkeys(SPLITS, PLAIN[str]), ["train"]))
    if any(isinstance(m, Renames) for m in metadata):
        return any_of({"type": "string", "minLength": 1}, _typed(of))
    if origin is Annotated:
        return _typed(args[0], (*args[1:], *metadata))
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return any_of(*(_typed(a, metadata if a is not type(None) else ()) for a in args))
    if origin is tuple:
        return _tuple(args, metadata)
    if origin is dict:
        return {"type": "object", "additionalProperties": _typed(args[1])}
    if isinstance(of, type) and issubclass(of, Activation):
        return {"$ref": "#/definitions/activation"}
    if isinstance(of, type) and issubclass(of, Config):
        body = {**closed(fields(of)), "required": required(of), "description": cleandoc(of.__doc__ or "")}
        return any_of(fields(of)[SHORT[of]], body) if of in SHORT else body
    return _bounded(dict(PLAIN[of]), metadata)


def _tuple(args: tuple[Any, ...], metadata: tuple[Any, ...]) -> Schema:
    """A list; of equal parts and with a validator before it, one value stands for all."""
    item = formula(_typed(args[0]))
    if len(args) == 2 and args[1] is Ellipsis:
        least = next((m.min_length for m in metadata if isinstance(m, MinLen)), 0)
        many = {"type": "array", "items": item, "minItems": least}
        return any_of(item, many) if any(isinstance(m, BeforeValidator) for m in metadata) else many
    fixed = {"type": "array", "items": item, "minItems": len(args), "maxItems": len(args)}
    return any_of(item, fixed)


def _ends(ends: Ends) -> Schema:
    """Padding and its kin: a word, a number for all, or one an end."""
    side = formula({"type": "integer", "minimum": 0})
    every = {"type": "array", "items": side, "minItems": 2 * ends.axes, "maxItems": 2 * ends.axes}
    return any_of(*([{"enum": list(ends.words)}] if ends.words else []), side, every)


def _bounded(plain: Schema, metadata: Iterable[Any]) -> Schema:
    for m in metadata:
        for kind, attribute, word in BOUNDS:
            if isinstance(m, kind):
                plain[word] = getattr(m, attribute)
        if isinstance(m, MinLen):
            plain["minLength"] = m.min_length
        if isinstance(m, MaxLen):
            plain["maxLength"] = m.max_length
        if pattern := getattr(m, "pattern", None):
            plain["pattern"] = pattern
        for inner in getattr(m, "metadata", ()):  # what Field(...) inside of Annotated holds
            plain = _bounded(plain, [inner])
    return plain


def any_of(*ways: Schema) -> Schema:
    return {"anyOf": list(ways)} if len(ways) > 1 else ways[0]


def one_or_more(item: Schema) -> Schema:
    return any_of(item, {"type": "array", "items": item})


def formula(value: Schema) -> Schema:
    """A value, or a formula that gives it."""
    if value in ({}, PLAIN[str]) or value.get("$ref", "").startswith("#/definitions/"):
        return value
    return any_of(value, {"$ref": "#/definitions/formula"})


def closed(properties: Schema, needed: Iterable[str] = ()) -> Schema:
    """A mapping with these keys and no others."""
    more = {"required": list(needed)} if needed else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}
