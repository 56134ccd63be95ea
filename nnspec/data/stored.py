"""What a model must remember of its data when the data itself is not there: columns, classes, targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnspec.data.column import Array, Column, Declaration, Fractions
from nnspec.errors import DataError, Place, Problem, Source


def to_json(declaration: Declaration) -> dict[str, Any]:
    """The columns and targets as plain values."""
    return {
        "source": declaration.source,
        "rows": declaration.rows,
        "seed": declaration.seed,
        "targets": list(declaration.targets),
        "split": dict(declaration.split.parts),
        "aside": {"order": declaration.split.order, "group": declaration.split.group},
        "files": dict(declaration.split.given),
        "columns": [
            {"name": c.name, "kind": c.kind, "shape": list(c.shape), "dtype": c.dtype, "classes": list(c.classes) if c.classes else None,
             "pixels": c.pixels}
            for c in declaration.columns.values()
        ],
    }


def from_json(stored: Any, place: Place) -> Declaration:
    """A declaration that knows everything but its rows. Raises DataError where the file was not written by nnspec."""
    try:
        columns = {
            c["name"]: Column(
                c["name"], c["kind"], tuple(c["shape"]), c["dtype"], tuple(c["classes"]) if c["classes"] else None, place, c.get("pixels", "")
            )
            for c in stored["columns"]
        }
        names = {c.name: {"shape": c.shape, **({"classes": len(c.classes)} if c.classes else {})} for c in columns.values()}
        parts = tuple((str(part), float(share)) for part, share in stored["split"].items())
        aside = stored.get("aside", {})  # columns that are no features
        return Declaration(
            str(stored["source"]),
            columns,
            tuple(stored["targets"]),
            int(stored["rows"]),
            names,
            int(stored["seed"]),
            Fractions(parts, order=aside.get("order"), group=aside.get("group"), given=tuple(stored.get("files", {}).items())),
            (),
            {},
            place,
            _unread(place),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise DataError(Problem("the model's data file is damaged", place, found=f"{type(e).__name__}: {e}", rule="model-file")) from None


def recall(folder: Path) -> Mapping[str, Any] | None:
    """What ``$data`` gives in formulas of the run in a folder, or nothing where it had no data."""
    path = folder / "data.json"
    try:
        return from_json(json.loads(path.read_text("utf-8")), Place(Source(str(path), ""))).names
    except (OSError, ValueError, RecursionError, DataError):
        return None


def _unread(place: Place) -> Any:
    def read(name: str) -> Array:
        raise DataError(Problem(f"the rows of '{name}' are not kept with the model", place, hint="evaluate with data of your own", rule="no-rows"))

    return read
