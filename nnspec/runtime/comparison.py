"""Runs beside each other: what differs in spec, parameters, data and environment, and what each has reached."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan, prod
from pathlib import Path
from typing import Any

from nnspec.errors import DataError, Problem, SpecError
from nnspec.interop.tensors import open_tensors
from nnspec.records import dataclass
from nnspec.runtime.environment import environment
from nnspec.runtime.run_folder import FOLDS, LAST, METRICS, RECORD, RESULT, SPEC, refuse_several
from nnspec.spec.entries import entry_names
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, plain, read
from nnspec.spec.source import Sequence as SequenceNode
from nnspec.spec.write import flow
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric

CALL = ("backend", "precision", "seed", "batch_size", "choices")  # of what a run says of itself
LAYERS = ("layers", "shortcut")
LONG = 300  # characters of a value
Best = tuple[float, int]  # a value and its epoch


@dataclass(frozen=True)
class Side:
    """One run as its folder tells it; ``stop`` says why it is not done, or ended early."""

    path: Path
    spec: Mapping[str, str]
    record: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    history: Sequence[Mapping[str, float]]
    metrics: Mapping[str, float]
    deviation: Mapping[str, float]
    stop: str

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes.values())

    def best(self, metric: str) -> Best | None:
        """The best value of a metric over the epochs, where it is known what is better."""
        less = _less(metric)
        values = [(row[metric], n) for n, row in enumerate(self.history, 1) if isfinite(row.get(metric, nan))]
        if less is None or not values:
            return None
        return min(values) if less else max(values, key=lambda v: (v[0], -v[1]))


def look(path: Path) -> Side:
    """A run's folder, or that of a run with folds. Raises DataError where it is none, or a file in it is damaged."""
    folds = _object(path, FOLDS)
    if folds is None:
        refuse_several(path)
    text, record = _text(path, SPEC), _object(path / "fold_1" if folds else path, RECORD)
    if text is None or record is None:
        found = "there is no such folder" if not path.exists() else "this is a file" if path.is_file() else f"no {SPEC if text is None else RECORD}"
        raise DataError(Problem(f"{path} is not the folder of a run", found=found, wanted="a folder that nnspec run has made", rule="run-folder"))
    try:
        root = read(text, str(path / SPEC))
    except SpecError as e:
        raise DataError(*e.problems) from None
    history, result = list(_history(path)), _object(path, RESULT)
    metrics = _numbers((result or {}).get("metrics")) if result else {k: v for k, v in (history[-1] if history else {}).items() if "." in k}
    stop = str((result or {}).get("stop") or "") if result else "not at its end"
    weights = (path / "fold_1" if folds else path) / LAST
    tensors = open_tensors(weights).tensors if weights.exists() else {}
    shapes = {name.removeprefix("parameters/"): t.shape for name, t in tensors.items() if name.startswith("parameters/")}
    return Side(path, dict(settings(root)), record, shapes, history, metrics, _numbers((result or {}).get("deviation")), stop)


