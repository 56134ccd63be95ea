"""The rows of a spec's own data, as the model's programs want them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.data.declare import declare
from nnspec.data.epochs import Epochs
from nnspec.data.load import Dataset, Rows, load
from nnspec.errors import Problem, SpecError
from nnspec.ir.op import Array
from nnspec.network.class_weights import balancing, count_classes
from nnspec.network.targets import Target
from nnspec.runtime.session import Model
from nnspec.spec.formulas import substitute


def groups(model: Model) -> dict[str, tuple[str, ...]]:
    """The columns behind each input and target of the model."""
    out = dict(model.spec.built.columns)
    for t in model.targets:
        if t.columns:
            out.setdefault(t.feed, t.columns)
    return out


def dataset(model: Model) -> Dataset:
    """The spec's data, read and prepared; the preparation becomes the model's, or is the model's where it has one."""
    document = model.spec.document
    declaration = document.data
    if declaration is None:
        raise SpecError(
            Problem("the spec has no data", document.root.place, wanted="data: …", hint="or feed arrays: fit(x, y)", rule="missing-key")
        )
    if folds := model.spec.folds:
        raise SpecError(
            Problem(
                f"the data have {folds} folds, and a model is trained on one",
                declaration.split.place,
                wanted="compile(spec.fold(1)), or split: {fold: 1}",
                hint="nnspec run trains all of them",
                rule="folds",
            )
        )
    if not document.kept:  # a stored model: the rows are read again from where its spec says they are
        declaration = declare(substitute(document.root.pairs["data"], document.env), Path.cwd(), model.seed)
    precision = model.spec.settings.held
    data = load(declaration, precision, model.preparation)
    model.preparation = data.preparation
    return data


def weights_of_classes(model: Model) -> dict[str, tuple[float, ...]]:
    """What classes weigh by the training rows of the spec's own data."""
    document = model.spec.document
    if document.data is None or not document.kept:
        loss = balancing(model.spec.built)[0].term
        raise SpecError(Problem("'class_weights: balanced' is counted over the training rows, and there are none yet", loss.place,
                                wanted="a number for each class", hint="or train with fit, which sees all rows", rule="feed"))
    data = load(document.data, model.spec.settings.held, model.preparation)
    return count_classes(model.spec.built, assembled(model, data.splits["train"]).arrays)


def assembled(model: Model, rows: Rows) -> Rows:
    """A split's rows by input and target, and what they weigh where a column says it."""
    fed = rows.assembled(groups(model))
    own = {SAMPLE_WEIGHT: rows.arrays[SAMPLE_WEIGHT]} if SAMPLE_WEIGHT in rows.arrays else {}
    return Rows({**fed.arrays, **own}, fed.rows)


def epochs(model: Model, data: Dataset) -> Epochs | None:
    """The epochs of the training rows, as the spec's data section wants them; None where there are none."""
    declared, rows = data.declaration, data.splits["train"]
    if not rows.size:
        return None
    fed = assembled(model, rows)
    classes = None
    if declared.balance is not None:
        classes = declared.array(declared.balance)[rows.rows].astype(np.int64)
    mixed = {t.feed: _probabilities(t) for t in model.targets if t.type is not None and not t.type.dtype.is_float}
    void = {t.columns[0]: t.void.number for t in model.spec.built.losses if t.void is not None and len(t.columns) == 1}
    size = min(model.spec.settings.batch_size, rows.size) * model.accumulate
    return Epochs(fed, size, model.seed, declared.augment, classes, mixed, declared.loading.workers, void, declared.loading.shuffle)


def _probabilities(target: Target) -> int:
    """Of how many classes an output says probabilities, where mixed targets are such; 0 where they are one number."""
    return 0 if target.classes is None or target.port.type is None or target.port.type.shape[-1] == 1 else len(target.classes)


def rows_for_scoring(model: Model) -> Mapping[str, Array]:
    """The test split, else the validation split."""
    data = dataset(model)
    for split in ("test", "validation"):
        if split in data.splits:
            return assembled(model, data.splits[split]).arrays
    raise SpecError(
        Problem(
            "the data has neither a test nor a validation split", data.declaration.place, wanted="split: {train: 0.8, test: 0.2}", rule="missing-key"
        )
    )
