"""Wrong files: each one clear error with its place, and nothing large allocated first. Mutants of right ones: read, or refused."""

from __future__ import annotations

import gzip
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnspec.data.declare import declare
from nnspec.data.load import load
from nnspec.errors import NnspecError
from nnspec.spec.source import read
from tests.bad_data import BAD, GOOD, MANY, encoded, idx_of, npz_of, parquet_of, pictures, scenes

FULL = bool(os.environ.get("NNSPEC_FULL"))
MUTANTS = 1000 if FULL else 100
MOST = 4 << 20  # bytes that may be allocated for a wrong file of at most 2 MB


def whole(section: str, folder: Path) -> None:
    """Declares and reads everything."""
    for rows in load(declare(read(section, str(folder / "spec.yaml")), folder, 0)).splits.values():
        for array in rows.arrays.values():
            np.asarray(array)


def test_at_least_forty_kinds_of_wrong_files_are_tried() -> None:
    assert len(BAD) >= 40


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_is_one_clear_error_and_nothing_large_is_allocated(name: str, tmp_path: Path) -> None:
    bad = BAD[name]
    (tmp_path / "d").mkdir()
    bad.make(tmp_path / "d")
    for _ in range(2):  # the first time imports what reads it
        tracemalloc.start()
        with pytest.raises(NnspecError) as caught:
            whole(bad.section, tmp_path / "d")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    error = caught.value
    assert len(error.problems) == 1 or name in MANY, error.render()
    assert error.render().startswith(str(tmp_path / "d" / bad.at)), error.render()
    assert all(part in error.render() for part in bad.said), error.render()
    assert peak < MOST + (4 << 20 if "2_mb" in name else 0)


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_only_looks_wrong_is_read(name: str, tmp_path: Path) -> None:
    make, section = GOOD[name]
    make(tmp_path)
    whole(section, tmp_path)


RNG = np.random.default_rng(0)
SMALL = Image.fromarray(RNG.integers(0, 256, (9, 11, 3)).astype(np.uint8))
ROWS = '\ufeffid,name,price\r\n1,"a ""b""",2.5\r\n2,c,3e1\r\n3,"d, e",4\r\n'.encode()
# What is mutated, what its file is called, and how it is read.
FORMATS: dict[str, tuple[bytes, str, str]] = {
    "csv": (ROWS, "a.csv", "{csv: a.csv}"),
    "idx": (idx_of((6, 3, 3), RNG.bytes(54)), "a.idx", "{idx: {x: a.idx}}"),
    "idx_labels": (idx_of((60,), bytes([0, 1, 2]) * 20), "a.idx", "{idx: {x: a.idx}}"),
    "idx_gzip": (gzip.compress(idx_of((6, 3, 3), RNG.bytes(54))), "a.idx", "{idx: {x: a.idx}}"),
    "npz": (npz_of(x=RNG.normal(size=(4, 3)), y=np.array(["a", "b", "a", "c"])), "a.npz", "{npz: a.npz}"),
    "npz_compressed": (npz_of(True, x=RNG.normal(size=(4, 3)), y=np.arange(4)), "a.npz", "{npz: {path: a.npz, target: y}, columns: {y: category}}"),
    "parquet": (parquet_of(x=[1.0, 2.0, 3.0], t=["a", "b", "a"], v=[[1, 2], [3, 4], [5, 6]]), "a.parquet", "{parquet: a.parquet}"),
    **{
        f"image_{format.lower()}": (encoded(format, SMALL), f"dog/x.{format.lower()}", "{image_folder: {path: ., size: 8}}")
        for format in ("PNG", "JPEG", "GIF", "BMP", "WebP")
    },
    "mask": (encoded("PNG", Image.new("L", (8, 8), 1)), "mask/1.png", "{files: {image: 'img/*', mask: {path: 'mask/*', as: labels}}}"),
}


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut out, doubled, or the end cut off."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, max(1, len(data) if rng.random() < 0.5 else min(len(data), 64))))
        match rng.integers(0, 6):
            case 0 | 1:
                data[at : at + 1] = rng.bytes(1)
            case 2:
                data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
            case 3:
                del data[at : at + int(rng.integers(1, 9))]
            case 4:
                data[at:at] = data[at : at + int(rng.integers(1, 9))]
            case _:
                del data[max(at, 1) :]
    return bytes(data)


@pytest.mark.parametrize("name", FORMATS)
def test_mutants_are_read_or_refused_without_a_traceback_a_warning_or_a_wait(name: str, tmp_path: Path) -> None:
    content, file, section = FORMATS[name]
    make: Callable[[Path], None] = scenes(lambda: Image.new("L", (8, 8), 1)) if name == "mask" else pictures(file, content)
    make(tmp_path)
    rng = np.random.default_rng(list(name.encode()))
    whole(section, tmp_path)
    refused, slowest = 0, 0.0
    for _ in range(MUTANTS):
        (tmp_path / file).write_bytes(changed := mutant(content, rng))
        start = time.perf_counter()
        try:
            whole(section, tmp_path)
        except NnspecError as e:
            refused += 1
            assert all(p.place is not None for p in e.problems), (e.render(), changed)
        slowest = max(slowest, time.perf_counter() - start)
    assert refused > MUTANTS // 20
    assert slowest < 5
