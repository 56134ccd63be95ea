"""npz files: their types from their headers, and nothing in them is trusted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnspec.data.column import Declaration
from nnspec.data.declare import declare
from nnspec.data.load import load
from nnspec.errors import DataError
from nnspec.spec.source import read


def arrays(folder: Path, more: str = "", **kwargs: Any) -> Declaration:
    np.savez(folder / "a.npz", **kwargs)
    return declare(read(f"{{npz: {{path: a.npz, target: y}}{more}}}", "spec.yaml"), folder, 0)


def refused(folder: Path, more: str = "") -> str:
    with pytest.raises(DataError) as caught:
        load(declare(read(f"{{npz: a.npz{more}}}", "spec.yaml"), folder, 0))
    return caught.value.render()


def test_arrays_are_columns_with_rows_first(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    d = arrays(tmp_path, x=x, y=np.array([1.5, 2.5]), s=np.array(["b", "a"]))
    assert d.columns["x"].kind == "image" and d.columns["x"].dtype == "float32"
    assert d.columns["s"].classes == ("a", "b") and d.rows == 2 and d.targets == ("y",)
    rows = load(d, "float64").splits["train"].arrays
    assert rows["x"].dtype == np.float64 and np.array_equal(rows["x"], x) and rows["s"].tolist() == [1, 0]


def test_whole_numbers_are_classes_where_the_spec_says_so(tmp_path: Path) -> None:
    d = arrays(tmp_path, ", columns: {y: category}", x=np.zeros((3, 2)), y=np.array([7, 3, 10]))
    assert d.columns["y"].classes == ("3", "7", "10") and d.read("y").tolist() == [1, 0, 2]


def test_byte_order_and_memory_order_do_not_matter(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(6.0).reshape(3, 2)).astype(">f4")
    assert load(arrays(tmp_path, x=x, y=np.zeros(3))).splits["train"].arrays["x"].tolist() == x.tolist()


def test_values_that_are_missing_or_infinite_have_their_row(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.array([1.0, np.nan, 3.0]))
    assert "row 2 of column 'y' is not a finite number" in refused(tmp_path)
    d = declare(read("{npz: a.npz, columns: {y: {number: {missing: mean}}}}", "s"), tmp_path, 0)
    assert load(d).splits["train"].arrays["y"].tolist() == [1, 2, 3]
    np.savez(tmp_path / "a.npz", y=np.array([1.0, np.inf]))
    assert "infinite" in refused(tmp_path, ", columns: {y: {number: {missing: mean}}}")


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"x": np.array([{}, []], object)}, "pickled objects, which are never read"),
        ({"x": np.zeros(3, complex)}, "cannot be read"),
        ({"x": np.zeros(3), "y": np.zeros(2)}, "differ in their number of rows"),
        ({"x": np.zeros(())}, "has no axes"),
        ({"x": np.zeros((2, 0))}, "an axis of length 0"),
        ({"x": np.zeros(0)}, "the file has no rows"),
        ({}, "the file has no arrays"),
        ({"x": np.array(["a", ""])}, "row 2 of column 'x' has no value"),
    ],
)
def test_arrays_that_are_no_columns_are_refused(kwargs: dict[str, Any], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **kwargs)
    assert said in refused(tmp_path)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"x,y\n1,2\n")
    assert "no npz of arrays" in refused(tmp_path)


def test_a_header_that_promises_more_than_there_is_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 80)
    assert "should have 8000000000000 bytes and has 80" in refused(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(bytes(content))
    assert "cannot be read" in refused(tmp_path)


def test_an_array_too_many_is_dropped_by_name(tmp_path: Path) -> None:
    d = arrays(tmp_path, ", columns: {n: drop}", x=np.zeros(3), y=np.zeros(3), n=np.zeros(7))
    assert list(d.columns) == ["x", "y"]
