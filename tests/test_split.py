"""Rows divided by groups, by order and into folds; and what cannot be divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnspec
from nnspec.compiler import loads
from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.load import load
from nnspec.data.split import grouped_rows, ordered_rows
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.spec.source import read

PARTS = (("train", 0.7), ("validation", 0.2), ("test", 0.1))


def data(text: str, folder: Path = Path(), seed: int = 0) -> Declaration:
    return declare(read(text, "spec.yaml"), folder, seed)


def rows(text: str, folder: Path = Path()) -> dict[str, list[int]]:
    return {name: part.rows.tolist() for name, part in load(data(text, folder)).splits.items()}


def said(text: str, folder: Path = Path()) -> str:
    with pytest.raises(NnspecError) as caught:
        data(text, folder)
    assert all(p.place is not None and (p.wanted or p.hint) for p in caught.value.problems)
    return caught.value.render()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 30), min_size=3, max_size=60), st.integers(0, 5))
def test_a_group_is_in_one_part_and_parts_are_as_near_their_share_as_groups_allow(sizes: list[int], seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    groups = groups[np.random.default_rng(seed).permutation(len(groups))]
    parts = grouped_rows(PARTS, groups, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(groups)))
    members = [set(groups[r].tolist()) for r in parts.values()]
    assert not members[0] & members[1] and not members[0] & members[2] and not members[1] & members[2]
    assert all(len(r) for r in parts.values())
    for name, share in PARTS:
        assert abs(len(parts[name]) - share * len(groups)) <= 2 * max(sizes)


def test_groups_of_one_row_meet_the_fractions_exactly() -> None:
    assert {n: len(r) for n, r in grouped_rows(PARTS, np.arange(1000), 3).items()} == {"train": 700, "validation": 200, "test": 100}


def test_groups_of_equal_size_are_drawn_by_the_seed() -> None:
    one, same, other = (grouped_rows(PARTS, np.arange(60) // 3, seed)["test"].tolist() for seed in (1, 1, 2))
    assert one == same and one != other


def test_grouped_parts_keep_the_proportions_of_classes_too() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 200, 4000)
    classes = (rng.uniform(size=4000) < np.linspace(0.05, 0.6, 200)[groups]).astype(np.int64)
    parts = grouped_rows((("train", 0.8), ("test", 0.2)), groups, 0, classes)
    assert abs(len(parts["test"]) - 800) < 40
    assert abs(classes[parts["test"]].mean() - classes.mean()) < 0.02


def test_rows_in_order_go_to_train_first_and_to_test_last() -> None:
    keys = np.random.default_rng(0).permutation(100) * 0.5
    parts = ordered_rows(PARTS, keys)
    assert [len(r) for r in parts.values()] == [70, 20, 10]
    assert keys[parts["train"]].max() < keys[parts["validation"]].min()
    assert keys[parts["validation"]].max() < keys[parts["test"]].min()
    assert all((np.diff(r) > 0).all() for r in parts.values())


def test_rows_that_the_fractions_leave_are_the_latest() -> None:
    parts = ordered_rows((("train", 0.5), ("test", 0.25)), np.arange(100)[::-1])
    assert parts["train"].tolist() == list(range(50, 100)) and parts["test"].tolist() == list(range(25, 50))


@pytest.mark.parametrize(
    "dates",
    [
        ["2024-03-01", "2023-12-31", "2024-01-15", "2024-01-14"],
        ["2024-03", "2023-12", "2024-02", "2024-01"],
        ["2024-01-01T10:00:00", "2023-12-31T23:59", "2024-01-01T09:30", "2024-01-01"],
        ["2024-01-01T10:00+00:00", "2024-01-01T09:00+02:00", "2024-01-01T12:30+03:00", "2024-01-01T08:00+00:00"],
        [30, -1, 2.5, 2],
    ],
)
def test_dates_and_numbers_are_sorted_by_what_they_mean(dates: list[object]) -> None:
    texts = ", ".join(f"'{d}'" if isinstance(d, str) else str(d) for d in dates)
    text = f"{{inline: {{columns: {{x: [0, 1, 2, 3], d: [{texts}], y: [1, 2, 3, 4]}}, target: y}}, split: {{test: 0.25, validation: 0.25, order: d}}}}"
    assert rows(text) == {"train": [1, 3], "validation": [2], "test": [0]}
    assert data(text).features == ("x",)


def test_declared_classes_have_the_order_that_they_are_written_in() -> None:
    text = ("{inline: {columns: {x: [1, 2, 3], q: [summer, winter, spring]}}, split: {train: 0.66, test: 0.34, order: q}, "
            "columns: {q: {category: {classes: [spring, summer, winter]}}}}")  # fmt: skip
    assert rows(text) == {"train": [0, 2], "test": [1]}


def csv(folder: Path, n: int = 40) -> str:
    lines = [f"{i},p{i % 8},{i % 2}" for i in range(n)]
    (folder / "p.csv").write_text("x,patient,sick\n" + "\n".join(lines) + "\n")
    return "csv: {path: p.csv, target: sick}, columns: {sick: category}"


def test_a_column_that_groups_is_no_feature_unless_an_input_names_it(tmp_path: Path) -> None:
    d = data(f"{{{csv(tmp_path)}, split: {{validation: 0.25, group: patient}}}}", tmp_path)
    assert d.features == ("x",)
    splits = load(d).splits
    assert splits["validation"].size == 10
    spec = f"nnspec: 1\ndata: {{{csv(tmp_path)}, split: {{validation: 0.25, group: patient}}}}\nlayers: [dense: 2]\nloss: cross_entropy\n"
    (tmp_path / "s.yaml").write_text(spec)
    assert nnspec.load(tmp_path / "s.yaml").built.columns == {"features": ("x",)}


def test_every_row_validates_in_one_fold_and_trains_in_the_others() -> None:
    d = data("{iris: , split: {folds: 7, stratify: species}}")
    assert d.folds == 7
    held = []
    for i in range(7):
        parts = load(d.fold(i)).splits
        assert list(parts) == ["train", "validation"]
        assert not set(parts["train"].rows) & set(parts["validation"].rows) and parts["train"].size + parts["validation"].size == 150
        assert np.ptp(np.bincount(parts["validation"].arrays["species"])) <= 1
        held += parts["validation"].rows.tolist()
    assert sorted(held) == list(range(150))
    assert np.array_equal(load(d).splits["validation"].rows, load(d.fold(0)).splits["validation"].rows)


def test_preparation_is_fitted_anew_in_each_fold() -> None:
    d = data("{iris: , split: {folds: 3}, prepare: [standardize: petal_width]}")
    for i in range(3):
        found = load(d.fold(i), "float64")
        x = d.read("petal_width")[found.splits["train"].rows]
        assert found.splits["train"].arrays["petal_width"].mean() == pytest.approx(0, abs=1e-12)
        assert found.preparation.scale("petal_width") == pytest.approx(x.std(), rel=1e-12)


def test_a_test_part_is_the_same_in_every_fold(tmp_path: Path) -> None:
    d = data(f"{{{csv(tmp_path)}, split: {{folds: 3, test: 0.25, group: patient}}}}", tmp_path)
    parts = [load(d.fold(i)).splits for i in range(3)]
    assert len({tuple(p["test"].rows.tolist()) for p in parts}) == 1 and parts[0]["test"].size == 10
    groups = d.read("patient")
    for p in parts:
        kinds = [set(groups[p[name].rows].tolist()) for name in ("train", "validation", "test")]
        assert sum(map(len, kinds)) == 8 and len(set.union(*kinds)) == 8
        assert p["validation"].size in (5, 10, 15)


def test_a_fold_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SpecError, match="no such fold"):
        data("{iris: , split: {folds: 3}}").fold(3)
    with pytest.raises(SpecError, match="folds: 5"):
        data("iris").fold(0)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("{order: petal_width, stratify: species, test: 0.2}", "'order' and 'stratify' of a split do not go together"),
        ("{order: petal_width, group: species, test: 0.2}", "'order' and 'group' of a split do not go together"),
        ("{order: petal_width, folds: 3}", "'order' and 'folds'"),
        ("{folds: 3, train: 0.5}", "'folds' and 'train'"),
        ("{folds: 3, validation: 0.2}", "'folds' and 'validation'"),
        ("{folds: 3, test: 1.0}", "no rows to train on"),
        ("{folds: 1}", "at least 2"),
        ("{folds: 151}", "there are more folds than rows"),
        ("{folds: 4, group: species}", "more folds than groups of 'species'"),
        ("{test: 0.2, group: specie}", "did you mean 'species'"),
        ("{test: 0.2, order: species}", "column 'species' cannot be put in order"),
        ("{validation: 0.4, test: 0.3, group: petal_width, stratify: petal_width}", "stratify wants a category"),
        ("{test: 0.1, group_by: species}", "in nnspec this is 'group'"),
        ("{n_splits: 3}", "in nnspec this is 'folds'"),
        ("{test: 0.2, group: species}", "class 'virginica' of column 'species' is only in the test split"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split: str, words: str) -> None:
    assert words in said(f"{{iris: , split: {split}}}")


def test_fewer_groups_than_parts_is_an_error() -> None:
    text = "{inline: {columns: {x: [1, 2, 3, 4], g: [a, a, b, b]}}, split: {validation: 0.2, test: 0.2, group: g}}"
    assert "is empty" in said(text) and "2 groups of 'g'" in said(text)


def test_a_dropped_column_cannot_say_where_rows_go(tmp_path: Path) -> None:
    text = f"{{{csv(tmp_path)[:-1]}, patient: drop}}, split: {{test: 0.2, group: patient}}}}"
    assert "it is dropped" in said(text, tmp_path)


def test_a_row_without_a_group_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("x,g\n1,a\n2,\n3,b\n4,c\n")
    text = "{csv: p.csv, split: {test: 0.3, group: g}, columns: {g: {category: {missing: most_frequent}}}}"
    assert "p.csv:3" in said(text, tmp_path) and "row 2 has no 'g'" in said(text, tmp_path)


@pytest.mark.parametrize("how", ["{train: 0.5, validation: 0.5, order: x}", "{folds: 2}"])
def test_a_class_seen_only_in_validation_is_named_with_its_row(tmp_path: Path, how: str) -> None:
    (tmp_path / "c.csv").write_text("x,y\n" + "".join(f"{i},{'lynx' if i == 19 else 'cat'}\n" for i in range(20)))
    text = f"{{csv: {{path: c.csv, target: y}}, split: {how}}}"
    with pytest.raises(DataError) as caught:
        data(text, tmp_path)
    assert "class 'lynx' of column 'y' is only in the validation split" in caught.value.render()
    assert "c.csv:21" in caught.value.render() and "row 20" in caught.value.render()


def test_checking_a_spec_tells_of_the_split() -> None:
    with pytest.raises(NnspecError, match="s.yaml:2:"):
        loads("nnspec: 1\ndata: {iris: , split: {folds: 200}}\nlayers: [dense: 3]\nloss: cross_entropy\n", "s.yaml")
