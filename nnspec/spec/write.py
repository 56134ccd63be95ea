"""A document as YAML in its canonical spelling: short forms expanded, overrides and included blocks worked in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from nnspec.data.augment import Augmentation
from nnspec.data.config import ColumnKind, Prepare
from nnspec.data.source_kinds import Source as DataSource
from nnspec.errors import Place, Source
from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry
from nnspec.spec.blocks import Block
from nnspec.spec.explain import fields_of
from nnspec.spec.formulas import is_formula, substitute
from nnspec.spec.load import Document, named
from nnspec.spec.model import Kind
from nnspec.spec.networks import Subnetwork
from nnspec.spec.overrides import SHORT
from nnspec.spec.scalars import resolve
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, literal, plain
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.schedules import Schedule

WIDTH = 110


class _Marker(str):
    """A word that means itself, where a text that is spelled alike stands in quotes."""


REQUIRED = _Marker("required")
Tree = Any  # plain values: dicts, lists, scalars


def write(doc: Document) -> str:
    """The whole spec; what it says needs no other file but the data's."""
    out: dict[str, Tree] = {}
    pairs = doc.root.pairs
    for key in ("nnspec", "name", *(k for k in pairs if k not in ("nnspec", "name"))):
        if key == "name":
            out["name"] = _fixed(doc.settings.name)
        elif key == "include":
            continue
        elif key in pairs:
            out[key] = _part(key, pairs[key], doc)
    if doc.blocks:
        out["blocks"] = {name: _block(b, doc.blocks) for name, b in doc.blocks.items() if name in doc.used or not b.included}
    return dump(out)


def _part(key: str, node: Node, doc: Document) -> Tree:
    families: dict[str, type[Kind]] = {"optimizer": Optimizer, "schedule": Schedule, "loss": Loss, "metrics": Metric}
    if is_formula(node):  # it may give any part of what stands here
        return _tree(plain(node))
    if key == "layers":
        return _entries(node, doc.blocks)
    if key in families:
        return _choices(node, families[key], doc.blocks, many=key == "metrics")
    if key == "inputs":
        return _inputs(node)
    if key == "outputs" and isinstance(node, Scalar):
        return [node.value]
    if key in SHORT and isinstance(node, Scalar) and node.value is not None:
        return {SHORT[key]: node.value}
    if key == "networks":
        return {name: _network(n) for name, n in doc.networks.items()}
    if key == "weights" and doc.weights is not None:
        return _fixed(doc.weights.to_tree())
    if key == "data":
        return _data(node, doc)
    return _tree(plain(node))


def _inputs(node: Node) -> Tree:
    """Every input by its name, its shape and columns as lists."""
    named_ = named(node)
    if not isinstance(named_, MappingNode):
        return _tree(plain(node))
    return {name: {k: v if isinstance(v, list) or k == "dtype" or "$" in str(v) else [v] for k, v in _tree(plain(body)).items()}
            if isinstance(body, MappingNode) else _tree(plain(body)) for name, body in named_.pairs.items()}


def _tree(value: Any) -> Tree:
    if isinstance(value, tuple):
        return [_tree(v) for v in value]
    return {k: _tree(v) for k, v in value.items()} if isinstance(value, dict) else value


def _entries(node: Node, blocks: Mapping[str, Block]) -> list[Tree]:
    return [_entry(item, blocks) for item in node.items] if isinstance(node, Sequence) else _tree(plain(node))


def _entry(node: Node, blocks: Mapping[str, Block]) -> Tree:
    """``kind: {fields}``, or ``kind`` alone where it has none."""
    if not isinstance(node, MappingNode) or len(node.pairs) != 1:
        return _tree(plain(node))
    ((kind, body),) = node.pairs.items()
    if kind == "residual" or kind == "branches":
        return {kind: _structure(kind, body, blocks)}
    if body is None or (isinstance(body, Scalar) and body.value is None):
        return kind
    if kind in Entry.registry and kind not in blocks:
        body = fields_of(Entry.registry[kind], body, kind)
    if not isinstance(body, MappingNode):
        primary = next(iter(blocks[kind].args), None) if kind in blocks else None
        if primary is None:
            return {kind: _tree(plain(body))}
        body = MappingNode(body.place, {primary: body}, {primary: body.place}, False)
    return {kind: {k: _field(kind, k, v, blocks) for k, v in body.pairs.items()}} if body.pairs else kind


