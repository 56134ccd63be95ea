"""Splits, preparation, order and batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.data.batches import batches, count, order
from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.load import Rows, load
from nnspec.data.prepare import Preparation
from nnspec.data.split import portions, split_rows
from nnspec.errors import DataError
from nnspec.ops.random import counters, philox, stream
from nnspec.spec.source import read

PARTS = (("train", 0.7), ("validation", 0.2), ("test", 0.1))


def data(text: str, folder: Path = Path(), seed: int = 0) -> Declaration:
    return declare(read(text, "spec.yaml"), folder, seed)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=9),
    st.sampled_from([(0.8, 0.2), (0.7, 0.2, 0.1), (0.5, 0.3), (1 / 3, 2 / 3)]),
)
def test_every_class_and_every_total_is_within_a_row_of_its_share(
    counts: list[int], fractions: tuple[float, ...]
) -> None:
    table = portions(np.array(counts), fractions)
    exact = np.outer(counts, fractions)
    assert (np.abs(table - exact) < 1 + 1e-9).all() and (table.sum(axis=1) <= counts).all()
    assert (np.abs(table.sum(axis=0) - exact.sum(axis=0)) <= 1 + 1e-6).all()
    if sum(fractions) > 1 - 1e-9:
        assert (table.sum(axis=1) == counts).all()


def test_splits_are_disjoint_and_complete() -> None:
    rows = split_rows(PARTS, 1003, 5)
    assert {name: len(r) for name, r in rows.items()} == {"train": 702, "validation": 201, "test": 100}
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(1003))
    assert all((np.diff(r) > 0).all() for r in rows.values())


def test_a_split_is_the_seeds_alone() -> None:
    one, same, other = (split_rows(PARTS, 500, seed)["test"].tolist() for seed in (1, 1, 2))
    assert one == same and one != other


def test_rows_that_the_fractions_leave_are_in_no_split() -> None:
    assert [len(r) for r in split_rows((("train", 0.5), ("test", 0.25)), 100, 0).values()] == [50, 25]


def test_stratified_digits_keep_their_proportions() -> None:
    d = load(data("digits", seed=3))
    train, test = (np.bincount(d.splits[name].arrays["digit"]) for name in ("train", "test"))
    assert np.abs(test / (train + test) - 0.2).max() < 0.005 and test.sum() == 359
    whole = data("digits").read("image")
    assert np.array_equal(d.splits["test"].arrays["image"], whole[d.splits["test"].rows].astype(np.float32))


def test_a_split_without_stratify_is_drawn_from_all_rows() -> None:
    d = data("{iris: , split: {train: 0.5, validation: 0.3, test: 0.2}}")
    assert d.split.stratify is None
    assert {name: rows.size for name, rows in load(d).splits.items()} == {"train": 75, "validation": 45, "test": 30}
    assert data("{iris: , split: {test: 0.2}}").split.parts == (("train", 0.8), ("test", 0.2))


def csv(folder: Path, validation: float) -> Declaration:
    base = declare(
        read("{inline: {columns: {x: [" + ", ".join("0" * 30) + "]}}, split: {validation: 0.3}}", "s"), folder, 0
    )
    held = set(load(base).splits["validation"].rows.tolist())
    lines = [f"{validation if i in held else i * i},{i % 3}" for i in range(30)]
    (folder / "t.csv").write_text("x,y\n" + "\n".join(lines) + "\n")
    return data("{csv: {path: t.csv, target: y}, split: {validation: 0.3}, prepare: [standardize: [x, y]]}", folder)


def test_preparation_is_fitted_on_training_rows_only(tmp_path: Path) -> None:
    small, large = load(csv(tmp_path, 1.0), "float64"), load(csv(tmp_path, 1e6), "float64")
    assert small.preparation.to_json() == large.preparation.to_json()
    assert np.array_equal(small.splits["train"].arrays["x"], large.splits["train"].arrays["x"])
    raw = csv(tmp_path, 1.0).read("x")
    train = raw[small.splits["train"].rows]
    for name in ("train", "validation"):
        wanted = (raw[small.splits[name].rows] - train.mean()) / train.std()
        np.testing.assert_allclose(small.splits[name].arrays["x"], wanted, rtol=1e-13)


def test_missing_values_are_filled_from_training_rows_only(tmp_path: Path) -> None:
    cells = [str(i) for i in range(20)]
    first = load(data("{inline: {columns: {x: [" + ", ".join(cells) + "]}}, split: {test: 0.5}}"))
    held, kept = first.splits["test"].rows, first.splits["train"].rows
    cells[held[0]] = "null"
    d = data(
        "{inline: {columns: {x: ["
        + ", ".join(cells)
        + "]}}, split: {test: 0.5}, columns: {x: {number: {missing: mean}}}}"
    )
    assert load(d, "float64").splits["test"].arrays["x"][0] == kept.mean()


def test_arrays_are_standardized_by_their_last_axis(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, [1, 5], size=(40, 3, 2))
    np.savez(tmp_path / "a.npz", x=x)
    d = load(data("{npz: a.npz, prepare: [standardize: x]}", tmp_path), "float64")
    wanted = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    np.testing.assert_allclose(d.splits["train"].arrays["x"], wanted, rtol=1e-12)
    np.testing.assert_allclose(d.preparation.scale("x"), x.std(axis=(0, 1)), rtol=1e-12)


def test_steps_follow_one_another_and_are_undone_in_reverse() -> None:
    steps = "[rescale: {scale: 10, offset: 1}, standardize: ]"
    text = f"{{inline: {{columns: {{x: [1, 2, 4], c: [0.1, 0.1, 0.1]}}}}, prepare: {steps}}}"
    d = load(data(text), "float64")
    x = np.array([1.0, 2.0, 4.0])
    scaled = 10 * x + 1
    got = d.splits["train"].arrays
    np.testing.assert_allclose(got["x"], (scaled - scaled.mean()) / scaled.std(), rtol=1e-14)
    assert got["c"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(d.preparation.undo("x", got["x"]), x, rtol=1e-14)
    np.testing.assert_allclose(d.preparation.scale("x"), x.std(), rtol=1e-14)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=30))
def test_undo_takes_back_what_apply_did(values: list[float]) -> None:
    d = load(
        data(f"{{inline: {{columns: {{x: {values}}}}}, prepare: [standardize: x, rescale: {{scale: -0.3}}]}}"),
        "float64",
    )
    x = np.array(values)
    np.testing.assert_allclose(
        d.preparation.undo("x", d.preparation.apply("x", x)), x, rtol=1e-9, atol=1e-9 * np.abs(x).max()
    )


def test_stacked_columns_are_undone_each_in_its_unit() -> None:
    d = load(
        data("{inline: {columns: {a: [1, 3], b: [10, 50], y: [0, 1]}, target: [a, b]}, prepare: [standardize: [a, b]]}")
    )
    target = d.splits["train"].assembled({"target": ("a", "b")}).arrays["target"]
    undone = d.preparation.undo(("a", "b"), target)
    assert undone.tolist() == [[1, 10], [3, 50]] and undone.dtype == np.float32
    assert d.preparation.scale(("a", "b")).tolist() == [1, 20] and d.preparation.scale(("y",)) == 1
    assert d.preparation.apply(("a", "b"), undone).tolist() == target.tolist()


def test_preparation_is_kept_to_the_bit() -> None:
    text = (
        "{iris: , columns: {petal_width: {number: {missing: median}}}, prepare: [standardize: , rescale: {scale: 0.1}]}"
    )
    before = load(data(text), "float64")
    kept = Preparation.from_json(json.loads(json.dumps(before.preparation.to_json())))
    after = load(data(text), "float64", kept)
    for name in before.declaration.columns:
        assert np.array_equal(before.splits["test"].arrays[name], after.splits["test"].arrays[name])


def test_a_value_too_large_for_the_precision_is_named() -> None:
    with pytest.raises(DataError, match="does not fit float32"):
        load(data("{inline: {columns: {x: [1e300, 0]}}}"))
    assert load(data("{inline: {columns: {x: [1e300, 0]}}}"), "float64").splits["train"].arrays["x"][0] == 1e300


def test_no_training_row_with_a_value_is_an_error() -> None:
    with pytest.raises(DataError, match="no training row has a value"):
        load(data("{inline: {columns: {x: [null, null]}}, columns: {x: {number: {missing: mean}}}}"))


@pytest.mark.parametrize("size", [1, 2, 97, 1000])
def test_an_order_is_a_permutation_sorted_by_its_bits(size: int) -> None:
    words = philox((7, stream("data/order")), counters(size, step=3)).tolist()
    wanted = sorted(range(size), key=lambda i: (words[i][0] << 32 | words[i][1], i))
    assert order(7, 3, size).tolist() == wanted


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(order(seed, epoch, 50).tolist()) for seed in (0, 1) for epoch in (0, 1, 2, 2**32)}
    assert len(orders) == 8
    assert np.array_equal(order(1, 2, 50), order(1, 2, 50))


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 23])
def test_batches_take_every_row_once_and_the_last_is_ragged(size: int, reuse: bool) -> None:
    x = np.arange(size * 2.0).reshape(size, 2)
    rows = Rows({"x": x, "y": np.arange(size)}, np.arange(size))
    p = order(0, 0, size)
    seen, sizes = [], []
    for number, batch in enumerate(batches(rows, 8, p, reuse=reuse)):
        assert batch.position == number and len(batch.arrays["x"]) == len(batch.arrays["y"]) == batch.size
        assert np.array_equal(batch.arrays["x"], x[batch.arrays["y"]])
        seen += batch.arrays["y"].tolist()
        sizes.append(batch.size)
    assert seen == p.tolist() and len(sizes) == count(size, 8) and sizes[:-1] == [8] * (len(sizes) - 1)


def test_batches_start_in_the_middle_of_an_epoch() -> None:
    rows = Rows({"y": np.arange(23)}, np.arange(23))
    p = order(0, 4, 23)
    whole = [(b.position, b.arrays["y"].tolist()) for b in batches(rows, 5, p)]
    assert [(b.position, b.arrays["y"].tolist()) for b in batches(rows, 5, p, start=3)] == whole[3:]


def test_without_an_order_batches_are_views() -> None:
    rows = Rows({"y": np.arange(10)}, np.arange(10))
    assert all(np.shares_memory(b.arrays["y"], rows.arrays["y"]) for b in batches(rows, 4))


def test_a_thousand_rows_in_hundreds_are_ten_batches() -> None:
    assert count(1000, 100) == 10 and count(1001, 100) == 11
