"""``rename: FILE`` holds the names of a family: of pairs that match nothing none is an error, what becomes null is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import nnspec
from nnspec.errors import SpecError
from nnspec.runtime.session import compile
from nnspec.spec.write import write

SPEC = "nnspec: 1\ninputs: {x: {shape: [3]}}\nlayers: [dense: 2]\nweights: {from: w.safetensors, layout: torch, rename: %s}\n"
TABLE = "# names\nmodel.0.: dense_1/\nmodel.1.: dense_2/\nanchors: null\n"


def written(folder: Path, rename: str = "names.yaml", table: str = TABLE) -> Path:
    weights = {"model.0.weight": np.arange(6.0).reshape(2, 3), "model.0.bias": np.ones(2), "anchors": np.zeros(4)}
    save_file({k: v.astype(np.float32) for k, v in weights.items()}, folder / "w.safetensors")
    (folder / "names.yaml").write_text(table, "utf-8")
    (folder / "spec.yaml").write_text(SPEC % rename, "utf-8")
    return folder / "spec.yaml"


def test_a_table_in_a_file_brings_names_together(tmp_path: Path) -> None:
    model = compile(nnspec.load(written(tmp_path)))
    np.testing.assert_array_equal(model.parameters["dense_1/kernel"], np.arange(6.0).reshape(2, 3).T)


def test_a_pair_that_becomes_null_is_left_out_where_the_spec_says_so_itself(tmp_path: Path) -> None:
    model = compile(nnspec.load(written(tmp_path, "{model.0.: dense_1/, anchors: null}")))
    np.testing.assert_array_equal(model.parameters["dense_1/bias"], np.ones(2))


def test_the_spec_written_out_names_the_same_table(tmp_path: Path) -> None:
    text = write(nnspec.load(written(tmp_path)).document)
    assert f"rename: {tmp_path.resolve() / 'names.yaml'}" in text


@pytest.mark.parametrize(("rename", "table", "message", "file"), [
    ("other.yaml", TABLE, "the table of 'rename' is not there", "spec.yaml:4:55"),
    ("../names.yaml", TABLE, "the table of 'rename' is not there", "spec.yaml:4:55"),
    ("/etc/hostname", TABLE, "the table of 'rename' lies outside of the spec's folder", "spec.yaml:4:55"),
    ("names.yaml", "- model.0.\n", "a table of renames is a mapping", "names.yaml:1:1"),
    ("names.yaml", "model.0.: [dense_1]\n", "does not fit", "names.yaml:1:11"),
    ("names.yaml", "model.*.: dense_*/*/\nanchors: null\n", "a rename does not fit", "names.yaml:1:1"),
])  # fmt: skip
def test_a_table_that_does_not_do_is_one_error_with_its_place(tmp_path: Path, rename: str, table: str, message: str, file: str) -> None:
    with pytest.raises(SpecError) as e:
        compile(nnspec.load(written(tmp_path, rename, table)))
    assert message in str(e.value)
    assert file in str(e.value)
