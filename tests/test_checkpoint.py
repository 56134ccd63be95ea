"""A checkpoint keeps every bit, is replaced as a whole or not at all, and is refused in words when it is damaged."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from nnspec.errors import DataError, ResourceError
from nnspec.runtime.checkpoint import KEY, Mark, Standing, peek, read, save

SPECIAL = [0.0, -0.0, 1e-320, np.inf, -np.inf, np.nan, 1 / 3, 2.0**-1074]
ARRAYS = {
    "parameters/dense_1/kernel": np.array([SPECIAL, SPECIAL[::-1]]),
    "parameters/dense_1/bias": np.array(SPECIAL, np.float32),
    "parameters/scalar": np.array(1 / 3, np.float32),
    "parameters/empty": np.zeros((0, 3), np.float32),
    "optimizer/count": np.array([1, -(2**62)], np.int64),
    "optimizer/on": np.array([True, False, True]),
}
MARK = Mark(3, 0.1 + 0.2)
STANDING = Standing(3, 2, 17, 40, {"loss": 0.1, "accuracy": 2 / 3}, MARK, Mark(1, float("inf")), "stopped early")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "last.safetensors", ARRAYS, STANDING)
    return tmp_path / "last.safetensors"


def refusal(path: Path, like: dict[str, Any] = ARRAYS) -> str:
    with pytest.raises(DataError) as e:
        read(path, like)
    assert str(path) in str(e.value)
    return str(e.value)


def test_every_bit_comes_back(path: Path) -> None:
    arrays, standing = read(path, ARRAYS)
    assert standing == STANDING
    assert arrays.keys() == ARRAYS.keys()
    for name, wanted in ARRAYS.items():
        assert arrays[name].dtype == wanted.dtype and arrays[name].shape == wanted.shape
        assert arrays[name].tobytes() == wanted.tobytes()


def test_any_reader_of_safetensors_reads_it(path: Path) -> None:
    found = load_file(path)
    assert {name: a.tobytes() for name, a in found.items()} == {name: a.tobytes() for name, a in ARRAYS.items()}
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] % 8 == 0  # so that mapped arrays are aligned


def test_equal_content_gives_equal_bytes_whatever_its_order(path: Path, tmp_path: Path) -> None:
    save(tmp_path / "other", dict(reversed(ARRAYS.items())), STANDING)
    assert (tmp_path / "other").read_bytes() == path.read_bytes()


def test_arrays_that_are_not_contiguous_are_saved_by_their_values(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(3, 4).T
    save(tmp_path / "x", {"x": x}, Standing())
    np.testing.assert_array_equal(read(tmp_path / "x", {"x": x})[0]["x"], x)


def test_a_prefix_reads_only_its_arrays(path: Path) -> None:
    arrays, _ = read(path, ARRAYS, "parameters/")
    assert set(arrays) == {name for name in ARRAYS if name.startswith("parameters/")}


def test_peek_tells_where_the_run_stood(path: Path) -> None:
    assert peek(path) == STANDING


@given(st.floats(), st.floats(allow_nan=False), st.integers(0, 2**60), st.text(max_size=20))
def test_standings_keep_every_bit_as_text(total: float, best: float, step: int, name: str) -> None:
    before = Standing(1, 2, step, 3, {name: total}, Mark(4, best), None)
    after = Standing.from_json(before.to_json())
    assert struct.pack("d", after.sums[name]) == struct.pack("d", total) or (
        total != total and after.sums[name] != total
    )
    assert (after.step, after.best) == (step, Mark(4, best))


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_file_with_a_flipped_bit_is_refused_or_holds_what_it_says(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    for i in range(0, len(whole) - 200):
        whole[i] ^= 1 << i % 8
        path.write_bytes(whole)
        try:
            arrays, _ = read(path, ARRAYS)
            assert {n: (a.dtype, a.shape) for n, a in arrays.items()} == {
                n: (a.dtype, a.shape) for n, a in ARRAYS.items()
            }
        except DataError as e:
            assert str(path) in str(e)
        whole[i] ^= 1 << i % 8


def rewritten(path: Path, change: Any) -> None:
    """The file with its header changed."""
    data = path.read_bytes()
    (n,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + n])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + n :])


@pytest.mark.parametrize(
    "standing",
    [
        "", "[]", "{}", "[" * 100_000, "1" * 10_000, "null", '"format"',
        STANDING.to_json().replace('"format": 1', '"format": 2'),
        STANDING.to_json().replace('"step": 17', '"step": -1'),
        STANDING.to_json().replace('"step": 17', '"step": true'),
        STANDING.to_json().replace('"epoch": 3', '"epoch": 1e400'),
        STANDING.to_json().replace('"rows": 40', f'"rows": {2**70}'),
        STANDING.to_json().replace('"sums": {', '"sums": {"x": 1, '),
        STANDING.to_json().replace('"sums": {', '"sums": {"x": "0x1p99999", '),
        STANDING.to_json().replace('"best": [', '"best": [1, '),
        STANDING.to_json().replace('"stop": "', '"stopped": "'),
    ],
)  # fmt: skip
def test_hostile_words_in_the_header_are_refused(path: Path, standing: str) -> None:
    rewritten(path, lambda header: header["__metadata__"].update({KEY: standing}))
    assert "header" in refusal(path)


def test_a_header_that_claims_more_than_the_file_is_refused_without_allocating(path: Path) -> None:
    (path.parent / "long").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    rewritten(path, lambda header: header["parameters/empty"].update(shape=[2**40], data_offsets=[0, 2**42]))
    tracemalloc.start()
    refusal(path)
    refusal(path.parent / "long")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_safetensors_file_of_something_else_is_refused(path: Path) -> None:
    rewritten(path, lambda header: header.pop("__metadata__"))
    assert "not a checkpoint" in refusal(path)


def test_arrays_of_another_network_are_named(path: Path) -> None:
    other = {**ARRAYS, "parameters/dense_2/kernel": np.zeros(3)}
    assert "'parameters/dense_2/kernel' is missing" in refusal(path, other)
    fewer = {name: a for name, a in ARRAYS.items() if name != "optimizer/on"}
    assert "nothing in this network is called 'optimizer/on'" in refusal(path, fewer)
    text = refusal(path, {**ARRAYS, "parameters/dense_1/kernel": np.zeros((8, 2))})
    assert "'parameters/dense_1/kernel' does not fit" in text and "(2, 8)" in text and "(8, 2)" in text
    assert "I64 (2,)" in refusal(path, {**ARRAYS, "optimizer/count": np.zeros(2)})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "not there" in refusal(tmp_path / "none.safetensors")
    assert "cannot be read" in refusal(tmp_path) or "not a whole" in refusal(tmp_path)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit of the system on file sizes stands for a full disk: writes beyond it fail."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_old_checkpoint_and_no_leftovers(path: Path) -> None:
    old = path.read_bytes()
    with files_of_at_most(4096), pytest.raises(ResourceError, match=r"cannot be written") as e:
        save(path, {"x": np.zeros(100_000)}, Standing())
    assert e.value.status == 5
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_failure_before_the_end_leaves_the_old_checkpoint(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(ResourceError, match="No space left"):
        patch.setattr(os, step, fail)
        save(path, {}, Standing())
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_the_content_is_synced_before_it_takes_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        real: Callable[..., None] = getattr(os, name)

        def call(*args: Any) -> None:
            calls.append(name)
            real(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name))
    save(path, ARRAYS, STANDING)
    assert calls == ["fsync", "replace", "fsync"]  # the file, the name, the folder
