"""CSV files: types, missing values, and every kind of damage with its file, line and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnspec.data.cells import NO_NUMBER, Texts, number
from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.load import load
from nnspec.errors import DataError
from nnspec.spec.source import read


def table(folder: Path, content: str | bytes, fields: str = "", more: str = "") -> Declaration:
    (folder / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return declare(read(f"{{csv: {{path: t.csv{fields}}}{more}}}", "spec.yaml"), folder, 0)


def refused(folder: Path, content: str | bytes, fields: str = "", more: str = "") -> str:
    with pytest.raises(DataError) as caught:
        table(folder, content, fields, more)
    return caught.value.render().replace(f"{folder}/", "")


def test_types_are_those_of_the_values(tmp_path: Path) -> None:
    d = table(tmp_path, 'area,street,n\n1.5,main,1\n-2e3,"side, left",2\n', ", target: n")
    assert [c.kind for c in d.columns.values()] == ["number", "category", "number"]
    assert d.read("area").tolist() == [1.5, -2000] and d.columns["street"].classes == ("main", "side, left")
    assert d.targets == ("n",) and d.columns["n"].dtype == "float32"


def test_marks_of_byte_order_line_ends_spaces_and_quotes_do_not_count(tmp_path: Path) -> None:
    plain = table(tmp_path, 'a,b\n1,x\n2,"y ""z"""\n')
    messy = table(tmp_path, b'\xef\xbb\xbf a , "b"\r\n1 , x\r\n 2,"y ""z"""\r\n\r\n\r\n')
    assert list(messy.columns) == ["a", "b"] and messy.rows == 2
    assert (
        messy.read("a").tolist() == plain.read("a").tolist()
        and messy.columns["b"].classes == plain.columns["b"].classes
    )


def test_quoted_values_may_span_lines(tmp_path: Path) -> None:
    d = table(tmp_path, 'a,b\n1,"x\ny"\n2,z\n')
    assert d.columns["b"].classes == ("x\ny", "z")
    assert "t.csv:4:1: column 'a'" in refused(tmp_path, 'a,b\n1,"x\ny"\nq,z\n')
    assert "t.csv:3:4: column 'b'" in refused(
        tmp_path, 'b0,b\n"x\ny",u\n1,2\n', "", ", columns: {b: number, b0: category}"
    )


def test_separator_decimal_and_header_are_stated(tmp_path: Path) -> None:
    d = table(tmp_path, "1,5;2\n2,5;3\n", ", separator: ;, decimal: ',', header: [a, b]")
    assert d.read("a").tolist() == [1.5, 2.5] and d.read("b").tolist() == [2, 3]
    assert list(table(tmp_path, "1\t2\n", ', separator: "\\t", header: false').columns) == ["column_1", "column_2"]


@pytest.mark.parametrize("text", ["1_000", "inf", "nan", "0x10", "1e999", "1,5", "--1", "e5", "1 2", "\u0661", ".", ""])
def test_what_python_may_read_as_a_number_is_not_always_one(text: str) -> None:
    assert not np.isfinite(number(text))


def test_words_for_nothing_are_missing_in_numbers_and_classes_among_texts(tmp_path: Path) -> None:
    cells = "\n".join(f"{word},{word}" for word in sorted(NO_NUMBER - {""}))
    d = table(tmp_path, f"n,c\n1,x\n{cells}\n", "", ", columns: {n: {number: {missing: zero}}}")
    assert np.isnan(d.read("n")[1:]).all() and d.columns["c"].classes is not None
    assert set(d.columns["c"].classes) == {"x", *NO_NUMBER} - {""}


def test_a_type_is_found_after_many_rows_without_one(tmp_path: Path) -> None:
    d = table(tmp_path, "a,b\n" + ",1\n" * 20_000 + "5,1\n", "", ", columns: {a: {number: {missing: 7}}}")
    inferred = table(tmp_path, "a,b\n" + "NA,1\n" * 20_000 + "x,1\n")
    assert np.isnan(d.read("a")[:-1]).all() and d.read("a")[-1] == 5 and load(d).splits["train"].arrays["a"][0] == 7
    assert inferred.columns["a"].classes == ("NA", "x") and len(inferred.read("a")) == 20_001


