"""What a run records of itself, and whether another may continue it: what made its bits must still be the same."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnspec.codegen.tuning import parse_tuning
from nnspec.data.pixels import Pixels
from nnspec.errors import DataError, Place, Problem, SpecError
from nnspec.ir.op import Array
from nnspec.runtime.environment import DECIDES_BITS, environment
from nnspec.runtime.run_folder import RECORD, SPEC, TUNE, RunFolder
from nnspec.runtime.session import Model
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, read

MUST_BE_EQUAL = ("backend", "precision", "seed", "batch_size", "data")
MAY_DIFFER = ("epochs", "threads", "memory", "expect", "sweep")  # keys of a spec that decide no bit
ALSO = ("data.workers", "data.cache")
SHOWN = 8
Splits = Mapping[str, Mapping[str, Array]]  # the arrays of inputs and targets, rows first, by split


def record(model: Model, splits: Splits, epochs: int) -> dict[str, Any]:
    """What ``run.json`` holds: what decides the run's bits, how it was called, and on what machine."""
    settings, file = model.spec.settings, model.spec.document.file
    return {
        "name": settings.name,
        "backend": "interpret" if model.interpreted else model.backend.name,
        "precision": settings.precision,
        "seed": model.seed,
        "epochs": epochs,
        "batch_size": settings.batch_size,
        "data": fingerprint(splits),
        "prepared": sorted(model.preparation.steps) if model.preparation is not None else [],
        "loops": str(model.backend.loops(settings.strict) or "none"),
        "choices": {"math": settings.math, "tune": _digest(model)},
        "threads": model.threads,
        "weights": [part.to_json() for part in model.transferred or ()],
        "spec": {"path": str(file.resolve()), "sha256": _sha256(file)} if file else None,
        "command": sys.argv,
        **environment(),
    }


def _digest(model: Model) -> str | None:
    """What a tune file says, as far as it decides bits; None without one."""
    return None if model.tuning is None else hashlib.sha256(repr(sorted(model.tuning.ways.items())).encode()).hexdigest()


def replay_choices(model: Model, folder: RunFolder) -> tuple[str, ...]:
    """Gives the model the ways that the folder's run went, and notes where they were timed on another machine.

    Raises SpecError where the call names a tune file that says otherwise, DataError where the folder's is gone or damaged.
    """
    choices = folder.read_json(RECORD).get("choices")
    before, path = choices.get("tune") if isinstance(choices, dict) else None, folder.path / TUNE
    if model.tuning is not None and _digest(model) != before:
        found = "a tune file" if before is None else "a tune file that says otherwise"
        wanted = "none, as when it was started" if before is None else f"none, or what {path} says"
        raise SpecError(Problem(f"the run in {folder.path} is another one", found=found, wanted=wanted, hint="leave --tune out", rule="resume"))
    if before is None:
        return ()
    model.tuning = parse_tuning(folder.read(TUNE), str(path))
    if _digest(model) != before:
        raise DataError(Problem(f"{path}: this is not what the run was started with", wanted="a run's folder with all its files", rule="resume"))
    different = model.tuning.differs(model.backend.machine(model.spec.settings.tf32))
    return (f"the ways of this run were timed on another machine ({different}): it goes on with them",) if different else ()


def _sha256(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def fingerprint(splits: Splits) -> dict[str, str]:
    """A digest of every split's rows, so that changed data are noticed."""
    found = {}
    for split, arrays in splits.items():
        digest = hashlib.sha256()
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape} ".encode())
            if isinstance(array, Pixels):  # not decoded for this
                digest.update(array.digest())
                continue
            for start in range(0, len(array), 4096):
                digest.update(array[start : start + 4096].tobytes())
        found[split] = digest.hexdigest()
    return found


def epochs_before(folder: RunFolder, stated: int | None) -> int | None:
    """How long a run goes on where only its spec says so: one that says what it said goes on as it was called."""
    before = folder.read_json(RECORD).get("epochs")
    told = _stored(folder).get("epochs", "None")
    return before if isinstance(before, int) and told == str(stated) else stated


