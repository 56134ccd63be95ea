"""What is seen inside a run from its folder: it is what scikit-learn, Pillow and the interpreter find, and bad input is one clear error."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.runtime.observe import Absent, Boundary, Confusion, Features, Kernels, Observer, Samples, Scatter, Snapshot
from nnspec.runtime.observe import confusion as confusions
from nnspec.runtime.observe.picture import encode
from nnspec.runtime.run_folder import open_run
from nnspec.runtime.session import compile
from nnspec.runtime.taps import Tapping, every, read
from nnspec.runtime.trainer import train

Image = pytest.importorskip("PIL.Image", reason="install the extra 'images'")
learned = pytest.importorskip("sklearn.metrics", reason="install the extra 'test'")

DIGITS = """
nnspec: 1
data: {digits: {}, split: {train: 0.3, validation: 0.2, test: 0.5}}
layers:
  - conv2d: {filters: 4, kernel: 3, padding: same, activation: relu}
  - batch_norm
  - conv2d: {filters: 6, kernel: 3}
  - flatten
  - dense: 10
loss: {cross_entropy: {smoothing: 0.1, class_weights: balanced}}
metrics: [accuracy]
optimizer: {adam: {learning_rate: 0.01}}
epochs: 2
"""
PLANE = """
nnspec: 1
data:
  inline:
    columns: {width: [0.0, 10, 20, 30, 5, 25, 14, 28], height: [100.0, 180, 140, 160, 190, 110, 130, 150], kind: [a, b, b, a, a, b, a, b]}
    target: kind
  split: {train: 0.75, validation: 0.25}
  prepare: [standardize: [width, height]]
