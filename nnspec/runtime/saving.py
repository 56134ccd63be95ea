"""A model in a folder: its spec, what it knows of its data, its weights. A run's folder is one too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnspec.codegen.tuning import parse_tuning
from nnspec.compiler import Spec, loads
from nnspec.data import stored
from nnspec.data.prepare import Preparation
from nnspec.errors import DataError, Place, Problem, Source, SpecError
from nnspec.network.class_weights import balancing, many
from nnspec.runtime import checkpoint
from nnspec.runtime.atomic import replace
from nnspec.runtime.run_folder import BALANCE, BEST, DATA, LAST, PREPARATION, RECORD, SPEC, TUNE, refuse_several
from nnspec.runtime.session import Model


def described(model: Model) -> dict[str, str]:
    """The files that a model is made from, but for its weights: name and content."""
    from nnspec.lint import silenced  # which reads all rules

    files = {SPEC: silenced(model.spec) + model.spec.text}
    if model.spec.document.data is not None:
        files[DATA] = json.dumps(stored.to_json(model.spec.document.data), indent=2) + "\n"
    if model.preparation is not None:
        files[PREPARATION] = json.dumps(model.preparation.to_json(), indent=2) + "\n"
    if model.balance:
        files[BALANCE] = json.dumps(model.balance, indent=2) + "\n"
    if model.tuning is not None:
        files[TUNE] = model.tuning.text()
    return files


def save_model(model: Model, folder: Path) -> None:
    """Writes the model into a folder that is empty, or holds a model already. Raises SpecError, ResourceError."""
    known = {SPEC, DATA, PREPARATION, BALANCE, TUNE, LAST}
    if folder.is_file() or (folder.is_dir() and {p.name for p in folder.iterdir()} - known):
        raise SpecError(Problem(f"{folder} holds something else", wanted="a new folder", rule="model-folder"))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in described(model).items():
        replace(folder / name, [text.encode()])
    checkpoint.save(folder / LAST, model.state(), checkpoint.Standing(step=model.step))


def load_model(path: str | Path, which: str = "last", backend: str = "numpy") -> Model:
    """The model of a folder that ``save`` or a run has written; ``which="best"`` takes the run's best weights.

    Raises DataError where the folder is no model or a file is damaged.
    """
    folder = Path(path)
    if which not in ("last", "best"):
        raise SpecError(Problem(f"no weights are called '{which}'", wanted="last or best", rule="model-folder"))
    spec = stored_spec(folder)
    model = Model(spec, backend, start=False)
    prepared = _json(folder, PREPARATION)
    if prepared is not None:
        model.preparation = _preparation(prepared, folder / PREPARATION)
    _check_prepared(model, folder)
    if (weights := _json(folder, BALANCE)) is not None:
        model.balance = _balance(weights, model, folder / BALANCE)
    arrays, standing = checkpoint.read(folder / (BEST if which == "best" else LAST), model.state(), "parameters/" if which == "best" else "")
    model.restore(arrays)
    model.step = standing.step
    _tune(model, folder)
    _pace(model, folder)
    return model


def stored_spec(folder: Path, settings: Mapping[str, object] | None = None) -> Spec:
    """The spec of a folder that ``save`` or a run has written, without its weights; ``settings`` as of ``load``. Raises DataError."""
    refuse_several(folder)
    text = _read(folder, SPEC)
    if text is None:
        raise DataError(
            Problem(
                f"{folder} is not the folder of a model or a run",
                found="no spec.yaml",
                wanted="a folder that nnspec has written",
                rule="model-folder",
            )
        )
    place = Place(Source(str(folder / DATA), ""))
    described_data = _json(folder, DATA)
    declaration = stored.from_json(described_data, place) if described_data is not None else None
    try:
        return loads(text, str(folder / SPEC), settings, declaration)
    except SpecError as e:
        if settings:
            raise
        raise DataError(*e.problems) from None  # it was right when the folder was written


def _tune(model: Model, folder: Path) -> None:
    """The ways that the model's calls went, where they were timed on this machine; elsewhere its cost model finds others, which a note says."""
    if model.interpreted or (text := _read(folder, TUNE)) is None:
        return
    found = parse_tuning(text, str(folder / TUNE))
    if different := found.differs(model.backend.machine(model.spec.settings.tf32)):
        model.notes = (*model.notes, f"{folder / TUNE} is of another machine and not used here, last bits may differ: {different}")
    else:
        model.tuning = found


def _pace(model: Model, folder: Path) -> None:
    """How long the run's epochs were, for what a loss weighs at its end."""
    record = _json(folder, RECORD) if (folder / RECORD).is_file() else None
    batches, epochs = (record.get(key) for key in ("batches", "epochs")) if isinstance(record, dict) else (None, None)
    if isinstance(batches, int) and isinstance(epochs, int) and batches > 0:
        model.pace = batches, epochs


def _check_prepared(model: Model, folder: Path) -> None:
    """Without what a run fitted to its data, answers would be wrong and nobody would know it."""
    record = _json(folder, RECORD) if (folder / RECORD).is_file() else None
    names = record.get("prepared") if isinstance(record, dict) else None
    fitted = model.preparation.steps if model.preparation is not None else {}
    if missing := [name for name in (names if isinstance(names, list) else []) if name not in fitted]:
        what = f"{folder / PREPARATION}: nothing says how '{missing[0]}' was prepared"
        raise DataError(Problem(what, wanted="a run's folder with all its files", rule="model-folder"))


def _balance(content: Any, model: Model, path: Path) -> dict[str, tuple[float, ...]]:
    """What the classes of each loss weigh, as the run counted it."""
    lengths = {t.term.name: many(t) for t in balancing(model.spec.built)}
    if isinstance(content, dict) and set(content) == set(lengths) and all(_numbers(w, lengths[name]) for name, w in content.items()):
        return {name: tuple(map(float, w)) for name, w in content.items()}
    wanted = "a list of numbers for each balanced loss"
    raise DataError(Problem(f"{path}: the weights of the classes are damaged", wanted=wanted, rule="model-folder"))


def _numbers(values: Any, length: int) -> bool:
    return isinstance(values, list) and len(values) == length and all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < float("inf") for v in values
    )


def _preparation(content: Any, path: Path) -> Preparation:
    try:
        return Preparation.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise DataError(Problem(f"{path}: the preparation is damaged", found=f"{type(e).__name__}: {e}"[:200], rule="model-folder")) from None


def _read(folder: Path, name: str) -> str | None:
    path = folder / name
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as e:
        found = e.strerror or "" if isinstance(e, OSError) else "not UTF-8"
        raise DataError(Problem(f"{path}: the file cannot be read", found=found, rule="model-folder")) from None


def _json(folder: Path, name: str) -> Any:
    text = _read(folder, name)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise DataError(Problem(f"{folder / name}: this is not JSON", found=str(e)[:100], rule="model-folder")) from None
