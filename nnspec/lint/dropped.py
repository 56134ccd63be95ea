"""What columns hold that a spec drops, for a table that is small: its own declaration has forgotten them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from nnspec.data.csv_records import read_records
from nnspec.errors import NnspecError
from nnspec.lint.view import View
from nnspec.spec.source import Mapping, Node, Scalar, Sequence

MOST = 20_000  # rows that are read


def dropped(view: View, wanted: Callable[[str], bool]) -> dict[str, list[str]]:
    """The texts of dropped columns whose names are wanted, of csv files and of tables within the spec."""
    root = view.document.root
    data = root.pairs.get("data") if root is not None else None
    columns = data.pairs.get("columns") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(columns, Mapping):
        return {}
    names = [name for name, kind in columns.pairs.items() if wanted(name) and _drops(kind)]
    if not names:
        return {}
    inline, csv = data.pairs.get("inline"), data.pairs.get("csv")
    if isinstance(inline, Mapping) and isinstance(table := inline.pairs.get("columns"), Mapping):
        return {name: [item.text for item in held.items if isinstance(item, Scalar)] for name in names
                if isinstance(held := table.pairs.get(name), Sequence)}  # fmt: skip
    return _csv(view, csv, names) if csv is not None else {}


def _drops(kind: Node) -> bool:
    return (isinstance(kind, Scalar) and kind.text == "drop") or (isinstance(kind, Mapping) and "drop" in kind.pairs)


def _csv(view: View, section: Node, names: list[str]) -> dict[str, list[str]]:
    path = section.pairs.get("path") if isinstance(section, Mapping) else section
    separator = section.pairs.get("separator") if isinstance(section, Mapping) else None
    if not isinstance(path, Scalar) or (isinstance(section, Mapping) and "header" in section.pairs):
        return {}
    try:
        records = read_records(view.document.folder / path.text, separator.text if isinstance(separator, Scalar) else ",")
        first = next(records, None)
        header = [cell.strip() for cell in first.cells] if first is not None else []
        at = {name: header.index(name) for name in names if name in header}
        rows = [record.cells for record in islice(records, MOST)]
    except (NnspecError, OSError, ValueError):
        return {}
    return {name: [row[i].strip() for row in rows if i < len(row)] for name, i in at.items()}