def _field(kind: str, key: str, node: Node, blocks: Mapping[str, Block]) -> Tree:
    """A field of an entry; of an activation the fields by name."""
    if key == "repeat" and isinstance(node, Scalar) and not is_formula(node):
        return {SHORT[key]: node.value}
    if kind not in blocks and (key == "activation" or (kind == "activation" and key == "of")) and isinstance(node, MappingNode):
        return _choices(node, Activation, blocks)
    return _tree(plain(node))


def _structure(kind: str, body: Node, blocks: Mapping[str, Block]) -> Tree:
    if isinstance(body, Sequence):
        return {
            "layers" if kind == "residual" else "paths": _entries(body, blocks) if kind == "residual" else [_entries(p, blocks) for p in body.items]
        }
    out: dict[str, Tree] = {}
    for key, value in body.pairs.items() if isinstance(body, MappingNode) else ():
        if key in ("layers", "shortcut"):
            out[key] = _entries(value, blocks)
        elif key == "paths" and isinstance(value, Sequence):
            out[key] = [_entries(p, blocks) for p in value.items]
        else:
            out[key] = _field(kind, key, value, blocks)
    return out


def _choices(node: Node, family: type[Kind], blocks: Mapping[str, Block] | None = None, many: bool = False) -> Tree:
    """Every choice as ``{kind: {fields}}``; a list stays one, and where there are ``many`` it always is one."""
    if isinstance(node, Sequence):
        return [_choices(item, family, blocks) for item in node.items]
    if isinstance(node, MappingNode) and (many or (len(node.pairs) > 1 and family is Loss)):
        return [{kind: _choice(kind, body, family, blocks or {})} for kind, body in node.pairs.items()]
    if many:
        return [_choices(node, family, blocks)]
    if isinstance(node, Scalar):
        known = node.value in family.registry or node.value in (blocks or {})
        return {node.value: {}} if isinstance(node.value, str) and known else node.value
    return {kind: _choice(kind, body, family, blocks or {}) for kind, body in node.pairs.items()} if isinstance(node, MappingNode) else {}


def _choice(kind: str, body: Node, family: type[Kind], blocks: Mapping[str, Block]) -> Tree:
    """The fields of a choice: its primary value by name, and what is itself short."""
    if isinstance(body, Scalar) and body.value is None:
        return {}
    if is_formula(body):
        return _tree(plain(body))
    if not isinstance(body, MappingNode):
        primary = next(iter(blocks[kind].args), None) if kind in blocks else getattr(family.registry.get(kind), "primary", None)
        return _tree(plain(body)) if primary is None else {primary: _tree(plain(body))}
    own = {"weight_decay": SHORT["weight_decay"]} if family is Optimizer else {}
    return {k: {own[k]: v.value} if k in own and isinstance(v, Scalar) and not is_formula(v)
            else _choices(v, Schedule) if k == "weight" and family is Loss and isinstance(v, MappingNode)
            else _tree(plain(v)) for k, v in body.pairs.items()}  # fmt: skip


def _data(node: Node, doc: Document) -> Tree:
    """The data section with its paths made absolute, so that a run's folder can stand elsewhere."""
    tree = _tree(plain(node))
    if isinstance(tree, str):
        return {tree: {}}
    if not isinstance(node, MappingNode) or not isinstance(tree, dict):
        return tree
    steps: tuple[tuple[str, type[Kind]], ...] = (("prepare", Prepare), ("augment", Augmentation))
    for key, family in steps:
        if key in node.pairs:
            tree[key] = _choices(node.pairs[key], family)
    if isinstance(columns := node.pairs.get("columns"), MappingNode):
        tree["columns"] = {name: _choices(kind, ColumnKind) for name, kind in columns.pairs.items()}
    for name in tree.keys() & DataSource.registry.keys():
        tree[name] = _choice(name, node.pairs[name], DataSource, {})
    if doc.file is None:
        return tree
    base = doc.file.resolve().parent, doc.vars
    for name, source in tree.items():
        if name in DataSource.registry and isinstance(source, dict):
            by_name = DataSource.registry[name].model_config.get("extra") == "allow"
            for key in source:
                if key == "path" or (by_name and key != "target"):
                    source[key] = _absolute(source[key], *base)
    columns = tree.get("columns")
    for column in columns.values() if isinstance(columns, dict) else ():
        image = column.get("image") if isinstance(column, dict) else None
        if isinstance(image, dict) and "root" in image:
            image["root"] = _absolute(image["root"], *base)
    return tree