layers: [dense: {units: 6, activation: tanh}, dense: UNITS]
loss: LOSS
optimizer: {adam: {learning_rate: 0.05}}
epochs: 3
batch_size: 4
"""


def run(folder: Path, text: str, taps: str | None = None) -> Path:
    with open_run(folder, "x") as opened:
        train(compile(loads(text, str(folder.parent / "spec.yaml"))), None, opened, taps=Tapping(every(taps), print) if taps else None)
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("digits") / "run", DIGITS, "1epoch")


@pytest.fixture(scope="module")
def seen(digits: Path) -> Observer:
    return Observer(digits)


def decoded(picture: dict[str, Any]) -> Any:
    image = np.asarray(Image.open(io.BytesIO(b64decode(picture["png"]))))
    assert image.shape[:2] == (picture["height"], picture["width"])
    return image


def check_json(found: Any) -> dict[str, Any]:
    told: dict[str, Any] = found.as_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    return told


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 2, 3), (1, 300)])
def test_pictures_are_png_files_that_pillow_reads(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode(pixels)))), pixels)


def test_statistics_are_those_of_the_run_s_own_tap_at_that_step(digits: Path, seen: Observer) -> None:
    found = seen.statistics()
    assert isinstance(found, Snapshot)
    tap = read(digits)
    assert {k: v for k, v in tap.items() if k not in ("format", "every", "epoch")} == check_json(found)


def test_the_best_weights_have_statistics_without_gradients(digits: Path) -> None:
    found = Observer(digits, "best").statistics()
    assert isinstance(found, Snapshot) and found.layers["conv2d_1"].activation is not None
    assert "without the optimizer's state" in found.layers["conv2d_1"].absent["gradient"]


def test_rows_are_those_of_the_data_with_what_predict_says_and_losses_that_add_up(seen: Observer) -> None:
    assert seen.splits == {"train": 539, "validation": 359, "test": 899}
    found = seen.samples("test", 4, looked=899)
    assert isinstance(found, Samples) and (found.of, found.looked) == (899, 899)
    told = check_json(found)
    split = seen._splits["test"]
    assert [s.loss for s in found.worst] == sorted((s.loss for s in found.worst), reverse=True)  # type: ignore[type-var]
    image = np.asarray(split.arrays["image"][:4])
    answer = seen.model.predict(image)
    for i, sample in enumerate(told["first"]):
        np.testing.assert_array_equal(decoded(sample["inputs"]["image"]["picture"]), np.uint8(image[i, ..., 0] * 255 + 0.5))
        shown = sample["answers"]["output"]
        assert shown["number"] == answer[i].argmax() and shown["values"][0] == pytest.approx(answer[i].max(), rel=1e-5)
        assert sample["targets"]["output"]["number"] == split.arrays["target"][i]
        assert sample["right"] == (answer[i].argmax() == split.arrays["target"][i])


def test_losses_of_rows_have_the_loss_as_their_mean(tmp_path: Path) -> None:
    text = DIGITS.replace(", class_weights: balanced", "")
    seen = Observer(run(tmp_path / "run", text))
    n = 899
    from nnspec.runtime.observe.rows import answered

    split = seen._splits["test"]
    loss = answered(seen.model, split.take(np.arange(n)), n).loss
    assert loss is not None and loss.mean() == pytest.approx(seen.model.evaluate()["loss"], rel=1e-5)


def test_the_confusion_matrix_is_that_of_scikit_learn(seen: Observer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen.confusion("test")
    assert isinstance(found, Confusion)
    split = seen._splits["test"]
    said, meant = seen.model.predict(np.asarray(split.arrays["image"][:])).argmax(-1), split.arrays["target"]
    matrix = learned.confusion_matrix(meant, said, labels=range(10))
    np.testing.assert_array_equal(found.counts, matrix)
    assert (found.right, found.total) == (np.trace(matrix), 899)
    wrong = matrix - np.diag(np.diag(matrix))
    assert found.pairs[0][2] == wrong.max() == wrong[int(found.pairs[0][0]), int(found.pairs[0][1])]
    monkeypatch.setattr(confusions, "CLASSES", 3)
    some = seen.confusion("test")
    assert isinstance(some, Confusion) and len(some.classes) == 3 and some.of == 10
    worst = sorted(np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:3])
    assert list(some.numbers) == worst and some.counts[0][1] == matrix[worst[0], worst[1]]
    check_json(some)


def test_feature_maps_are_the_values_of_the_layer_not_of_what_was_folded_into_another(seen: Observer) -> None:
    found = seen.features("batch_norm_1", "test", 5)
    assert isinstance(found, Features) and found.of == len(found.tiles) == 4
    p = seen.model.parameters
    x = np.asarray(seen._splits["test"].arrays["image"][5:6])[0, ..., 0].astype(np.float64)
    k = np.asarray(p["conv2d_1/kernel"])[:, :, 0, 1]
    padded = np.pad(x, 1)
    y = sum(padded[i : i + 8, j : j + 8] * k[i, j] for i in range(3) for j in range(3)) + np.asarray(p["conv2d_1/bias"])[1]
    y = np.maximum(y, 0)
    y = (y - np.asarray(p["batch_norm_1/moving_mean"])[1]) / np.sqrt(np.asarray(p["batch_norm_1/moving_variance"])[1] + 1e-3)
    y = y * np.asarray(p["batch_norm_1/gamma"])[1] + np.asarray(p["batch_norm_1/beta"])[1]
    tile = check_json(found)["tiles"][1]
    assert (tile["low"], tile["high"]) == pytest.approx((y.min(), y.max()), rel=1e-4)
    shown = decoded(tile["picture"]).astype(int)
    assert abs(shown - np.round((y - y.min()) / (y.max() - y.min()) * 255)).max() <= 1
    same = seen.features("batch_norm_1", "test", 5, "layer")
    assert isinstance(same, Features) and {(t.low, t.high) for t in same.tiles} == {(found.low, found.high)}
    flat = seen.features("dense_1", "test", 5)
    assert isinstance(flat, Features) and len(flat.values) == 10 and not flat.tiles
    np.testing.assert_allclose(np.array(flat.values, float), seen.model.predict(x[None, ..., None].astype(np.float32), raw=True)[0], rtol=1e-4, atol=1e-5)


def test_kernels_are_tiles_around_zero(seen: Observer) -> None:
    first, second = seen.kernels("conv2d_1"), seen.kernels("conv2d_2")
    assert isinstance(first, Kernels) and isinstance(second, Kernels)
    assert (first.how, first.of, second.how, second.of) == ("grey", 4, "channels", 6)
    k = np.asarray(seen.model.parameters["conv2d_1/kernel"], np.float64)
    reach = abs(k).max()
    tile = check_json(first)["tiles"][2]
    assert abs(decoded(tile["picture"]).astype(int) - np.round((k[:, :, 0, 2] + reach) / (2 * reach) * 255)).max() <= 1
    assert second.tiles[0].picture.pixels.shape == (7, 7)  # four channels of 3 x 3, and a line between them
    assert isinstance(seen.kernels("flatten_1"), Absent) and isinstance(seen.kernels("image"), Absent)


@pytest.mark.parametrize(("units", "loss"), [("2", "cross_entropy"), ("{units: 1, activation: sigmoid}", "binary_cross_entropy")])
def test_the_plane_of_two_inputs_is_what_predict_says_there(units: str, loss: str, tmp_path: Path) -> None:
    seen = Observer(run(tmp_path / "run", PLANE.replace("UNITS", units).replace("LOSS", loss)))
    found = seen.boundary(size=9)
    assert isinstance(found, Boundary) and found.axes == ("width", "height") and found.classes == ("a", "b")
    assert found.low == pytest.approx((-3, 91)) and found.high == pytest.approx((33, 199))
    labels = np.frombuffer(found.labels, np.uint8).reshape(9, 9)
    sure = np.frombuffer(found.sure, np.uint8).reshape(9, 9)
    for row, column in [(0, 0), (0, 8), (8, 0), (3, 5)]:
        x = np.array([[found.low[0] + 36 * column / 8, found.high[1] - 108 * row / 8]])
        y = seen.model.predict(x)[0]
        p = y if len(y) == 2 else np.array([1 - y[0], y[0]])
        assert labels[row, column] == p.argmax() and sure[row, column] == pytest.approx(p.max() * 255, abs=1)
    points = {p for rows in found.points.values() for p in rows}
    assert points == set(zip([0.0, 10, 20, 30, 5, 25, 14, 28], [100.0, 180, 140, 160, 190, 110, 130, 150], [0, 1, 1, 0, 0, 1, 0, 1], strict=True))
    told = check_json(found)
    assert decoded(told["picture"]).shape == (9, 9, 3) and told["colours"][0] == "#4c78a8"
    sample = seen.row("train", 0).as_json()
    assert sample["inputs"]["features"]["names"] == ["width", "height"] and sample["targets"]["output"]["class"] in "ab"


def test_numbers_are_scattered_in_their_own_unit(tmp_path: Path) -> None:
    text = PLANE.replace("UNITS", "1").replace("LOSS", "mse").replace("kind: [a, b, b, a, a, b, a, b]", "kind: [1000.0, 2000, 1500, 1200, 900, 800, 700, 1100]")
    seen = Observer(run(tmp_path / "run", text.replace("[width, height]", "[width, height, kind]")))
    found = seen.scatter("train")
    assert isinstance(found, Scatter) and found.columns[0].name == "kind"
    x = np.array([list(s.inputs["features"].values) for s in seen.samples("train").first])  # type: ignore[union-attr]
    np.testing.assert_allclose(np.array(found.columns[0].predicted, float), seen.model.predict(x)[:, 0], rtol=1e-5)
    assert set(found.columns[0].target) <= {1000.0, 2000, 1500, 1200, 900, 800, 700, 1100}
    t, p = np.array(found.columns[0].target, float), np.array(found.columns[0].predicted, float)
    assert found.columns[0].r2 == pytest.approx(learned.r2_score(t, p), abs=1e-4)
    assert isinstance(seen.confusion(), Absent)
    plane = seen.boundary(size=5)
    assert isinstance(plane, Boundary) and len(plane.values) == 100 and plane.least is not None
    check_json(found), check_json(plane)


def written(folder: Path, **arrays: Any) -> None:
    np.savez(folder / "rows.npz", **arrays)


def test_a_class_for_every_point_is_a_map_and_what_counts_for_nothing_is_left_out(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    image = draw.random((12, 6, 5, 3)).astype(np.float32)
    mask = (image[..., 0] > 0.5).astype(np.int64) + (image[..., 1] > 0.8)
    mask[:, 0] = 3
    written(tmp_path, image=image, mask=np.array(["grass", "road", "sky", "void"])[mask])
    text = f"""