DAMAGE = {
    "an empty file": (b"", "t.csv:1:1: the file has no rows"),
    "only blank lines": (b"\n\n", "the file has no rows"),
    "a header alone": (b"a,b\n", "a header and no rows"),
    "a row too short": (b"a,b\n1,2\n3\n", "t.csv:3:1: the row does not fit"),
    "a row too long": (b"a,b\n1,2,3\n", "t.csv:2:1: the row does not fit"),
    "an empty line between": (b"a,b\n1,2\n\n3,4\n", "t.csv:3:1: the row does not fit"),
    "equal names": (b"a,b,a\n1,2,3\n", "t.csv:1:5: two columns are called 'a'"),
    "no name": (b"a,,b\n1,2,3\n", "t.csv:1:3: column 2 has no name"),
    "text among numbers": (b"a,b\n1,2\n1,x\n", "t.csv:3:3: column 'b' is numbers up to here"),
    "a number among texts": (b"a\nx\n1\n", "t.csv:3:1: column 'a' is texts up to here"),
    "no values": (b"a,b\n1,\n2,\n", "column 'b' has no values"),
    "a missing value": (b"a,b\n1,2\n3,\n", "t.csv:3:3: row 2 of column 'b' has no value"),
    "latin-1": ("a,b\n1,\u00e9\n".encode("latin-1"), "t.csv:2:3: the file is not UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
    "NUL": (b"a,b\n1,\x002\n", "t.csv:2:3: a NUL character"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip"),
    "an open quote": (b'a,b\n1,"2\n3,4\n', "t.csv:2:3: a double quote is left open"),
    "text after a quote": (b'a,b\n1,"2"x\n', "t.csv:2:3: "),
    "a huge value": (b"a,b\n1," + b"x" * 200_000 + b"\n", "t.csv:2:1: a value is longer"),
    "a huge line": (b"a,b\n1," + b"x" * 2_000_000 + b"\n", "t.csv:2:1: the line is longer"),
    "old line ends": (b"a,b\r1,2\r", "carriage return"),
    "infinity": (b"a\n1\n1e999\n", "t.csv:3:1: column 'a' is numbers up to here"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_has_its_place(what: str, tmp_path: Path) -> None:
    content, said = DAMAGE[what]
    assert said in refused(tmp_path, content)


def test_a_declared_number_refuses_text_and_hints_at_the_decimal_mark(tmp_path: Path) -> None:
    said = refused(tmp_path, "a;b\n1,5;2\n", ', separator: ";"', ", columns: {a: number}")
    assert "t.csv:2:1: column 'a' is numbers" in said and 'decimal: ","' in said


def test_another_separator_is_guessed_in_the_hint_only(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\nx;y\n")
    with pytest.raises(Exception, match='separator: ";"'):
        declare(read("{csv: {path: t.csv, target: b}}", "spec.yaml"), tmp_path, 0)


def test_twenty_ragged_rows_are_told_and_no_more(tmp_path: Path) -> None:
    assert refused(tmp_path, "a,b\n" + "1\n" * 100).count("does not fit") == 20


ROOMS = "rooms,street\n1,a\n,b\n4,a\n1,\n7,a\n"


@pytest.mark.parametrize(
    ("how", "value"), [("median", 2.5), ("mean", 3.25), ("zero", 0), ("most_frequent", 1), ("-1.5", -1.5)]
)
def test_missing_numbers_are_filled_as_the_spec_says(how: str, value: float, tmp_path: Path) -> None:
    more = f", columns: {{rooms: {{number: {{missing: {how}}}}}, street: {{category: {{missing: most_frequent}}}}}}"
    arrays = load(table(tmp_path, ROOMS, "", more)).splits["train"].arrays
    assert arrays["rooms"].tolist() == [1, value, 4, 1, 7] and arrays["street"].tolist() == [0, 1, 0, 0, 0]


def test_a_missing_class_may_be_a_class_of_its_own(tmp_path: Path) -> None:
    d = table(tmp_path, ROOMS, "", ", columns: {rooms: drop, street: {category: {missing: none}}}")
    assert d.columns["street"].classes == ("a", "b", "none")
    assert load(d).splits["train"].arrays["street"].tolist() == [0, 1, 0, 2, 0]


def test_a_dropped_column_may_hold_anything(tmp_path: Path) -> None:
    d = table(tmp_path, "a,id\n1,x\n2,3\n3,\n", "", ", columns: {id: drop}")
    assert list(d.columns) == ["a"]


def test_names_that_never_repeat_are_forgotten_and_the_first_too_many_has_its_row() -> None:
    cells = Texts(most=10)
    for start in (0, 8, 16, 24):
        cells.add([f"n{start + i}" for i in range(8)], start)
    assert cells.wrong is not None and cells.wrong[0] == 10 and len(cells.codes) == 16
