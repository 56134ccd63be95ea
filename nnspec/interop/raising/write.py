"""Items as a spec's text, with a file of weights beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.interop.raising.draft import Draft
from nnspec.interop.raising.tree import Branches, Call, Item, Layer
from nnspec.layers.layer import Entry as Declared
from nnspec.spec.write import REQUIRED, dump, flow

WIDTH, SHORT = 140, 60
LETTERS = "abcdefghijklmnopqrstuvwyz"


def text(draft: Draft, items: list[Item], outputs: list[str], blocks: Mapping[str, tuple[dict[str, Any], list[Item]]], name: str, weights: str,
         header: list[str]) -> str:  # fmt: skip
    """The whole spec."""
    tree: dict[str, Any] = {"nnspec": 1, "name": name}
    if any(e.fields.get("dtype") == "float64" for e in draft.inputs):
        tree["precision"] = "float64"
    tree["inputs"] = {e.name: {"shape": list(e.shape)} | ({"dtype": d} if (d := e.fields.get("dtype")) in ("int32", "int64", "bool") else {})
                      for e in draft.inputs}  # fmt: skip
    own = "".join(f"  {b}:\n" + (f"    args: {flow({k: REQUIRED if v is None else v for k, v in args.items()})}\n" if args else "")
                  + f"    layers:\n{listed(entries(body), '      ')}" for b, (args, body) in blocks.items())  # fmt: skip
    written = "".join(f"# {line}\n" for line in header) + dump(tree) + (f"blocks:\n{own}" if own else "") + "layers:\n" + listed(entries(items), "  ")
    after = ({"outputs": outputs} if outputs else {}) | ({"weights": weights} if weights else {})
    return written + (dump(after) if after else "")


def listed(values: list[Any], pad: str) -> str:
    """Entries one a line; what is longer is written out."""
    lines = []
    for value in values:
        if isinstance(value, list):
            short = flow(value)
            lines.append(f"{pad}- {short}\n" if len(short) < SHORT else f"{pad}- {listed(value, f'{pad}  ')[len(pad) + 2 :]}")
        elif isinstance(value, dict) and len(pad) + len(flow(value)) > WIDTH:
            ((kind, body),) = value.items()
            lines.append(f"{pad}- {kind}:\n" + (listed(body, f"{pad}    ") if isinstance(body, list) else mapped(body, f"{pad}    ")))
        else:
            lines.append(f"{pad}- {flow(value)[1:-1] if isinstance(value, dict) else flow(value)}\n")
    return "".join(lines)


def mapped(fields: dict[str, Any], pad: str) -> str:
    """Keys one a line."""
    lines = []
    for key, value in fields.items():
        short = flow(value)
        if isinstance(value, list) and value and len(pad) + len(key) + len(short) > WIDTH and not isinstance(value[0], int | float):
            lines.append(f"{pad}{key}:\n{listed(value, f'{pad}  ')}")
        else:
            lines.append(f"{pad}{key}: {short}\n")
    return "".join(lines)


def entries(items: list[Item]) -> list[Any]:
    return [entry(i) for i in items]


def entry(item: Item) -> Any:
    """One entry of a list, as short as it can be."""
    if isinstance(item, Branches):
        return branches(item)
    if isinstance(item, Call):
        return call(item)
    fields = dict(item.fields)
    if item.kind == "math":
        fields["formula"], source = formula(item)
    else:
        source = None if not item.reads else item.reads[0] if len(item.reads) == 1 else list(item.reads)
    return spelled(item.kind, {**({"name": item.name} if item.name else {}), **({"from": source} if source else {}), **fields},
                   Declared.registry[item.kind].primary)  # fmt: skip


def spelled(kind: str, fields: dict[str, Any], primary: str | None) -> Any:
    if not fields:
        return kind
    if primary is not None and list(fields) == [primary] and not isinstance(fields[primary], dict):
        return {kind: fields[primary]}
    return {kind: fields}


def formula(item: Layer) -> tuple[str, Any]:
    """A formula with names in place of its marks, and what they stand for."""
    written = item.fields["formula"]
    if not item.reads:
        return written.replace("{0}", "x"), None
    names = [LETTERS[i] for i in range(len(item.reads))]
    for i, name in enumerate(names):
        written = written.replace(f"{{{i}}}", name)
    return written, dict(zip(names, item.reads, strict=True))


def branches(item: Branches) -> Any:
    named = {"name": item.name} if item.name else {}
    if item.kind == "residual":
        body, shortcut = item.paths
        if not shortcut and not named:
            return {"residual": entries(body)}
        return {"residual": {**named, "layers": entries(body), **({"shortcut": entries(shortcut)} if shortcut else {})}}
    return {"branches": {**named, "merge": item.merge, "paths": [entries(p) for p in item.paths]}}


def call(item: Call) -> Any:
    given = {k: v for k, v in item.fields.items() if item.usual.get(k) is None or item.usual[k] != v}
    fields = {**({"name": item.name} if item.name else {}), **given}
    if item.lists:
        fields["repeat"] = item.lists
    elif (times := item.times or len(item.copies)) != 1:
        fields["repeat"] = times
    if item.kind in Declared.registry:
        return spelled(item.kind, fields, Declared.registry[item.kind].primary)
    return {item.kind: fields} if fields else item.kind