nnspec: 1
data: {{npz: {{path: {tmp_path / "rows.npz"}, target: mask}}}}
layers: [conv2d: {{filters: 8, kernel: 3, padding: same, activation: relu}}, conv2d: {{filters: 3, kernel: 1}}]
loss: {{cross_entropy: {{ignore: void}}}}
optimizer: {{adam: {{learning_rate: 0.05}}}}
epochs: 4
"""
    seen = Observer(run(tmp_path / "run", text))
    sample = check_json(seen.row("train", 2))
    target, answer = sample["targets"]["output"], sample["answers"]["output"]
    assert target["kind"] == answer["kind"] == "map" and decoded(target["picture"]).shape == (6, 5, 3)
    assert set(target["classes"]) <= {"grass", "road", "sky", "counts for nothing"} and (decoded(target["picture"])[0] == 0).all() and decoded(sample["inputs"]["image"]["picture"]).shape == (6, 5, 3)
    found = seen.confusion("train")
    assert isinstance(found, Confusion)
    said = seen.model.predict(image).argmax(-1)
    order = seen._splits["train"].sources
    counts = learned.confusion_matrix(mask[order][:, 1:].ravel(), said[order][:, 1:].ravel(), labels=range(3))
    np.testing.assert_array_equal(found.counts, counts)
    kernels = seen.kernels("conv2d_1")
    assert isinstance(kernels, Kernels) and kernels.how == "colour" and decoded(check_json(kernels)["tiles"][0]["picture"]).shape == (3, 3, 3)


def test_several_outputs_units_that_say_yes_or_no_and_pictures_as_answers(tmp_path: Path) -> None:
    draw = np.random.default_rng(4)
    image = draw.random((10, 4, 4, 1)).astype(np.float32)
    tags = (draw.random((10, 3)) > 0.5).astype(np.float32)
    written(tmp_path, image=image, tags=tags, clean=image)
    text = f"""
