"""What each augmentation does to pixels and masks, and that nothing but seed, epoch and row decides what is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import loads
from nnspec.data.augment import Augmentation
from nnspec.data.batches import Batch
from nnspec.data.declare import declare
from nnspec.data.draws import Draws
from nnspec.data.epochs import Epochs, balance, occurrences
from nnspec.data.load import load
from nnspec.data.sampling import bilinear, nearest, turned
from nnspec.errors import NnspecError
from nnspec.runtime.loading import dataset, epochs
from nnspec.runtime.session import compile
from nnspec.spec.source import read

N = 4000
MANY = Draws(5, 2, np.arange(N), np.zeros(N, np.intp))


def changed(kind: str, x: Any, draws: Draws = MANY, **fields: Any) -> Any:
    step = Augmentation.make(kind, **fields)
    return step.image(x.copy(), step.draw(draws, "test", x.shape[1:3]))


def images(n: int = N, h: int = 6, w: int = 5, c: int = 2, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(size=(n, h, w, c)).astype(np.float32)


# Draws


def test_a_draw_is_the_rows_alone_whatever_rows_are_beside_it() -> None:
    rows = np.array([9, 3, 700, 3])
    some = Draws(1, 4, rows, np.array([0, 0, 0, 1]))
    alone = Draws(1, 4, rows[2:3], np.zeros(1, np.intp))
    for name in ("uniform", "normal", "words"):
        assert np.array_equal(getattr(some, name)("a", 5)[2], getattr(alone, name)("a", 5)[0])
    assert some.beta("a", 0.3)[2] == alone.beta("a", 0.3)[0]
    assert not np.array_equal(some.uniform("a", 5)[1], some.uniform("a", 5)[3])
    for other in (Draws(2, 4, rows, some.copy), Draws(1, 5, rows, some.copy)):
        assert not np.isin(other.uniform("a", 5), some.uniform("a", 5)).any()


def test_normal_draws_are_normal() -> None:
    x = MANY.normal("n", 100).astype(np.float64)
    assert abs(x.mean()) < 4 / np.sqrt(x.size) and abs(x.std() - 1) < 4 / np.sqrt(2 * x.size)
    assert abs((x**4).mean() - 3) < 0.05 and abs((np.abs(x) < 1).mean() - 0.682689) < 0.003


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_are_beta(alpha: float) -> None:
    x = Draws(0, 0, np.arange(40000), np.zeros(40000, np.intp)).beta("m", alpha)
    assert ((x >= 0) & (x <= 1)).all() and abs(x.mean() - 0.5) < 0.01
    assert x.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


# Each of them


def test_flips_mirror_half_of_the_images_and_twice_is_nothing() -> None:
    x = images()
    y = changed("flip", x)
    same, mirrored = (y == x).all((1, 2, 3)), (y == x[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all() and abs(mirrored.mean() - 0.5) < 0.03
    assert np.array_equal(changed("flip", y), x)
    assert np.array_equal(changed("flip", x, probability=1.0, direction="vertical"), x[:, ::-1])
    assert np.array_equal(changed("flip", x, probability=1.0, direction="both"), x[:, ::-1, ::-1])
    assert np.array_equal(changed("flip", x, probability=0.0), x)
    both = changed("flip", x, direction="both")
    assert abs((both == x[:, ::-1, ::-1]).all((1, 2, 3)).mean() - 0.25) < 0.03


def test_a_padded_crop_is_the_image_shifted_and_every_shift_is_equally_likely() -> None:
    x = images()
    y = changed("crop", x, padding=1)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = np.stack([(y == padded[:, dy : dy + 6, dx : dx + 5]).all((1, 2, 3)) for dy in range(3) for dx in range(3)])
    assert (shifts.sum(0) == 1).all() and (np.abs(shifts.mean(1) - 1 / 9) < 0.02).all()


def test_a_crop_of_half_the_size_is_enlarged_like_a_resize() -> None:
    import torch

    x = images(50, 8, 8)
    step = Augmentation.make("crop", size=(4, 4))
    drawn = step.draw(MANY.of(np.arange(50)), "test", (8, 8))
    assert set(drawn.reshape(-1).tolist()) == {0, 1, 2, 3, 4}
    y = step.image(x.copy(), drawn)
    for i, (top, left) in enumerate(drawn.tolist()):
        window = torch.from_numpy(x[i, top : top + 4, left : left + 4].transpose(2, 0, 1)[None])
        wanted = torch.nn.functional.interpolate(window, (8, 8), mode="bilinear", align_corners=False).numpy()[0].transpose(1, 2, 0)
        np.testing.assert_allclose(y[i], wanted, atol=1e-6)


@pytest.mark.parametrize(("angle", "turns"), [(0.0, 0), (90.0, 1), (180.0, 2), (-90.0, 3)])
def test_quarter_turns_are_exact_and_counterclockwise(angle: float, turns: int) -> None:
    x = images(3, 6, 6)
    ys, xs = turned((6, 6), np.full(3, np.radians(angle)), np.ones(3))
    np.testing.assert_allclose(bilinear(x, ys, xs), np.rot90(x, turns, (1, 2)), atol=1e-6)
    masks = np.random.default_rng(0).integers(0, 9, (3, 6, 6))
    assert np.array_equal(nearest(masks, ys.round(9), xs.round(9)), np.rot90(masks, turns, (1, 2)))


def test_turning_and_scaling_are_those_of_pytorch() -> None:
    import torch

    n, h, w = 5, 7, 9
    x = images(n, h, w).astype(np.float64)
    rng = np.random.default_rng(1)
    angle, factor = rng.uniform(-1, 1, n), rng.uniform(0.6, 1.7, n)
    got = bilinear(x, *turned((h, w), angle, factor))
    cos, sin = np.cos(angle) / factor, np.sin(angle) / factor
    theta = np.zeros((n, 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = cos, -sin * (h - 1) / (w - 1)
    theta[:, 1, 0], theta[:, 1, 1] = sin * (w - 1) / (h - 1), cos
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta), [n, 2, h, w], align_corners=True)
    wanted = torch.nn.functional.grid_sample(torch.from_numpy(x.transpose(0, 3, 1, 2)), grid, align_corners=True).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(got, wanted, atol=1e-10)


def test_angles_and_factors_are_drawn_evenly_from_their_range() -> None:
    rotate, scale = Augmentation.make("rotate", degrees=30.0), Augmentation.make("scale", by=0.2)
    angle, factor = np.degrees(rotate.draw(MANY, "a", (4, 4))), scale.draw(MANY, "a", (4, 4))
    for x, low, high in ((angle, -30, 30), (factor, 0.8, 1.2)):
        assert x.min() >= low and x.max() <= high
        assert abs(x.mean() - (low + high) / 2) < 4 * (high - low) / np.sqrt(12 * N)
        assert x.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.03)


def test_brightness_moves_the_mean_and_nothing_else() -> None:
    x = images()
    difference = changed("brightness", x, by=0.3) - x
    assert np.ptp(difference, axis=(1, 2, 3)).max() < 1e-6
    shift = difference.mean((1, 2, 3))
    assert abs(shift.mean()) < 4 * 0.3 / np.sqrt(3 * N) and shift.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.03)


def test_contrast_keeps_each_channels_mean_and_scales_its_deviation() -> None:
    x = images()
    y = changed("contrast", x, by=(0.5, 1.5))
    np.testing.assert_allclose(y.mean((1, 2)), x.mean((1, 2)), atol=1e-6)
    factors = y.std((1, 2)) / x.std((1, 2))
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-4)
    assert abs(factors.mean() - 1) < 0.02 and factors.std() == pytest.approx(1 / np.sqrt(12), rel=0.03)
    assert np.array_equal(changed("contrast", x, by=(1.0, 1.0)), x)


def test_noise_has_mean_0_and_its_deviation_and_no_pixel_has_its_neighbours() -> None:
    x = images()
    difference = (changed("noise", x, deviation=0.1) - x).astype(np.float64)
    assert abs(difference.mean()) < 4 * 0.1 / np.sqrt(difference.size) and difference.std() == pytest.approx(0.1, rel=0.02)
    flat = difference.reshape(N, -1)
    assert np.abs(np.corrcoef(flat.T) - np.eye(flat.shape[1])).max() < 0.09


def test_cutout_sets_a_square_around_any_pixel() -> None:
    x = images() + 1
    y = changed("cutout", x, size=(3, 3), fill=0.0)
    out = y == 0
    assert (y[~out] == x[~out]).all() and np.array_equal(out[..., 0], out[..., 1])
    counts = out[..., 0].sum((1, 2))
    assert set(counts.tolist()) == {4, 6, 9}
    assert counts.mean() == pytest.approx((6 * 3 - 2) / 6 * (5 * 3 - 2) / 5, rel=0.02)  # what the edges cut off is gone


# Whole batches


def npz(folder: Path, n: int = 40, byte: bool = True) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (n, 8, 8, 3))
    np.savez(folder / "a.npz", image=image / 255.0 if byte else rng.normal(2, 3, (n, 8, 8, 3)), mask=(image[..., 0] > 128).astype(np.int64),
             y=np.arange(n) % 4)  # fmt: skip


def stream(folder: Path, more: str, size: int = 7, **fields: Any) -> Epochs:
    text = f"{{npz: {{path: a.npz, target: y}}, columns: {{mask: category, y: category}}, {more}}}"
    data = load(declare(read(text, "spec.yaml"), folder, 3), "float32")
    declared = data.declaration
    rows = data.splits["train"]
    return Epochs(rows, size, 3, declared.augment, **fields)


def joined(batches: Any) -> dict[str, Any]:
    parts: list[Batch] = list(batches)
    return {name: np.concatenate([b.arrays[name] for b in parts]) for name in parts[0].arrays}


STEPS = "augment: [flip: both, crop: {padding: 2}, rotate: 20, scale: 0.2, brightness: 0.1, contrast: 0.2, noise: 0.05, cutout: 3]"


@pytest.mark.parametrize("steps", [STEPS, f"{STEPS}, prepare: [standardize: image]", "augment: [flip: horizontal]"])
def test_batches_are_equal_from_0_1_and_2_workers_at_any_size_and_from_any_start(tmp_path: Path, steps: str) -> None:
    npz(tmp_path)
    whole = [joined(stream(tmp_path, steps, workers=w).batches(1)) for w in (0, 1, 2)]
    for other in (*whole[1:], joined(stream(tmp_path, steps, 40, workers=0).batches(1))):
        assert all(np.array_equal(whole[0][name], other[name]) for name in whole[0])
    late = joined(stream(tmp_path, steps, workers=2).batches(1, 3))
    assert all(np.array_equal(whole[0][name][21:], late[name]) for name in late)
    other = joined(stream(tmp_path, steps).batches(2))
    assert not np.array_equal(np.sort(other["image"].sum((1, 2, 3))), np.sort(whole[0]["image"].sum((1, 2, 3))))


def test_masks_move_with_their_images_and_keep_their_classes(tmp_path: Path) -> None:
    image = np.zeros((64, 9, 9, 1))
    image[:, 2:5, 1:4] = 1
    np.savez(tmp_path / "a.npz", image=image, mask=image[..., 0].astype(np.int64), y=np.arange(64) % 4)
    found = joined(stream(tmp_path, "augment: [flip: both, crop: 2, rotate: 90, scale: 0.3]").batches(0))
    assert set(np.unique(found["mask"]).tolist()) == {0, 1}
    assert np.abs(found["image"][..., 0] - found["mask"]).mean() < 0.06 and len({m.tobytes() for m in found["mask"]}) > 50
    flipped = joined(stream(tmp_path, "augment: [flip: both, crop: 2]").batches(0))
    assert np.array_equal(flipped["image"][..., 0], flipped["mask"])


def test_images_are_augmented_in_their_own_unit_and_prepared_afterwards(tmp_path: Path) -> None:
    npz(tmp_path, byte=False)
    plain = joined(stream(tmp_path, "augment: [flip: horizontal, brightness: 0.5]").batches(0))["image"]
    s = stream(tmp_path, "augment: [flip: horizontal, brightness: 0.5], prepare: [standardize: image]")
    prepared = joined(s.batches(0))["image"]
    raw = np.load(tmp_path / "a.npz")["image"]
    np.testing.assert_allclose(prepared, (plain - raw.mean((0, 1, 2))) / raw.std((0, 1, 2)), atol=1e-5)


def test_other_splits_are_as_the_data_has_them(tmp_path: Path) -> None:
    npz(tmp_path)
    text = "{npz: {path: a.npz, target: y}, columns: {mask: drop, y: category}, split: {test: 0.25}, augment: [noise: 0.5]}"
    data = load(declare(read(text, "s"), tmp_path, 0))
    raw = np.load(tmp_path / "a.npz")["image"][data.splits["test"].rows]
    np.testing.assert_array_equal(data.splits["test"].arrays["image"][:], raw.astype(np.float32))
    np.testing.assert_array_equal(data.splits["train"].arrays["image"][:3], np.load(tmp_path / "a.npz")["image"][data.splits["train"].rows[:3]].astype(np.float32))


SPEC = """nnspec: 1
data: {{digits: {{}}, split: {{train: 0.5, validation: 0.5}}, augment: [{steps}]{more}}}
layers: [flatten, dense: 10]
loss: {loss}
metrics: [accuracy]
optimizer: {{adam: {{learning_rate: 0.02}}}}
epochs: {epochs}
batch_size: 64
seed: 1
"""


def spec(steps: str, loss: str = "cross_entropy", epochs: int = 2, more: str = "") -> str:
    return SPEC.format(steps=steps, loss=loss, epochs=epochs, more=more)


def test_mixup_mixes_inputs_and_the_probabilities_of_classes_by_one_share() -> None:
    model = compile(loads(spec("mixup: 1.0")))
    data = dataset(model)
    plain = compile(loads(spec("")))
    found = epochs(model, data)
    assert found is not None
    batch, same = (next(iter(found.batches(3))) for _ in range(2))
    assert np.array_equal(batch.arrays["image"], same.arrays["image"])
    t = batch.arrays["target"]
    assert t.shape == (64, 10) and t.dtype == np.float32
    np.testing.assert_allclose(t.sum(1), 1, atol=1e-6)
    other = epochs(plain, dataset(plain))
    assert other is not None
    before = next(iter(other.batches(3))).arrays
    share = t[np.arange(64), before["target"]].astype(np.float64)
    differ = (t > 0).sum(1) == 2
    assert 0.4 < share[differ].mean() < 0.6
    train = np.asarray(data.splits["train"].arrays["image"])
    for i in np.flatnonzero(differ)[:10]:
        partner = (batch.arrays["image"][i] - share[i] * before["image"][i]) / (1 - share[i])
        assert np.abs(train - partner).reshape(len(train), -1).max(1).min() < 1e-3


def test_a_network_learns_from_augmented_and_mixed_rows() -> None:
    run = compile(loads(spec("crop: 1, rotate: 10, noise: 0.05, mixup: 0.2", epochs=20))).fit()
    assert run.metrics["validation.accuracy"] > 0.7


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_learned_does_not_depend_on_workers(workers: int) -> None:
    states = [compile(loads(spec("flip: horizontal, noise: 0.1", more=more))) for more in (", workers: 1", f", workers: {workers}")]
    for model in states:
        model.fit()
    a, b = (m.state() for m in states)
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("{iris: , augment: [flip: horizontal]}", "flip works on images, and the data has none"),
        ("{digits: , augment: [noise: {deviation: 0.1, columns: digit}]}", "column 'digit' is none"),
        ("{digits: , augment: [noise: {deviation: 0.1, columns: imag}]}", "did you mean 'image'"),
        ("{digits: , augment: [crop: {size: 12}]}", "a window of 12 x 12 does not fit column 'image'"),
        ("{digits: , augment: [crop: {}]}", "padding of 1 or more, or a size"),
        ("{digits: , augment: [rotate: 200]}", "at most 180"),
        ("{digits: , augment: [scale: 2]}", "'by' of augmentation 'scale' does not fit"),
        ("{digits: , augment: [mixup: 0.2, flip: horizontal]}", "mixup comes last"),
        ("{digits: , augment: [mixup: 0]}", "more than 0"),
        ("{digits: , augment: [noise: -1]}", "more than 0"),
        ("{digits: , augment: {flip: horizontal}}", "augment is a list of steps"),
        ("{digits: , augment: [flipp: horizontal]}", "did you mean 'flip'"),
        ("{digits: , workers: -1}", "at least 0"),
        ("{digits: , cache: lots}", "'cache' of data does not fit"),
        ("{iris: , balance: petal_width}", "balance wants a category"),
        ("{inline: {columns: {x: [1, 2], s: [u, v], y: [1, 2]}, target: y}, augment: [mixup: 0.2]}", "mixup cannot mix the classes of column 's'"),
        ("{inline: {columns: {x: [1, 2], y: [1, 2]}, target: y}, balance: true}", "balance wants a target of classes, and there is none"),
    ],
)
def test_an_augmentation_that_does_not_fit_is_an_error(data: str, words: str) -> None:
    with pytest.raises(NnspecError) as caught:
        declare(read(data, "spec.yaml"), Path(), 0)
    assert words in caught.value.render() and caught.value.problems[0].place is not None


def test_a_loss_that_cannot_take_probabilities_is_told_before_training() -> None:
    text = """nnspec: 1
