"""Which rows, and which files, stand in more than one split."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from nnspec.data.column import SPLITS, Declaration
from nnspec.data.division import divide
from nnspec.errors import NnspecError, Place
from nnspec.lint.columns import values
from nnspec.lint.view import walk
from nnspec.spec.source import Mapping, Node, Scalar

MOST_FILES = 10_000
MOST_ROWS = 50_000
LEAST = 0.3  # the part of a split's rows that has to be copies: chance makes some where rows hold little


def shared_files(data: Node, folder: Path) -> Iterator[tuple[Place, str, str, int, int]]:
    """Where a split names files that an earlier one names too: the place, both splits, how many files, of how many."""
    for node in walk(data):
        if not isinstance(node, Mapping) or "train" not in node.pairs or not set(node.pairs) <= set(SPLITS):
            continue
        named = {split: node.pairs[split] for split in SPLITS if split in node.pairs}
        if not all(isinstance(path, Scalar) and isinstance(path.value, str) for path in named.values()):
            continue  # fractions of a split
        files = {split: _files(path.text, folder) for split, path in named.items() if isinstance(path, Scalar)}
        for n, split in enumerate(files):
            for first in list(files)[:n]:
                if shared := len(files[split] & files[first]):
                    yield node.keys[split], split, first, shared, len(files[split])
                    break


def _files(pattern: str, folder: Path) -> set[Path]:
    """The files that a path or a pattern names; of a folder that itself."""
    try:
        path = folder / pattern
        if path.exists() or not any(mark in pattern for mark in "*?["):
            return {path.resolve()}
        base, inside = (Path(Path(pattern).anchor), str(Path(pattern).relative_to(Path(pattern).anchor))) if path.is_absolute() and Path(
            pattern).is_absolute() else (folder, pattern)  # fmt: skip
        return {found.resolve() for found in islice(base.glob(inside), MOST_FILES)}
    except (OSError, ValueError):
        return set()


def copies(data: Declaration) -> Iterator[tuple[str, int, int]]:
    """Splits that are for the most part copies of training rows: how many of their rows, of how many."""
    names = [name for name in (*data.features, *data.targets) if name in data.columns]
    if len(data.split.names) < 2 or data.split.group or data.rows > MOST_ROWS or not _tells(data, names):
        return
    held = [values(data, name) for name in names]
    if not held or any(x is None for x in held):
        return
    try:
        rows = divide(data.split, data.columns, data.array, data.drawn, data.seed)
    except (NnspecError, ValueError, KeyError):
        return
    table = np.concatenate([np.asarray(x, np.float64).reshape(data.rows, -1) for x in held if x is not None], axis=1)
    keys = np.ascontiguousarray(table).view([("", np.float64)] * table.shape[1]).ravel() if table.shape[1] <= 4096 else None
    if keys is None:
        return
    seen = {key.tobytes() for key in keys[rows["train"]]}
    for split in ("validation", "test"):
        numbers = rows.get(split, np.array([], np.intp))
        again = sum(keys[n].tobytes() in seen for n in numbers)
        if len(numbers) >= 3 and again >= LEAST * len(numbers):
            yield split, again, len(numbers)


def _tells(data: Declaration, names: list[str]) -> bool:
    """Whether rows hold enough that equal ones are copies: a column of fractions, or an array."""
    for name in names:
        if name in data.targets or data.columns[name].classes:
            continue
        found = values(data, name)
        if found is not None and found.size and np.issubdtype(found.dtype, np.floating):
            known = found[np.isfinite(found)]
            if (known != np.floor(known)).mean() > 0.3 if known.size else False:
                return True
    return False
