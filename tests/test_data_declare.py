"""The data section: what it promises, and what it refuses with a place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.inputs import assemble, input_columns, input_type
from nnspec.data.load import load
from nnspec.errors import DataError, NnspecError, SpecError
from nnspec.spec.source import read


def data(text: str, folder: Path = Path(), seed: int = 0) -> Declaration:
    return declare(read(text, "spec.yaml"), folder, seed)


def problems(text: str, folder: Path = Path()) -> str:
    with pytest.raises(NnspecError) as caught:
        data(text, folder)
    assert all(problem.place is not None for problem in caught.value.problems)
    return caught.value.render()


def test_digits_are_images_in_zero_to_one_of_ten_classes() -> None:
    d = data("digits")
    assert d.columns["image"].kind == "image" and d.columns["image"].shape == (8, 8, 1)
    assert d.targets == ("digit",) and d.columns["digit"].classes == tuple("0123456789")
    image, digit = d.read("image"), d.read("digit")
    assert image.shape == (1797, 8, 8, 1) and image.min() == 0 and image.max() == 1
    assert np.array_equal(image * 16, np.round(image * 16))
    assert np.bincount(digit).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_iris_is_fishers_own() -> None:
    d = data("{iris: {}}")
    assert list(d.columns) == ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    assert d.names["species"] == {"shape": (), "classes": 3}
    rows = np.stack([d.read(name) for name in d.features], axis=1)
    assert rows.shape == (150, 4)
    assert rows.mean(axis=0).round(3).tolist() == [5.843, 3.057, 3.758, 1.199]
    assert rows[34].tolist() == [4.9, 3.1, 1.5, 0.2] and rows[37].tolist() == [4.9, 3.6, 1.4, 0.1]


def test_shipped_sources_hold_a_stratified_fifth_back_and_others_train_on_all() -> None:
    splits = load(data("iris")).splits
    assert {name: np.bincount(rows.arrays["species"]).tolist() for name, rows in splits.items()} == {
        "train": [40, 40, 40], "test": [10, 10, 10],
    }  # fmt: skip
    assert list(load(data("{inline: {columns: {x: [1, 2], y: [0, 1]}, target: y}}")).splits) == ["train"]


def test_inline_lists_are_arrays_and_texts_are_classes() -> None:
    d = data("{inline: {columns: {x: [[0, 0], [0, 1]], n: [1, 2.5], t: [yes, no], b: [true, false]}, target: t}}")
    assert (d.columns["x"].kind, d.columns["x"].shape) == ("array", (2,))
    assert d.columns["n"].kind == "number" and d.read("n").tolist() == [1, 2.5]
    assert d.columns["t"].classes == ("no", "yes") and d.read("t").tolist() == [1, 0]
    assert d.columns["b"].classes == ("false", "true") and d.read("b").tolist() == [1, 0]
    assert list(d.columns) == ["x", "n", "b", "t"]


def test_classes_are_sorted_by_number_where_they_are_numbers() -> None:
    d = data("{inline: {columns: {y: [10, 9, 2]}}, columns: {y: category}}")
    assert d.columns["y"].classes == ("2", "9", "10") and d.read("y").tolist() == [2, 1, 0]


def test_a_spec_fixes_classes_and_their_order() -> None:
    d = data("{inline: {columns: {y: [b, a, b]}}, columns: {y: {category: {classes: [b, a, c]}}}}")
    assert d.columns["y"].classes == ("b", "a", "c") and d.read("y").tolist() == [0, 1, 0]
    tokens = data("{inline: {columns: {t: [[1, 4], [0, 4]]}}, columns: {t: {category: {classes: 6}}}}")
    assert tokens.names["t"] == {"shape": (2,), "classes": 6} and tokens.read("t").tolist() == [[1, 4], [0, 4]]
    assert "none of its classes" in problems(
        "{inline: {columns: {y: [b, z]}}, columns: {y: {category: {classes: [b]}}}}"
    )


def test_inputs_take_their_column_and_numbers_are_stacked() -> None:
    d = data("{inline: {columns: {a: [1, 2], s: [u, v], b: [3, 4], y: [5, 6]}, target: y}}")
    chosen = input_columns(d, {"numbers": ("a", "b"), "s": None})
    assert chosen == {"numbers": ("a", "b"), "s": ("s",)}
    assert input_type(d, ("a", "b")) == ((2,), "float32") and input_type(d, ("s",)) == ((), "int64")
    rows = load(d).splits["train"].assembled({**chosen, "target": d.targets}).arrays
    assert rows["numbers"].tolist() == [[1, 3], [2, 4]] and rows["numbers"].dtype == np.float32
    assert rows["s"].tolist() == [0, 1] and rows["target"].tolist() == [[5], [6]]


def test_without_inputs_there_is_one_named_for_its_axes() -> None:
    assert input_columns(data("digits"), {}) == {"image": ("image",)}
    assert list(input_columns(data("iris"), {})) == ["features"]
    assert input_columns(data("iris"), {"flower": None})["flower"] == data("iris").features


def test_a_single_array_column_is_not_copied() -> None:
    x = np.zeros((3, 2))
    assert assemble({"x": x}, ("x",)) is x


MIXED = "{inline: {columns: {a: [1, 2], s: [u, v], y: [5, 6]}, target: y}}"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "and an embedding"),
        ({"n": ("a", "s")}, "inputs: {s: {columns: s}, …}"),
        ({"a": None}, "column 's' feeds no input"),
        ({"n": ("a", "street"), "s": None}, "wants the column 'street'"),
        ({"aa": None, "s": None}, "did you mean 'a'?"),
    ],
)
def test_columns_that_do_not_fit_the_inputs_are_named(inputs: dict[str, tuple[str, ...] | None], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        input_columns(data(MIXED), inputs)
    assert said in caught.value.render()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text", "text: not in this version"),
        ("{iris: , pair: random}", "pair: not in this version"),
        ("{iris: , digits: }", "one source is read in this version"),
        ("{iris: , columns: {species: {text: {tokens: words}}}}", "text: not in this version"),
        ("{iris: , columns: {species: date}}", "date: not in this version"),
    ],
)
def test_what_comes_later_is_refused_by_name(text: str, said: str) -> None:
    assert said in problems(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dijits", "did you mean 'digits'?"),
        ("houses.csv", "data: {csv: houses.csv}"),
        ("3", "data names a source"),
        ("{}", "data names no source"),
        ("{split: {train: 1}}", "data names no source"),
        ("{iris: 3}", "takes no value of its own"),
        ("{iris: {rows: 3}}", "no key of data source 'iris' is called 'rows'"),
        ("{iris: , splt: {train: 1}}", "did you mean 'split'?"),
        ("{csv: {path: a, sep: ;}}", "in nnspec this is 'separator'"),
        ("{csv: {path: a, separator: ab}}", "separator"),
        ("{csv: {path: a, decimal: ','}}", "a separator that is not the decimal mark"),
        ("{csv: {target: y}}", "needs 'path'"),
        ("{csv: nothing.csv}", "nothing there"),
        ("{csv: .}", "a folder"),
        ("{iris: , split: {val: 0.1}}", "in nnspec this is 'validation'"),
        ("{iris: , split: 0.8}", "split is a mapping"),
        ("{iris: , split: {train: 0.8, test: 0.3}}", "more than 1"),
        ("{iris: , split: {train: 1.5}}", "at most 1"),
        ("{iris: , split: {test: 1}}", "no rows to train on"),
        ("{iris: , split: {test: 0.001}}", "1:24: the split 'test' is empty"),
        ("{iris: , split: {test: 0.2, stratify: specie}}", "did you mean 'species'?"),
        ("{iris: , split: {test: 0.2, stratify: petal_width}}", "stratify wants a category"),
        ("{iris: , prepare: {standardize: petal_width}}", "prepare is a list"),
        ("{iris: , prepare: [normalize: petal_width]}", "in nnspec this is 'standardize'"),
        ("{iris: , prepare: [standardize: species]}", "holds classes"),
        (
            "{iris: , prepare: [standardize: [petal_width, petal_widht]]}",
            "1:47: standardize wants the column 'petal_widht'",
        ),
        ("{iris: , prepare: [standardize: [petal_width, petal_width]]}", "twice"),
        ("{iris: , prepare: [rescale: {columns: petal_width}]}", "needs 'scale'"),
        ("{iris: , prepare: [rescale: {scale: 0}]}", "cannot be undone"),
        ("{iris: , columns: {petal: drop}}", "no column 'petal'"),
        ("{iris: , columns: {species: numbr}}", "did you mean 'number'?"),
        ("{iris: , columns: {species: number}}", "cannot be a number"),
        ("{digits: , columns: {image: category}}", "cannot be a category"),
        ("{digits: , columns: {image: {number: {missing: mean}}}}", "one value a row"),
        ("{iris: , columns: [species]}", "columns is a mapping"),
        ("{inline: {columns: {x: [[0, 0], [0]]}}}", "1:33: the rows of column 'x' differ in shape"),
        ("{inline: {columns: {x: [0, [1]]}}}", "1:28: the rows of column 'x' differ in shape"),
        ("{inline: {columns: {x: [[], []]}}}", "differ in shape"),
        ("{inline: {columns: {x: []}}}", "a list with a value for each row"),
        ("{inline: {columns: {x: 3}}}", "columns"),
        ("{inline: {columns: {}}}", "columns"),
        ("{inline: {columns: {x: [1, 2], y: [1]}, target: y}}", "differ in length"),
        ("{inline: {columns: {x: [1, oops]}}}", "1:28: column 'x' is numbers, and this is none"),
        ("{inline: {columns: {x: [1, null]}}}", "row 2 of column 'x' has no value"),
        ("{inline: {columns: {x: [1, .inf]}}}", "not finite"),
        ("{inline: {columns: {x: [1, 2]}, target: z}}", "no column 'z' for a target"),
        ("{inline: {columns: {x: [1, 2], y: [1, 2]}, target: y}, columns: {y: drop}}", "the target 'y' is dropped"),
        ("{inline: {columns: {x: [1, 2], y: [1, 2]}, target: [y, y]}}", "named twice"),
        ("{inline: {columns: {x: [1, 2]}}, columns: {x: drop}}", "every column is dropped"),
        ("{inline: {columns: {x: [a, a]}}, columns: {x: {category: {missing: b, classes: [a]}}}}", "cannot be 'b'"),
        ("{inline: {columns: {x: [a, a]}}, columns: {x: {category: {classes: [a, a]}}}}", "named twice"),
    ],
)
def test_a_wrong_section_is_told_what_was_wanted(text: str, said: str) -> None:
    assert said in problems(text)


def test_every_problem_of_spec_and_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("area,price\n1,2\nx,3\n")
    text = "{csv: {path: h.csv, target: prise}, columns: {aera: drop}, split: {fold: 3}, augment: {}}"
    said = problems(text, tmp_path)
    for part in ("'prise'", "no column 'aera'", "no such fold", "augment is a list", "h.csv:3:1: column 'area'"):
        assert part in said


def test_only_a_bad_file_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("area,price\n1,2\nx,3\n")
    with pytest.raises(DataError):
        data("{csv: {path: h.csv, target: price}}", tmp_path)