data: {inline: {columns: {x: [1, 2, 3, 4], y: [a, b, a, b]}, target: y}, augment: [mixup: 0.2]}
layers: [dense: 1]
loss: hinge
"""
    with pytest.raises(NnspecError, match="hinge cannot take the shares of classes that mixup makes") as caught:
        loads(text, "spec.yaml")
    assert caught.value.problems[0].place is not None and caught.value.problems[0].place.line == 4
    loads(text.replace("hinge", "binary_cross_entropy"))


# Balance


def test_a_balanced_epoch_has_every_class_equally_often_and_rows_of_it_too() -> None:
    classes = np.repeat([0, 1, 2], [70, 25, 5])
    rows = balance(0, 0, classes)
    assert len(rows) == 100 and sorted(np.bincount(classes[rows]).tolist()) == [33, 33, 34]
    counts = np.bincount(rows, minlength=100)
    assert counts[:70].max() == 1 and set(counts[70:95].tolist()) == {1, 2} and set(counts[95:].tolist()) <= {6, 7}
    assert not np.array_equal(balance(0, 1, classes), rows) and np.array_equal(balance(0, 0, classes), rows)
    assert len({tuple(np.flatnonzero(np.bincount(balance(0, e, classes), minlength=100)[:70])) for e in range(3)}) == 3


def test_occurrences_count_what_came_before() -> None:
    assert occurrences(np.array([3, 1, 3, 3, 1, 0])).tolist() == [0, 0, 1, 2, 1, 0]


def test_rows_that_come_twice_in_an_epoch_are_augmented_twice(tmp_path: Path) -> None:
    npz(tmp_path, 40)
    s = stream(tmp_path, "augment: [noise: 0.1]", classes=np.r_[np.zeros(36, np.int64), np.ones(4, np.int64)])
    found = joined(s.batches(0))["image"]
    assert len({image.tobytes() for image in found}) == 40


def test_balance_learns_a_rare_class() -> None:
    x = np.random.default_rng(0).normal(size=400)
    rare = x > 1.6
    text = "nnspec: 1\ndata: {{inline: {{columns: {{x: {x}, y: {y}}}, target: y}}{more}}}\nlayers: [dense: 2]\nloss: cross_entropy\noptimizer: {{sgd: {{learning_rate: 0.1}}}}\nepochs: 5\n"
    found = {}
    for more in ("", ", balance: true"):
        model = compile(loads(text.format(x=[round(float(v), 3) for v in x], y=["b" if r else "a" for r in rare], more=more)))
        model.fit()
        found[more] = (model.predict(x[:, None]).argmax(1)[rare] == 1).mean()
    assert found[""] < 0.3 and found[", balance: true"] > 0.9


def test_the_canonical_spec_writes_steps_in_full_and_means_the_same(tmp_path: Path) -> None:
    short = loads(spec("flip: vertical, rotate: 10, mixup", more=", prepare: [standardize: image]"))
    text = short.text
    assert "{flip: {direction: vertical}}, {rotate: {degrees: 10}}, {mixup: {}}" in text and "{standardize: {columns: image}}" in text
    assert [type(a.step) for a in loads(text).document.data.augment] == [type(a.step) for a in short.document.data.augment]  # type: ignore[union-attr]