def settings(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a spec by the key that ``--set`` would give it: entries of lists by name, lists of values as a whole."""
    if isinstance(node, MappingNode) and node.pairs:
        for key, value in node.pairs.items():
            yield from settings(value, f"{path}.{key}" if path else key)
    elif isinstance(node, SequenceNode) and (path.rpartition(".")[2] in LAYERS or not all(isinstance(item, Scalar) for item in node.items)):
        names = {index: name for name, index in entry_names(node)[0].items()}
        for i, item in enumerate(node.items):
            yield from _entry(item, f"{path}.{names.get(i, i)}")
    else:
        yield path, flow(_lists(plain(node)))[:LONG]


def _entry(node: Node, path: str) -> Iterator[tuple[str, str]]:
    """The kind of an entry, and its fields below its name."""
    if not isinstance(node, MappingNode) or len(node.pairs) != 1:
        yield from settings(node, path)
        return
    ((kind, body),) = node.pairs.items()
    yield path, kind
    if not isinstance(body, MappingNode):
        yield from settings(body, f"{path}.{kind}")
    elif body.pairs:
        yield from settings(body, path)


def _lists(value: Any) -> Any:
    return [_lists(v) for v in value] if isinstance(value, tuple) else value


def differing(columns: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys that have not one value in all mappings, with each one's value: None where it has none."""
    keys = dict.fromkeys(key for column in columns for key in column)
    rows = {key: [column.get(key) for column in columns] for key in keys}
    return {key: row for key, row in rows.items() if any(value != row[0] for value in row)}


def compared(sides: Sequence[Side]) -> dict[str, Any]:
    """Everything that differs, and the metrics of all, as plain values; lists go by the order of the runs."""
    metrics = dict.fromkeys(name for side in sides for name in side.metrics)
    known = (*environment(), *CALL)
    return {
        "runs": [{"run": str(s.path), "epochs": len(s.history), "stop": s.stop, "parameters": s.parameters if s.shapes else None} for s in sides],
        "spec": differing([s.spec for s in sides]),
        "parameters": _shapes(sides),
        "data": differing([d if isinstance(d := s.record.get("data"), dict) else {} for s in sides]),
        "environment": differing([{key: s.record[key] for key in known if key in s.record} for s in sides]),
        "metrics": {name: [_reached(side, name) for side in sides] for name in metrics},
    }


def _shapes(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """Where the parameters differ; a run that has no weights yet differs in none."""
    rows = differing([{name: list(shape) for name, shape in s.shapes.items()} for s in sides if s.shapes])
    return {name: [next(held) if s.shapes else None for s in sides] for name, row in rows.items() for held in [iter(row)]}


def _reached(side: Side, metric: str) -> dict[str, Any] | None:
    if metric not in side.metrics:
        return None
    best = side.best(metric)
    more = {"deviation": side.deviation[metric]} if metric in side.deviation else {}
    return {"last": side.metrics[metric], "best": best[0] if best else None, "epoch": best[1] if best else None, **more}


def winners(row: Sequence[Mapping[str, Any] | None], metric: str) -> list[int]:
    """Which runs have the best last value of a metric, where it is known what is better and they differ."""
    less, values = _less(metric), [(cell or {}).get("last") for cell in row]
    numbers = [v for v in values if isinstance(v, int | float) and isfinite(v)]
    if less is None or len(numbers) < 2 or min(numbers) == max(numbers):
        return []
    first = min(numbers) if less else max(numbers)
    return [i for i, v in enumerate(values) if v == first]


def _less(metric: str) -> bool | None:
    """Whether less is better; None where nobody knows, as of a block that measures."""
    kind = metric.replace("/", ".").rpartition(".")[2]
    for name in (kind, kind.rpartition("_")[0]):  # mae, or mae_2
        if name in Metric.registry:
            return bool(Metric.registry[name].better == "less")
        if name == "loss" or name in Loss.registry:
            return True
    return None


def _history(path: Path) -> Iterator[dict[str, float]]:
    """The epochs so far; a last line that was cut off does not count."""
    text = _text(path, METRICS) or ""
    lines = text.splitlines()
    for n, line in enumerate(lines, 1):
        try:
            yield _numbers(json.loads(line))
        except (ValueError, RecursionError) as e:
            if n == len(lines) and not text.endswith("\n"):
                return
            raise DataError(Problem(f"{path / METRICS}:{n}: this is no epoch's metrics", found=str(e)[:100], rule="run-folder")) from None


def _numbers(content: Any) -> dict[str, float]:
    """Numbers by name; null is NaN, and what is no number is left aside."""
    if not isinstance(content, dict):
        return {}
    numbers = {str(k): nan if v is None else v for k, v in content.items()}
    return {k: v for k, v in numbers.items() if isinstance(v, int | float) and not isinstance(v, bool)}


def _text(folder: Path, name: str) -> str | None:
    try:
        return (folder / name).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as e:
        found = e.strerror or "" if isinstance(e, OSError) else "not UTF-8"
        raise DataError(Problem(f"{folder / name}: the file cannot be read", found=found, rule="run-folder")) from None


def _object(folder: Path, name: str) -> dict[str, Any] | None:
    text = _text(folder, name)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise DataError(Problem(f"{folder / name}: this is not JSON", found=str(e)[:100], rule="run-folder")) from None
    if not isinstance(content, dict):
        raise DataError(Problem(f"{folder / name}: a JSON object is wanted here", rule="run-folder"))
    return content