def _stored(folder: RunFolder) -> dict[str, str]:
    """Every value of the folder's spec by its key."""
    try:
        root = read(folder.read(SPEC), str(folder.path / SPEC))
    except SpecError as e:
        raise DataError(*e.problems) from e
    if not isinstance(root, MappingNode) or "nnspec" not in root.pairs:
        raise DataError(Problem("this is no spec", root.place, wanted="the spec that the run was started with", rule="run-folder"))
    return dict(leaves(root))


def command(model: Model, folder: RunFolder) -> str:
    """The command that continues a run: with the spec it came from, or, where it was overridden, the folder's own."""
    file = model.spec.document.file
    changed = any(place.file != str(file) for place in _places(model.spec.document.root))
    spec = folder.path / SPEC if file is None or changed else file
    backend = "" if model.backend.name == "numpy" else f" --backend {model.backend.name}"
    how = " --interpret" if model.interpreted else backend
    return f"nnspec run {shlex.quote(str(spec))} --out {shlex.quote(str(folder.path))} --resume{how}"


def _places(node: Node) -> Iterator[Place]:
    yield node.place
    inside = node.pairs.values() if isinstance(node, MappingNode) else node.items if isinstance(node, Sequence) else ()
    for part in inside:
        yield from _places(part)


def refuse_differences(folder: RunFolder, text: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """Raises SpecError where the spec or the run is another than the folder's; epochs may grow.

    The answer notes what is different about the machine, which may change last bits.
    """
    before = folder.read_json(RECORD)
    if missing := [key for key in MUST_BE_EQUAL if key not in before]:
        raise DataError(Problem(f"{folder.path / RECORD}: '{missing[0]}' is not there", wanted="what a run says of itself", rule="run-folder"))
    differing = [
        f"{key}: {_shown(key, record[key])}, was {_shown(key, before.get(key))}"
        for key in MUST_BE_EQUAL
        if before.get(key) != record[key]
    ]
    changed = list(dict.fromkeys(differences(_stored(folder), text) + differing))
    problems = []
    if changed:
        more = f"; … {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        problems.append(
            Problem(
                f"the run in {folder.path} is another one",
                found="; ".join(changed[:SHOWN]) + more,
                wanted="the spec that it was started with",
                hint="leave --resume out and give another --out for a new run",
                rule="resume",
            )
        )
    epochs = before.get("epochs")
    if isinstance(epochs, int) and record["epochs"] < epochs:
        problems.append(
            Problem(
                f"the run in {folder.path} is longer",
                found=f"{record['epochs']} epoch{'' if record['epochs'] == 1 else 's'}, was {epochs}",
                wanted="as many epochs, or more",
                rule="resume",
            )
        )
    if problems:
        raise SpecError(*problems)
    return tuple(
        f"{key} was {before[key]} when this run began: last bits may differ"
        for key in DECIDES_BITS
        if key in before and before[key] != record[key]
    )


def _shown(key: str, value: object) -> str:
    return "other rows" if key == "data" else str(value)[:60]


def differences(before: Mapping[str, str], new: str) -> list[str]:
    """Where two specs differ, but for keys that decide no bit: ``optimizer.adam.learning_rate: 0.01, was 0.001``."""
    after = dict(leaves(read(new, "the spec")))
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key) and key.split(".")[0] not in MAY_DIFFER and key not in ALSO]
    return [f"{key}: {after.get(key, 'nothing')}, was {before.get(key, 'nothing')}" for key in keys]


def leaves(node: Node, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value with the way to it."""
    if isinstance(node, MappingNode) and node.pairs:
        for key, value in node.pairs.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(node, Sequence) and node.items:
        for i, value in enumerate(node.items):
            yield from leaves(value, f"{path}.{i}")
    elif isinstance(node, Scalar):
        yield path, repr(node.value) if isinstance(node.value, str) else str(node.value)
    else:
        yield path, "{}" if isinstance(node, MappingNode) else "[]"
