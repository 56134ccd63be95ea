"""``Model.fit``: training from Python, on the spec's own data or on arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnspec.errors import Problem, SpecError
from nnspec.runtime.feeds import rows_of
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import Model
from nnspec.runtime.trainer import Run, Splits, train


def fit(model: Model, x: Any, y: Any, epochs: int | None, out: str | Path | None) -> Run:
    """Trains for so many epochs; ``x`` and ``y`` are arrays, or dicts of them by name.

    Arrays are taken as they are: ``augment`` and ``balance`` of a spec work on the spec's own data.
    """
    data = _splits(model, x, y)
    if out is None:
        return train(model, data, None, epochs)
    with open_run(Path(out), model.spec.name) as folder:
        return train(model, data, folder, epochs)


def _splits(model: Model, x: Any, y: Any) -> Splits | None:
    if x is None and y is None:
        return None
    if x is None or y is None:
        raise SpecError(Problem("fit takes both inputs and targets, or neither", wanted="fit(x, y), or fit()", rule="feed"))
    inputs = model.spec.built.network.inputs
    names = [t.feed for t in model.targets if t.feed not in inputs]
    feeds = dict(x) if isinstance(x, dict) else {next(iter(inputs)): x}
    feeds.update(y if isinstance(y, dict) else dict.fromkeys(names[:1], y))
    arrays, weights = model.feeds(feeds)
    if weights is not None:
        raise SpecError(Problem("sample_weight in fit: not in this version", rule="not-in-this-version"))
    rows_of(arrays)
    return {"train": arrays}
