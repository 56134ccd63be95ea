"""Trains a model: its data found, a run continued where there is one, and the loop over all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnspec.compiler import check_trainable
from nnspec.data.batches import count
from nnspec.data.epochs import Epochs
from nnspec.data.load import Dataset, Rows
from nnspec.data.prepare import Preparation
from nnspec.errors import DataError, Problem, SpecError
from nnspec.network.class_weights import count_classes
from nnspec.runtime.callbacks import Callback
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.loading import epochs as epochs_of_data
from nnspec.runtime.loop import Loop, Run
from nnspec.runtime.recording import Recording
from nnspec.runtime.resume import Splits, epochs_before
from nnspec.runtime.run_folder import PREPARATION, RunFolder
from nnspec.runtime.session import Model
from nnspec.runtime.taps import Tapping
from nnspec.training.stretches import Stretches

__all__ = ["Run", "Splits", "train"]


def train(
    model: Model,
    data: Dataset | Splits | None = None,
    folder: RunFolder | None = None,
    epochs: int | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
    taps: Tapping | None = None,
) -> Run:
    """Trains a model on data (by default the spec's own) for so many epochs (by default the spec's).

    With a folder everything is left there: ``last.safetensors`` at the end, at an interruption, every
    ``checkpoint.every`` steps, and at the ends of epochs, there at most every two seconds; ``best.safetensors`` just
    before it. When saves happen does not change what is learned. With ``resume`` a run goes on from
    ``last.safetensors``, in the middle of an epoch too, and ends with the same bits as one that was never stopped;
    without that file it starts anew.

    ``taps`` says how often it is looked into layers and gradients, which goes into the folder; nothing of the run depends on it.

    Ctrl-C and SIGTERM finish the step, save, and raise Interrupted. Raises SpecError where the spec does not fit its
    data or the run to be resumed, NumbersError with the weights intact, ResourceError where the disk is full, DataError
    for a checkpoint that cannot be read.
    """
    check_trainable(model.spec)
    total = model.spec.settings.epochs if epochs is None else epochs
    going = resume and folder is not None and folder.last.exists()
    if going and folder is not None:
        model.preparation = _preparation(folder)
        if epochs is None:  # what a schedule of stretches adds up to is not what the spec states
            stated = total if "epochs" in model.spec.document.root.pairs else None
            total = epochs_before(folder, stated) or total
    schedule = model.spec.document.schedule
    if total is None and not isinstance(schedule, Stretches):
        raise _endless(model)
    if not going:
        model.transfer()
    splits, epochs_of = _splits(model, data)
    if total is None and isinstance(schedule, Stretches) and epochs_of is not None:
        total = schedule.epochs(count(epochs_of.rows.size, epochs_of.batch_size))
    if total is None:
        raise _endless(model)
    model.balance = count_classes(model.spec.built, splits["train"]) if "train" in splits else None
    if taps is not None and folder is not None:
        callbacks = (taps.of(model, splits, folder.path), *callbacks)  # first: another may end the run
    recorded = () if folder is None else (Recording(folder.path),)
    loop = Loop(model, splits, epochs_of, folder, total, (*callbacks, *recorded))
    if folder is not None:
        loop.prepare(folder, going)
    return loop.run()


def _endless(model: Model) -> SpecError:
    place = model.spec.document.root.place
    return SpecError(Problem("the spec does not say how long to train", place, wanted="epochs: 10", rule="missing-key"))


def _preparation(folder: RunFolder) -> Preparation | None:
    if not (folder.path / PREPARATION).exists():
        return None
    try:
        return Preparation.from_json(folder.read_json(PREPARATION))
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise DataError(
            Problem(
                f"{folder.path / PREPARATION}: this is no preparation",
                found=f"{type(e).__name__}: {e}"[:100],
                rule="run-folder",
            )
        ) from e


def _splits(model: Model, data: Dataset | Splits | None) -> tuple[Splits, Epochs | None]:
    """The arrays that the model is fed, by split, and the epochs of training rows."""
    data = dataset(model) if data is None else data
    if isinstance(data, Dataset):
        model.preparation = data.preparation
        splits = {split: assembled(model, rows).arrays for split, rows in data.splits.items()}
        train = epochs_of_data(model, data)
    else:
        splits = dict(data)
        rows = len(next(iter(data["train"].values()))) if "train" in data else 0
        size = min(model.spec.settings.batch_size, rows) * model.accumulate
        train = Epochs(Rows(data["train"], np.arange(rows)), size, model.seed) if rows else None
    return {split: arrays for split, arrays in splits.items() if len(next(iter(arrays.values())))}, train