def _absolute(path: Tree, folder: Path, names: Mapping[str, Any]) -> Tree:
    """A path, a mapping of splits to paths, or a column with its path; formulas in it are worked out."""
    if isinstance(path, dict):
        inner = path if "path" not in path else {"path": path["path"]}
        return {**path, **{key: _absolute(value, folder, names) for key, value in inner.items()}}
    if isinstance(path, str) and "$" in path:
        path = plain(substitute(literal(path, Place(Source("", ""))), names))
    if not isinstance(path, str):
        return path if not isinstance(path, tuple) else list(path)
    if any(mark in path for mark in "*?[") and not (folder / path).exists() and not Path(path).is_absolute():
        return _fixed(f"{escape(str(folder))}/{path}")
    return _fixed(str((folder / path).resolve()))


def _fixed(value: Tree) -> Tree:
    """What has been worked out, so that no dollar in it is read as a formula again."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {k: _fixed(v) for k, v in value.items()}
    return [_fixed(v) for v in value] if isinstance(value, list) else value


def _network(n: Subnetwork) -> Tree:
    """A network written out, whatever file it came from; its own vars and blocks stand in place of the spec's."""
    out: dict[str, Tree] = {"inputs": _tree(plain(n.inputs))} if n.inputs is not None else {}
    if "vars" in n.owns:
        out["vars"] = _fixed(_tree(dict(n.vars)))
    if "blocks" in n.owns:
        out["blocks"] = {name: _block(b, n.blocks) for name, b in n.blocks.items()}
    if n.data is not None:
        out["data"] = _fixed(_tree(dict(n.data)))
    if n.networks:
        out["networks"] = {name: _network(inner) for name, inner in n.networks.items()}
    out["layers"] = _entries(n.layers, n.blocks)
    if n.outputs:
        out["outputs"] = [name for name, _ in n.outputs]
    if n.until is not None:
        out["until"] = n.until[0]
    if not n.trainable:
        out["trainable"] = False
    if n.weights is not None:
        out["weights"] = _fixed(n.weights.to_tree())
    return out


def _block(b: Block, blocks: Mapping[str, Block]) -> Tree:
    """A block; the variables of the file it came from become its own."""
    out: dict[str, Tree] = {"args": {k: REQUIRED if v is None else _tree(plain(v)) for k, v in b.args.items()}} if b.args else {}
    if b.owns and (read := {k: _fixed(_tree(v)) for k, v in b.vars.items() if k in b.words()}):
        out["vars"] = read
    if b.inputs:
        out["inputs"] = list(b.inputs)
    if b.outputs:
        out["outputs"] = {own: target for own, target, _ in b.outputs}
    out["layers"] = _entries(b.layers, blocks)
    return out


def dump(tree: Tree, indent: int = 0) -> str:
    """YAML of plain values that our reader, and every reader of YAML 1.2, reads back as they were."""
    pad = "  " * indent
    lines: list[str] = []
    if isinstance(tree, dict):
        for key, value in tree.items():
            lines.append(_line(f"{pad}{scalar(key)}:", value, indent))
    else:
        for value in tree:
            lines.append(_line(f"{pad}-", value, indent))
    return "".join(lines)


def _line(head: str, value: Tree, indent: int) -> str:
    short = flow(value)
    if len(head) + len(short) < WIDTH or not value or not isinstance(value, (dict, list)):
        return f"{head} {short}\n"
    return f"{head}\n{dump(value, indent + 1)}"


def flow(value: Tree) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{scalar(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def scalar(value: Tree) -> str:
    """A scalar, quoted where it would be read as something else."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace("inf", ".inf").replace("nan", ".nan")
    if isinstance(value, int):
        return str(value)
    plain_ = value and value.isascii() and all(c.isalnum() or c in "_-./$" for c in value) and value[0] not in "-."
    marks = value != REQUIRED or isinstance(value, _Marker)
    return value if plain_ and marks and resolve(value) == value else json.dumps(value, ensure_ascii=False)