nnspec: 1
data: {{npz: {{path: {tmp_path / "rows.npz"}, target: [tags, clean]}}}}
inputs: {{image: {{columns: image}}}}
layers:
  - conv2d: {{filters: 3, kernel: 3, padding: same, activation: tanh, name: maps}}
  - conv2d: {{filters: 1, kernel: 1, name: again}}
  - flatten: {{from: maps}}
  - dense: {{units: 3, name: said}}
outputs: [said, again]
loss:
  - binary_cross_entropy: {{from: said, target: tags}}
  - mse: {{from: again, target: clean}}
optimizer: {{adam: {{}}}}
epochs: 1
"""
    seen = Observer(run(tmp_path / "run", text))
    sample = check_json(seen.row("train", 1))
    assert sample["answers"]["again"]["kind"] == sample["targets"]["again"]["kind"] == "image" and sample["answers"]["said"]["kind"] == "units"
    assert sample["right"] is None and sample["loss"] > 0
    found = seen.confusion("train", "said")
    assert isinstance(found, Confusion) and len(found.units) == 3
    order = seen._splits["train"].sources
    said = seen.model.predict(image)["said"][order] > 0.5
    for k, (_, hits, false, missed, none) in enumerate(found.units):
        matrix = learned.confusion_matrix(tags[order, k] > 0.5, said[:, k], labels=[False, True])
        assert [[none, false], [missed, hits]] == matrix.tolist()
    assert isinstance(seen.confusion("train", "again"), Absent)
    picture = seen.scatter("train", "again")
    assert isinstance(picture, Absent) and "see the samples" in picture.reason


def test_embeddings_are_points_with_the_names_of_their_classes_and_dense_layers_show_the_picture_they_read(tmp_path: Path) -> None:
    text = """
