"""Reads the rows that stand in the spec itself."""

from __future__ import annotations

import numpy as np

from nnspec.data.column import Raw, Table
from nnspec.data.config import CategoryColumn, ColumnKind, DropColumn, ImageColumn
from nnspec.errors import Place, Problem, SpecError
from nnspec.spec.explain import describe
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence


def read_inline(columns: MappingNode, kinds: dict[str, ColumnKind]) -> Table:
    """The table of a mapping of lists: a row each item. Raises SpecError."""
    problems: list[Problem] = []
    found: dict[str, Raw] = {}
    rows: dict[str, int] = {}
    for name, node in columns.pairs.items():
        if isinstance(kinds.get(name), DropColumn):
            continue
        if not isinstance(node, Sequence) or not node.items:
            problems.append(
                Problem(
                    f"column '{name}' is a list with a value for each row",
                    node.place,
                    found=describe(node),
                    rule="bad-value",
                )
            )
            continue
        rows[name] = len(node.items)
        before = len(problems)
        raw = _column(name, node, kinds.get(name), problems)
        if len(problems) == before:
            found[name] = raw
    if len(set(rows.values())) > 1:
        first, *others = rows
        problems += [
            Problem(
                f"columns '{first}' and '{name}' differ in length",
                columns.pairs[name].place,
                found=f"{rows[name]} rows",
                wanted=f"{rows[first]}",
                rule="ragged-rows",
            )
            for name in others
            if rows[name] != rows[first]
        ]
    if problems:
        raise SpecError(*problems)
    return Table(next(iter(rows.values()), 0), found, tuple(name for name in columns.pairs if name not in found))


def _column(name: str, node: Sequence, kind: ColumnKind | None, problems: list[Problem]) -> Raw:
    shape = _shape(node.items[0])
    leaves: list[Scalar] = []
    for item in node.items:
        _flatten(item, shape, leaves, name, problems)
    places = [item.place for item in node.items]

    def where(row: int) -> Place | None:
        return places[row]

    texts = [leaf for leaf in leaves if isinstance(leaf.value, bool) or not isinstance(leaf.value, int | float | None)]
    empty = next((i for i, leaf in enumerate(leaves) if leaf.value is None), None)
    numbers = len(leaves) - len(texts) - sum(leaf.value is None for leaf in leaves)
    missing = None if empty is None else empty // max(1, int(np.prod(shape)))
    if isinstance(kind, CategoryColumn | ImageColumn) or (texts and not numbers and kind is None):
        codes: dict[str, int] = {}
        values = np.array(
            [-1 if leaf.value is None else codes.setdefault(_text(leaf), len(codes)) for leaf in leaves], np.int64
        )
        return Raw(shape, lambda: values.reshape(-1, *shape), tuple(codes), where, missing)
    if texts:
        problems.append(
            Problem(
                f"column '{name}' is numbers, and this is none",
                texts[0].place,
                found=describe(texts[0]),
                wanted="a number",
                hint=f"columns: {{{name}: category}} makes classes of them",
                rule="bad-value",
            )
        )
        return Raw(shape, lambda: np.zeros(0))
    numbers_found = np.array([_float(leaf) for leaf in leaves], np.float64)
    for leaf, value in zip(leaves, numbers_found.tolist(), strict=True):
        if leaf.value is not None and not np.isfinite(value):
            problems.append(
                Problem(
                    f"column '{name}' holds a number that is not finite", leaf.place, found=leaf.text, rule="bad-value"
                )
            )
            break
    return Raw(shape, lambda: numbers_found.reshape(-1, *shape), None, where, missing)


def _float(leaf: Scalar) -> float:
    return float(leaf.value) if isinstance(leaf.value, int | float) else np.nan


def _text(leaf: Scalar) -> str:
    return str(leaf.value).lower() if isinstance(leaf.value, bool) else str(leaf.value)


def _shape(node: Node) -> tuple[int, ...]:
    """The shape that the first row promises."""
    shape: list[int] = []
    while isinstance(node, Sequence):
        shape.append(len(node.items))
        if not node.items:
            break
        node = node.items[0]
    return tuple(shape)


def _flatten(node: Node, shape: tuple[int, ...], leaves: list[Scalar], name: str, problems: list[Problem]) -> None:
    """Adds a row's values; one problem for the first place where its shape differs."""
    if not shape and isinstance(node, Scalar):
        leaves.append(node)
    elif shape and isinstance(node, Sequence) and len(node.items) == shape[0] and shape[0]:
        for item in node.items:
            _flatten(item, shape[1:], leaves, name, problems)
    else:
        wanted = (
            f"a list of {shape[0]}, as in the first row"
            if shape and shape[0]
            else "a list of numbers"
            if shape
            else "one value, as in the first row"
        )
        problems.append(
            Problem(
                f"the rows of column '{name}' differ in shape",
                node.place,
                found=describe(node),
                wanted=wanted,
                rule="ragged-rows",
            )
        )
