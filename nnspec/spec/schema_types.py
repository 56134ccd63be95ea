"""The type of a setting's value as JSON Schema: what pydantic reads, with the short forms that stand for it."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from nnspec.data.column import SPLITS
from nnspec.data.source_kinds import FileColumn, parse_paths
from nnspec.layers.activations import Activation
from nnspec.layers.windows import Ends
from nnspec.spec.expect import parse_bounds, parse_bytes
from nnspec.spec.model import Config
from nnspec.spec.settings import Checkpoint, EarlyStopping
from nnspec.spec.sweep import SCALES, parse_axis
from nnspec.spec.transfer import Renames, Weights
from nnspec.training.optimizers import WeightDecay
from nnspec.training.schedules import Span

Schema = dict[str, Any]

FORMULA: Schema = {"type": "string", "pattern": r"\$", "description": "a formula: $name or $(expression)"}
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
BOUNDS = ((Ge, "ge", "minimum"), (Gt, "gt", "exclusiveMinimum"), (Le, "le", "maximum"), (Lt, "lt", "exclusiveMaximum"))
# the field that a bare value sets
SHORT: Mapping[type[Config], str] = {
    EarlyStopping: "patience", Checkpoint: "keep", WeightDecay: "rate", Weights: "from", FileColumn: "path",
}  # fmt: skip


def fields(cls: type[Config]) -> Schema:
    """Each field's schema by its key in a spec."""
    return {field.alias or name: formula(_field(field)) for name, field in cls.model_fields.items()}


def required(cls: type[Config]) -> list[str]:
    return [field.alias or name for name, field in cls.model_fields.items() if field.is_required()]


def _field(field: FieldInfo) -> Schema:
    own = typed(field.annotation, tuple(field.metadata))
    default = field.get_default()
    plain = isinstance(default, bool | int | float | str) and not field.is_required()
    return {**own, "default": default} if plain and "$ref" not in own else own


def typed(of: Any, metadata: tuple[Any, ...] = ()) -> Schema:
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
        return any_of({"type": "string", "minLength": 1}, typed(of))
    if origin is Annotated:
        return typed(args[0], (*args[1:], *metadata))
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return any_of(*(typed(a, metadata if a is not type(None) else ()) for a in args))
    if origin is tuple:
        return _tuple(args, metadata)
    if origin is dict:
        return {"type": "object", "additionalProperties": typed(args[1])}
    if isinstance(of, type) and issubclass(of, Activation):
        return {"$ref": "#/definitions/activation"}
    if isinstance(of, type) and issubclass(of, Config):
        body = {**closed(fields(of)), "required": required(of), "description": cleandoc(of.__doc__ or "")}
        return any_of(fields(of)[SHORT[of]], body) if of in SHORT else body
    return _bounded(dict(PLAIN[of]), metadata)


def _tuple(args: tuple[Any, ...], metadata: tuple[Any, ...]) -> Schema:
    """A list; of equal parts and with a validator before it, one value stands for all."""
    item = formula(typed(args[0]))
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