nnspec: 1
data: {inline: {columns: {town: [rome, oslo, rome, bern, oslo, bern], price: [1.0, 2, 3, 4, 5, 6]}, target: price}}
layers: [embedding: {vocabulary: $data.town.classes, units: 4}, flatten, dense: 1]
loss: mse
optimizer: {sgd: {}}
epochs: 1
"""
    seen = Observer(run(tmp_path / "run", text))
    found = seen.kernels("embedding_1")
    assert isinstance(found, Kernels) and [p[0] for p in found.points] == list(seen.model.spec.document.data.columns["town"].classes)  # type: ignore[union-attr,arg-type]
    x = np.asarray(seen.model.parameters["embedding_1/embedding"], np.float64)
    flat = np.array([p[1:] for p in found.points], float)
    centred = x - x.mean(0)
    np.testing.assert_allclose(flat @ flat.T, centred @ centred.T, atol=1e-5)  # three points lie in a plane
    network = "nnspec: 1\ndata: digits\nlayers: [flatten, dense: 10]\nloss: cross_entropy\noptimizer: {sgd: {}}\nepochs: 1\n"
    other = Observer(run(tmp_path / "digits", network)).kernels("dense_1")
    assert isinstance(other, Kernels) and (other.how, other.of) == ("input", 10) and other.tiles[0].picture.pixels.shape == (8, 8)


def test_a_row_of_the_user_s_own_is_the_split_given(digits: Path) -> None:
    seen = Observer(digits)
    with pytest.raises(SpecError, match="no rows called 'given'"):
        seen.row("given", 0)
    seen.give("my.png", {"image": np.full((1, 8, 8, 1), 0.5, np.float32)})
    sample = seen.row("given", 0)
    assert (sample.label, sample.loss, sample.right, dict(sample.targets)) == ("my.png", None, None, {})
    assert seen.splits["given"] == 1 and isinstance(seen.features("conv2d_1", "given", 0), Features)
    assert isinstance(seen.confusion("given"), Absent) and isinstance(seen.samples("given"), Samples)
    with pytest.raises(SpecError):
        seen.give("wrong", {"image": np.zeros((1, 9, 8, 1), np.float32)})
    with pytest.raises(SpecError):
        seen.give("wrong", {"picture": np.zeros((1, 8, 8, 1), np.float32)})


WRONG = {
    "no layer": lambda s: s.features("conv2d_9"),
    "no layer of kernels": lambda s: s.kernels("conv2d_9"),
    "no parameter": lambda s: s.kernels("conv2d_1", "gamma"),
    "no row": lambda s: s.features("conv2d_1", "test", 899),
    "a row below 0": lambda s: s.row("test", -1),
    "no split": lambda s: s.samples("holdout"),
    "no output": lambda s: s.confusion("test", "box"),
    "no number of samples": lambda s: s.samples("test", 0),
    "too many samples": lambda s: s.samples("test", 100_000),
    "no scale": lambda s: s.features("conv2d_1", "test", 0, "row"),
    "no size": lambda s: s.boundary(size=100_000),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_there_is_one_clear_error(what: str, seen: Observer) -> None:
    with pytest.raises(SpecError) as told:
        WRONG[what](seen)
    assert len(told.value.problems) == 1 and told.value.problems[0].wanted


def test_a_damaged_checkpoint_is_one_clear_error(digits: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(digits, folder)
    whole = (folder / "last.safetensors").read_bytes()
    seen = Observer(folder)
    assert not seen.refresh()
    for content in (whole[: len(whole) // 2], b"", b"\0" * 100, whole[:8] + b"[" + whole[9:]):
        (folder / "last.safetensors").write_bytes(content)
        with pytest.raises(DataError, match="last.safetensors"):
            Observer(folder)
        with pytest.raises(DataError, match="last.safetensors"):
            seen.refresh()
    (folder / "last.safetensors").unlink()
    with pytest.raises(NnspecError, match="not there"):
        Observer(folder)
    with pytest.raises(NnspecError):
        Observer(tmp_path / "nowhere")
    (folder / "last.safetensors").write_bytes(whole)
    assert seen.refresh() and not seen.refresh()


def test_rows_that_are_not_those_of_the_run_any_more_are_noted(tmp_path: Path) -> None:
    written(tmp_path, x=np.arange(8.0).reshape(8, 1), y=np.arange(8.0))
    text = f"nnspec: 1\ndata: {{npz: {{path: {tmp_path / 'rows.npz'}, target: y}}}}\nlayers: [dense: 1]\nloss: mse\noptimizer: {{sgd: {{}}}}\nepochs: 1\n"
    folder = run(tmp_path / "run", text)
    same = Observer(folder)
    assert same.splits == {"train": 8} and same.notes == ()
    written(tmp_path, x=np.arange(8.0).reshape(8, 1), y=np.arange(8.0) + 1)
    other = Observer(folder)
    assert other.splits == {"train": 8} and other.notes == ("the train rows have changed since the run",)
    (tmp_path / "rows.npz").unlink()
    with pytest.raises(DataError, match="rows.npz"):
        Observer(folder).samples()


def test_the_newest_weights_are_taken_when_the_run_has_saved(digits: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(digits, folder)
    seen = Observer(folder)
    before = seen.features("conv2d_1", "test", 0)
    with open_run(folder, "x", True) as opened:
        train(compile(loads(DIGITS)), None, opened, 3, (), True)
    assert seen.refresh() and seen.step == 51
    after = seen.features("conv2d_1", "test", 0)
    assert isinstance(before, Features) and isinstance(after, Features) and before.high != after.high


def test_a_model_without_data_of_its_own_is_looked_at_with_a_row_that_is_given(tmp_path: Path) -> None:
    model = compile(loads("nnspec: 1\ninputs: {features: {shape: [2]}}\nlayers: [dense: {units: 3, activation: relu}, dense: 1]\n"))
    model.save(tmp_path / "model")
    seen = Observer(tmp_path / "model")
    for found in (seen.statistics(), seen.samples(), seen.confusion(), seen.features("dense_1")):
        assert isinstance(found, Absent) and "no data of its own" in found.reason
    seen.give("1,2", {"features": np.array([[1.0, 2.0]])})
    told = check_json(seen.samples())
    assert told["first"][0]["answers"]["output"]["values"][0] == pytest.approx(float(model.predict(np.array([[1.0, 2.0]]))[0, 0]), rel=1e-5)
    assert isinstance(seen.statistics(), Snapshot) and isinstance(seen.boundary(size=4), Boundary)
