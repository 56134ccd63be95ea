"""The network's inputs: what ``inputs`` says of them, and what the data's columns make of them."""

from __future__ import annotations

from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.data.inputs import input_columns, input_type
from nnspec.errors import NnspecError, Place, Problem, SpecError
from nnspec.ir.types import BATCH, Dim, DType, TensorType, show, symbol
from nnspec.network.graph import Network, Port
from nnspec.network.scope import Ref, Scope
from nnspec.spec.explain import describe, unknown
from nnspec.spec.load import Document
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence
from nnspec.spec.words import name_problem

INPUT_KEYS = ("shape", "dtype", "columns")
DTYPES = ("float32", "int32", "int64")


def inputs(doc: Document, network: Network, scope: Scope, problems: list[Problem]) -> tuple[tuple[Port, ...], dict[str, tuple[str, ...]]]:
    """The network's inputs from ``inputs`` and ``data``."""
    declared, named, places = _declared(doc, problems)
    columns: dict[str, tuple[str, ...]] = {}
    if doc.data is not None:
        try:
            also = {name for term in (*doc.losses, *doc.metrics) for name, _ in term.target} | {doc.data.split.stratify or "", doc.data.balance or ""}
            columns = input_columns(doc.data, named, places, also)
            for name, chosen in columns.items():
                shape, kind = input_type(doc.data, chosen)
                held = TensorType((BATCH, *shape), DType.int64 if kind == "int64" else doc.settings.dtype)
                stated = declared.get(name)
                if stated is not None and not _agree(stated, held):
                    problems.append(
                        Problem(
                            f"input '{name}' differs from its data",
                            places.get(name),
                            found=f"{show(held.shape)} of {held.dtype} in the data",
                            wanted=f"{show(stated.shape)} of {stated.dtype}",
                            hint=f"shape: {list(shape)}, or leave it out",
                            rule="input",
                        )
                    )
                declared[name] = held
        except NnspecError as e:
            problems += e.problems
    elif not declared and "data" not in doc.root.pairs and (doc.inputs is not None and not doc.inputs.pairs or "inputs" not in doc.root.pairs):
        wanted = "inputs: {image: {shape: [8, 8, 1]}}, or data"
        problems.append(Problem("the network has no input", (doc.inputs or doc.root).place, wanted=wanted, rule="missing-key"))
    ports = []
    for name, type in declared.items():
        place = places.get(name)
        port = network.add_input(name, type, place)
        network.inputs[name] = type
        scope.define(name, Ref((port,), place or doc.root.place))
        ports.append(port)
    return tuple(ports) or (Port(""),), columns


def _agree(stated: TensorType, held: TensorType) -> bool:
    same = all(a == b or not isinstance(a, int) for a, b in zip(stated.shape, held.shape, strict=False))
    return len(stated.shape) == len(held.shape) and same and stated.dtype.is_float == held.dtype.is_float


def _declared(doc: Document, problems: list[Problem]) -> tuple[dict[str, TensorType], dict[str, tuple[str, ...] | None], dict[str, Place]]:
    """What ``inputs`` says: types, columns and places by name."""
    types: dict[str, TensorType] = {}
    named: dict[str, tuple[str, ...] | None] = {}
    places: dict[str, Place] = {}
    for name, node in (doc.inputs.pairs if doc.inputs else {}).items():
        assert doc.inputs is not None
        places[name] = doc.inputs.keys[name]
        problems += name_problem(name, places[name], "input")
        if name == SAMPLE_WEIGHT:
            what = f"no input is called '{SAMPLE_WEIGHT}': that is what each row weighs"
            problems.append(Problem(what, places[name], wanted="another name", rule="sample-weight"))
            continue
        if not isinstance(node, MappingNode):
            problems.append(Problem(f"input '{name}' does not fit", node.place, found=describe(node), wanted="{shape: [8, 8, 1]}", rule="bad-value"))
            continue
        problems += [unknown(k, INPUT_KEYS, node.keys[k], f"key of input '{name}'", "unknown-key") for k in node.pairs if k not in INPUT_KEYS]
        try:
            named[name] = _names(node.pairs["columns"]) if "columns" in node.pairs else None
            if "columns" in node.pairs and "data" not in doc.root.pairs:
                what = f"input '{name}' names columns, and the spec has no data"
                problems.append(Problem(what, node.keys["columns"], wanted="shape alone, or data", rule="unknown-key"))
            if "shape" in node.pairs:
                types[name] = TensorType((BATCH, *_shape(node.pairs["shape"])), _dtype(node.pairs.get("dtype"), doc))
            elif doc.data is None and "data" not in doc.root.pairs:
                problems.append(
                    Problem(
                        f"input '{name}' needs 'shape'",
                        node.place,
                        wanted="shape: [8, 8, 1]; axes without a known length by name",
                        rule="missing-key",
                    )
                )
        except SpecError as e:
            problems += e.problems
    return types, named, places


def _dtype(node: Node | None, doc: Document) -> DType:
    if node is None:
        return doc.settings.dtype
    if isinstance(node, Scalar) and node.value in DTYPES:
        return doc.settings.dtype if node.value == "float32" else DType(str(node.value))
    raise SpecError(Problem("'dtype' of an input does not fit", node.place, found=describe(node), wanted=", ".join(DTYPES), rule="bad-value"))


def _shape(node: Node) -> tuple[Dim, ...]:
    items = node.items if isinstance(node, Sequence) else [node]
    shape: list[Dim] = []
    for item in items:
        value = item.value if isinstance(item, Scalar) else None
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 10_000_000:
            shape.append(value)
        elif isinstance(value, str) and not name_problem(value, item.place, "axis") and value != "batch":
            shape.append(symbol(value))
        else:
            raise SpecError(
                Problem(
                    "an axis of an input does not fit",
                    item.place,
                    found=describe(item),
                    wanted="a length from 1 to 10,000,000, or a name",
                    hint="the batch is never written" if value in ("batch", None, -1) else "",
                    rule="bad-value",
                )
            )
    return tuple(shape)


def _names(node: Node) -> tuple[str, ...]:
    items = node.items if isinstance(node, Sequence) else [node]
    names = tuple(item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
    if len(names) != len(items) or not names:
        raise SpecError(
            Problem("'columns' of an input does not fit", node.place, found=describe(node), wanted="a list of column names", rule="bad-value")
        )
    return names
