"""``Model.fit``: training from Python, on the spec's own data or on arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnspec.data.column import SAMPLE_WEIGHT
from nnspec.errors import Problem, SpecError
from nnspec.runtime.feeds import rows_of
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import Model
from nnspec.runtime.trainer import Run, Splits, train
from nnspec.spec.source import Mapping as MappingNode


def fit(model: Model, x: Any, y: Any, sample_weight: Any, epochs: int | None, out: str | Path | None) -> Run:
    """Trains for so many epochs; ``x`` and ``y`` are arrays, or dicts of them by name, ``sample_weight`` a number for each row.
    Without targets of its own a model takes ``x`` alone.

    Arrays are taken as they are, all rows for training, in place of the spec's data with their ``split``. What its data want done to rows
    (``augment``, ``balance``, a ``prepare`` that has not been fitted) works on these data alone, and is an error beside arrays.
    """
    data = _splits(model, x, y, sample_weight)
    if out is None:
        return train(model, data, None, epochs)
    with open_run(Path(out), model.spec.name) as folder:
        return train(model, data, folder, epochs)


def _splits(model: Model, x: Any, y: Any, sample_weight: Any) -> Splits | None:
    if x is None and y is None and sample_weight is None:
        return None
    if x is None and y is None:
        raise SpecError(Problem("fit takes weights for the rows that it is given",
                                wanted="a column called sample_weight in the spec's data, or fit(x, y, sample_weight=w)", rule="feed"))
    _refuse_what_is_of_the_data(model)
    inputs = model.spec.built.network.inputs
    names = [t.feed for t in model.targets if t.feed not in inputs]
    if x is None or (y is None and names and not isinstance(x, dict)):
        raise SpecError(Problem("fit takes both inputs and targets, or neither", wanted="fit(x, y), or fit()", rule="feed"))
    if y is not None and not names:
        raise SpecError(Problem("no loss of this model compares with a target of its own", found="fit(x, y)", wanted="fit(x)", rule="feed"))
    feeds = dict(x) if isinstance(x, dict) else {next(iter(inputs)): x}
    feeds.update(y if isinstance(y, dict) else {} if y is None else dict.fromkeys(names[:1], y))
    if sample_weight is not None:
        if SAMPLE_WEIGHT in feeds:
            raise SpecError(Problem(f"'{SAMPLE_WEIGHT}' is given twice", wanted="among the arrays, or beside them", rule="feed"))
        feeds[SAMPLE_WEIGHT] = sample_weight
    arrays, weights = model.feeds(feeds)
    rows_of(arrays)
    return {"train": arrays if weights is None else {**arrays, SAMPLE_WEIGHT: weights}}


def _refuse_what_is_of_the_data(model: Model) -> None:
    """Raises SpecError where the spec wants something done to rows that is done to those of its own data alone."""
    section = model.spec.document.root.pairs.get("data")
    keys = section.keys if isinstance(section, MappingNode) else {}
    words = ("augment", "balance", *(("prepare",) if model.preparation is None else ()))
    if said := [word for word in words if word in keys]:
        raise SpecError(Problem("fit takes arrays as they are, and the spec's data want more done to rows", keys[said[0]], found=", ".join(said),
                                wanted="fit(), which trains on these data", hint="or a spec whose data do not say it", rule="feed"))  # fmt: skip
