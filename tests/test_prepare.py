"""min_max and one_hot: fitted on training rows, joined with numbers, kept, undone, and refused where they make no sense."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

import nnspec
from nnspec.compiler import loads
from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.inputs import input_columns, input_type
from nnspec.data.load import load
from nnspec.data.prepare import Preparation
from nnspec.errors import NnspecError
from nnspec.runtime.loading import assembled, dataset
from nnspec.runtime.session import compile
from nnspec.spec.source import read

HOUSES = Path(__file__).parent.parent / "specs" / "quickstart" / "houses.yaml"


def data(text: str, folder: Path = Path()) -> Declaration:
    return declare(read(text, "spec.yaml"), folder, 0)


def said(text: str) -> str:
    with pytest.raises(NnspecError) as caught:
        data(text)
    return caught.value.render()


def test_min_max_is_scikit_learns_fitted_on_training_rows() -> None:
    d = load(data("{iris: , split: {test: 0.3}, prepare: [min_max: {columns: [petal_width, sepal_width], range: [-1, 3]}]}"), "float64")
    for name in ("petal_width", "sepal_width"):
        raw = d.declaration.array(name)[:, None]
        scaler = MinMaxScaler((-1, 3)).fit(raw[d.splits["train"].rows])
        for part in ("train", "test"):
            np.testing.assert_allclose(d.splits[part].arrays[name], scaler.transform(raw[d.splits[part].rows])[:, 0], rtol=1e-13)
        assert d.preparation.scale(name) == pytest.approx(float(1 / scaler.scale_[0]), rel=1e-13)
        prepared = d.splits["test"].arrays[name]
        np.testing.assert_allclose(d.preparation.undo(name, prepared), raw[d.splits["test"].rows][:, 0], rtol=1e-13)


def test_min_max_without_columns_takes_all_numbers_but_the_target_and_makes_equal_ones_low() -> None:
    d = load(data("{inline: {columns: {x: [2, 4, 3], c: [5, 5, 5], y: [1, 2, 3]}, target: y}, prepare: [min_max: ]}"), "float64")
    arrays = d.splits["train"].arrays
    assert arrays["x"].tolist() == [0, 1, 0.5] and arrays["c"].tolist() == [0, 0, 0] and arrays["y"].tolist() == [1, 2, 3]
    assert d.preparation.undo("c", np.zeros(2)).tolist() == [5, 5]


def test_min_max_of_arrays_goes_by_the_last_axis(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(3, [1, 5], size=(40, 3, 2))
    np.savez(tmp_path / "a.npz", x=x)
    got = load(data("{npz: a.npz, prepare: [min_max: x]}", tmp_path), "float64").splits["train"].arrays["x"]
    np.testing.assert_allclose(got, (x - x.min((0, 1))) / np.ptp(x, (0, 1)), rtol=1e-12)


MIXED = ("{inline: {columns: {a: [1, 2, 3], s: [u, v, u], t: [p, q, r], y: [5, 6, 7]}, target: y}, "
         "prepare: [one_hot: [s, t], standardize: [a]]}")  # fmt: skip


def test_one_hot_is_scikit_learns_and_joins_numbers() -> None:
    d = data(MIXED)
    assert d.columns["t"].shape == (3,) and d.columns["t"].classes == ("p", "q", "r")
    assert input_columns(d, {}) == {"features": ("a", "s", "t")} and input_type(d, ("a", "s", "t")) == ((6,), "float32")
    rows = load(d, "float64")
    x = rows.splits["train"].assembled({"x": ("a", "s", "t")}).arrays["x"]
    texts = np.array([["u", "p"], ["v", "q"], ["u", "r"]])
    np.testing.assert_array_equal(x[:, 1:], OneHotEncoder(sparse_output=False).fit_transform(texts))
    np.testing.assert_allclose(x[:, 0], (np.array([1, 2, 3]) - 2) / np.std([1, 2, 3]))


def test_rows_as_the_data_has_them_become_what_the_network_was_trained_on() -> None:
    rows = load(data(MIXED), "float64")
    columns = ("a", "s", "t")
    joined = rows.splits["train"].assembled({"x": columns}).arrays["x"]
    given = np.array([[1, 0, 0], [2, 1, 1], [3, 0, 2]], np.float64)
    np.testing.assert_array_equal(rows.preparation.apply(columns, given), joined)
    np.testing.assert_allclose(rows.preparation.undo(columns, joined)[:, 0], given[:, 0])
    assert rows.preparation.scale(columns).tolist() == [np.std([1, 2, 3]), 1, 1, 1, 1, 1]
    kept = Preparation.from_json(json.loads(json.dumps(rows.preparation.to_json())))
    np.testing.assert_array_equal(kept.apply(columns, given), joined)


def test_one_hot_by_itself_is_an_input_of_its_width() -> None:
    d = data("{iris: , split: {test: 0.2}, prepare: [one_hot: species]}")
    arrays = load(d).splits["train"].arrays
    assert arrays["species"].shape == (120, 3) and arrays["species"].dtype == np.float32 and (arrays["species"].sum(1) == 1).all()


def test_a_one_hot_target_learns_by_mse_and_answers_a_number_for_each_class() -> None:
    text = ("nnspec: 1\ndata: {iris: , prepare: [one_hot: species, standardize: ]}\nlayers: [dense: 3]\nloss: mse\nmetrics: [mae]\n"
            "optimizer: {adam: {learning_rate: 0.05}}\nepochs: 30\n")  # fmt: skip
    model = compile(loads(text))
    assert model.fit().metrics["train.mae"] < 0.4
    answers = model.predict(np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]))
    assert answers.shape == (2, 3) and answers.argmax(1).tolist() == [0, 2]


def test_missing_classes_are_filled_before_they_are_one_hot() -> None:
    d = load(data("{inline: {columns: {s: [u, v, u, null]}}, columns: {s: {category: {missing: most_frequent}}}, prepare: [one_hot: s]}"))
    assert d.splits["train"].arrays["s"].tolist() == [[1, 0], [0, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("[one_hot: petal_width]", "one_hot works on categories, and column 'petal_width' holds numbers"),
        ("[one_hot: [species, species]]", "is one_hot already"),
        ("[one_hot: ]", "one_hot has no columns to work on"),
        ("[min_max: species]", "min_max works on numbers, and column 'species' holds classes"),
        ("[min_max: {range: [1, 1]}]", "a range that rises"),
        ("[min_max: {range: [0, 1, 2]}]", "at most 2 values"),
        ("[one_hot: species, standardize: species]", "standardize works on numbers"),
        ("[minmax: petal_width]", "in nnspec this is 'min_max'"),
        ("[OneHotEncoder: species]", "in nnspec this is 'one_hot'"),
    ],
)
def test_a_preparation_that_makes_no_sense_is_refused(steps: str, words: str) -> None:
    assert words in said(f"{{iris: , prepare: {steps}}}")


def test_a_category_beside_numbers_is_told_of_one_hot() -> None:
    with pytest.raises(NnspecError, match=r"prepare: \[one_hot: s\]"):
        input_columns(data("{inline: {columns: {a: [1, 2], s: [u, v]}}}"), {})


def test_houses_with_missing_cells_are_predicted_in_their_own_unit(tmp_path: Path) -> None:
    model = compile(nnspec.load(HOUSES, set={"epochs": 30}))
    run = model.fit(out=tmp_path / "run")
    assert run.metrics["test.mae"] < 40  # thousands, of prices from 100 to 600
    (tmp_path / "new.csv").write_text("street,garden,area,rooms,built\nElm Street,yes,110,4,1960\nMill Lane,,80,,\n")
    loaded = nnspec.load_model(tmp_path / "run")
    from nnspec.cli.rows import Reader

    answers = loaded.predict(next(Reader(loaded).read(str(tmp_path / "new.csv"))).feeds)[:, 0]
    rows = {"area": [110, 80], "rooms": [4, np.nan], "built": [1960, np.nan], "street": [0, 2], "garden": [1, 1]}
    columns = loaded.spec.built.columns["features"]
    np.testing.assert_allclose(answers, loaded.predict(np.stack([np.array(rows[c], float) for c in columns], axis=1))[:, 0], rtol=1e-6)
    assert 250 < answers[0] < 350 and 90 < answers[1] < 260


def test_the_mae_of_a_prepared_target_is_in_its_own_unit() -> None:
    model = compile(nnspec.load(HOUSES, set={"epochs": 3, "precision": "float64"}))
    found = model.fit().metrics["test.mae"]
    rows = dataset(model)
    features = assembled(model, rows.splits["test"]).arrays["features"]
    model.preparation, kept = None, model.preparation
    raw = model.predict(features)[:, 0]
    assert kept is not None
    price = rows.declaration.array("price")[rows.splits["test"].rows]
    assert found == pytest.approx(np.abs(kept.undo("price", raw) - price).mean(), rel=1e-10)
