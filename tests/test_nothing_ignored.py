"""What would be accepted and then not used is an error that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.runtime.loading import dataset
from nnspec.runtime.session import compile

IRIS = """\
nnspec: 1
data:
  iris: {}
MORE
layers: [dense: {units: 8, name: hidden}, relu, dense: 3]
loss: cross_entropy
optimizer: {sgd: {learning_rate: 0.1}}
epochs: 1
batch_size: 50
"""
DIGITS = "nnspec: 1\ndata: {digits: {}MORE}\nlayers: [flatten, dense: 10]\nloss: cross_entropy\noptimizer: sgd\nepochs: 1\nbatch_size: 200\n"
X, T = np.random.default_rng(0).standard_normal((20, 4)), np.arange(20) % 3


def iris(more: str = "") -> str:
    return IRIS.replace("MORE", f"  {more}") if more else IRIS.replace("MORE\n", "")


@pytest.mark.parametrize("said", ["balance: true", "prepare: [standardize: [sepal_length]]"])
def test_arrays_beside_data_that_want_more_done_to_rows_are_refused(said: str) -> None:
    with pytest.raises(SpecError, match="fit takes arrays as they are") as caught:
        compile(loads(iris(said))).fit(X, T)
    (problem,) = caught.value.problems
    assert problem.found == said.partition(":")[0] and problem.place is not None and problem.place.line == 4


def test_all_of_it_is_told_at_once() -> None:
    model = compile(loads(DIGITS.replace("MORE", ", split: {train: 0.8, test: 0.2, stratify: digit}, balance: true, augment: [flip: horizontal]")))
    with pytest.raises(SpecError, match="augment, balance"):
        model.fit(np.zeros((4, 8, 8, 1)), [0, 1, 2, 3])


def test_arrays_stand_in_place_of_the_data_with_their_split() -> None:
    split, whole = (compile(loads(DIGITS.replace("MORE", more))) for more in (", split: {train: 0.8, test: 0.2, stratify: digit}", ""))
    x, y = np.random.default_rng(0).random((70, 8, 8, 1)), np.arange(70) % 10
    assert split.fit(x, y, epochs=2).metrics == whole.fit(x, y, epochs=2).metrics
    assert split.step == 2


def test_arrays_are_prepared_as_the_data_were() -> None:
    """Once a preparation is fitted, arrays are in physical units, and nothing of it is ignored."""
    model = compile(loads(iris("prepare: [standardize: [sepal_length]]")))
    data = dataset(model)
    raw = {name: data.declaration.array(name)[data.splits["train"].rows] for name in data.declaration.features}
    other = compile(loads(iris("prepare: [standardize: [sepal_length]]")))
    other.fit()
    other.restore(model.state())
    other.step = 0
    features = np.stack(list(raw.values()), axis=1)
    target = data.splits["train"].arrays["species"]
    scores = other.train_batch({"features": features, "target": target})
    from nnspec.runtime.loading import assembled

    assert scores["loss"] == pytest.approx(model.train_step(assembled(model, data.splits["train"]).arrays, 0.1, len(target))["loss"], rel=1e-5)
    other.fit(features, target, epochs=1)


def test_arrays_beside_data_that_say_no_more_are_taken() -> None:
    compile(loads(iris())).fit(X, T)
    compile(loads(iris("workers: 0"))).fit(X, T)


# A layer's own rate beside a rate of 0

SCHEDULED = iris().replace("name: hidden", "name: hidden, learning_rate: 0.05").replace("learning_rate: 0.1", "learning_rate: 0")


@pytest.mark.parametrize("schedule", ["{cosine: {}}", "{constant: {warmup: 5}}", "{plateau: train.loss}", "[{epochs: 1, constant: {}}, {epochs: 1, linear: {}}]"])
def test_a_schedule_beside_a_rate_of_0_would_be_ignored_by_a_layers_own(schedule: str) -> None:
    with pytest.raises(SpecError, match="layer 'hidden' has a learning rate of its own, and the schedule cannot go along with one of 0") as caught:
        loads(SCHEDULED.replace("epochs: 1\n", "") + ("" if "[" in schedule else "epochs: 3\n") + f"schedule: {schedule}\n")
    assert len(caught.value.problems) == 1 and "the optimizer's learning_rate: 0" in str(caught.value)


@pytest.mark.parametrize("text", [
    SCHEDULED,
    SCHEDULED + "schedule: constant\n",
    SCHEDULED.replace("learning_rate: 0.05", "learning_rate: 0.1x") + "schedule: {cosine: {}}\n",
    SCHEDULED.replace("learning_rate: 0.05", "learning_rate: 0.05, trainable: false") + "schedule: {cosine: {}}\n",
    SCHEDULED.replace("learning_rate: 0}", "learning_rate: 0.1}") + "schedule: {cosine: {}}\n",
])
def test_without_a_schedule_to_ignore_there_is_nothing_wrong(text: str) -> None:
    compile(loads(text)).fit()


def test_a_stretch_of_rate_0_is_looked_at_by_itself() -> None:
    text = SCHEDULED.replace("learning_rate: 0}", "learning_rate: 0.1}").replace("epochs: 1\n", "")
    good = "schedule: [{epochs: 1, learning_rate: 0}, {epochs: 1, cosine: {}}]\n"
    model = compile(loads(text + good))
    before = np.asarray(model.parameters["dense_1/kernel"] if "dense_1/kernel" in model.parameters else model.parameters["dense_2/kernel"]).copy()
    model.fit()
    assert not np.array_equal(before, np.asarray(list(model.parameters.values())[2]))
    with pytest.raises(SpecError, match="the stretch's learning_rate: 0"):
        loads(text + good.replace("learning_rate: 0}", "learning_rate: 0, cosine: {}}"))


# Data


@pytest.mark.parametrize(("text", "said"), [
    (DIGITS.replace("MORE", ", columns: {image: {image: {size: 4}}}"), "column 'image' holds no paths of images"),
    (DIGITS.replace("MORE", ", columns: {image: number}"), "column 'image' cannot be a number"),
    (DIGITS.replace("MORE", ", split: {stratify: digit}"), "the split divides nothing, so that 'stratify' would be ignored"),
    (DIGITS.replace("MORE", ", split: {train: 1.0, group: digit}"), "the split divides nothing, so that 'group' would be ignored"),
    ("nnspec: 1\ninputs: {x: {shape: [3], columns: [a, b, c]}}\nlayers: [dense: 3]\n", "input 'x' names columns, and the spec has no data"),
])
def test_what_the_data_cannot_use_is_refused(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        loads(text)
    assert len(caught.value.problems) == 1


def test_images_and_masks_of_files_take_their_kind_from_the_source(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for folder in ("img", "mask"):
        (tmp_path / folder).mkdir()
        for i in range(2):
            image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / folder / f"{i}.png")
    text = (f"nnspec: 1\ndata: {{files: {{image: '{tmp_path}/img/*.png', mask: {{path: '{tmp_path}/mask/*.png', as: labels}}, target: mask}}, "
            "columns: {COLUMN}}\nlayers: [conv2d: {filters: 2, kernel: 1}]\nloss: cross_entropy\n")
    for column, said in (("image: {image: {size: 4}}", "column 'image' holds no paths of images"), ("mask: number", "column 'mask' cannot be a number"),
                         ("mask: category", "column 'mask' cannot be a category")):
        with pytest.raises(SpecError, match=said) as caught:
            loads(text.replace("COLUMN", column))
        assert len(caught.value.problems) == 1
