"""Object code on disk: read again, made again where it is damaged or somebody else's, and no trouble where nothing can be kept."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")
from nnspec.cli import doctor
from nnspec.codegen import cache
from nnspec.ir.graph import Graph, abstract
from nnspec.ir.types import TensorType
from nnspec.ops.elementwise import exp
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.llvm import build
from tests.test_numpy_backend import check_equal

pytestmark = pytest.mark.compiled


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was compiled."""
    found: list[str] = []
    compiled = build._compiled

    def counted(text: str, cpu: object) -> bytes:
        found.append(text)
        return compiled(text, cpu)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "_compiled", counted)
    return found


def run(n: int = 5) -> None:
    import numpy as np

    x = abstract(TensorType((n,)), "x")
    graph = run_pipeline(Graph({"y": exp(x) * 2.0}), BACKEND.claims, BACKEND.loops())
    check_equal(graph, {"x": np.linspace(-1, 1, n, dtype=np.float32)}, 1e-5)


def test_what_was_compiled_is_not_compiled_again(folder: Path, made: list[str]) -> None:
    run()
    run()
    run(6)
    assert len(made) == 2 and len(list(folder.glob("*.o"))) == 2
    assert not [p for p in folder.iterdir() if p.suffix != ".o"]


@pytest.mark.parametrize("damage", ["empty", "cut", "turned", "foreign"])
def test_a_damaged_or_foreign_entry_is_made_again(damage: str, folder: Path, made: list[str]) -> None:
    run()
    run(6)
    entry, other = sorted(folder.glob("*.o"))
    whole = entry.read_bytes()
    entry.write_bytes({"empty": b"", "cut": whole[:-1], "turned": whole[:-1] + bytes([whole[-1] ^ 1]), "foreign": other.read_bytes()}[damage])
    run()
    run(6)
    assert len(made) == 3
    assert entry.read_bytes()[: len(cache.MAGIC) + 32] == whole[: len(cache.MAGIC) + 32]


def test_an_entry_that_is_not_ours_is_not_executed(folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    run()
    assert len(made) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users as POSIX has them")
def test_nothing_is_executed_that_everybody_may_write(folder: Path, made: list[str]) -> None:
    run()
    entry = next(folder.glob("*.o"))
    for mode in (0o602, 0o620):
        entry.chmod(mode)
        run()
    assert len(made) == 3 and entry.stat().st_mode & 0o777 == 0o600  # and it was written anew
    folder.chmod(0o777)
    run()
    assert len(made) == 4
    folder.chmod(0o700)
    run()
    assert len(made) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes as POSIX has them")
def test_nobody_waits_for_what_is_no_file(folder: Path, made: list[str]) -> None:
    run()
    entry = next(folder.glob("*.o"))
    entry.unlink()
    os.mkfifo(entry)
    run()
    assert len(made) == 2


@pytest.mark.wide
def test_another_processor_is_another_entry(folder: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setenv("NNSPEC_CPU", "baseline")
    run()
    assert len(made) == 2 and len(list(folder.glob("*.o"))) == 2


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "cache"))
    run()
    run()
    assert len(made) == 2


def test_many_at_once_write_whole_entries(folder: Path) -> None:
    errors: list[BaseException] = []

    def one() -> None:
        try:
            assert cache.kept(b"key", lambda: b"code" * 10_000) == b"code" * 10_000
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert cache.kept(b"key", lambda: b"other") == b"code" * 10_000


def test_the_oldest_entries_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 3)
    for i in range(5):
        cache.kept(b"%d" % i, lambda: b"code")
        newest = max(folder.glob("*.o"), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    assert sorted(p.stat().st_mtime for p in folder.glob("*.o")) == [2, 3, 4]


def test_the_oldest_entries_make_room_for_larger_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LARGEST", 3_000)
    for i in range(5):
        cache.keep(b"%d" % i, bytes(900), cache.PROGRAM)
        newest = max(folder.glob("*.program"), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    assert sorted(p.stat().st_mtime for p in folder.iterdir()) == [2, 3, 4]
    assert cache.state().bytes < 3_000


def test_doctor_says_what_is_kept_and_why_a_folder_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{folder}: 0 of" in doctor._cache()
    run()
    found = cache.state()
    assert found.entries == len(list(folder.iterdir())) and found.bytes == sum(p.stat().st_size for p in folder.iterdir())
    assert f"{folder}: {found.entries} of at most 512 entries, 0.0 MB of at most 268" in doctor._cache()
    if hasattr(os, "geteuid"):
        folder.chmod(0o770)
        assert doctor._cache() == f"{folder} is not used: others may write it: chmod go-w {folder}"
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        assert doctor._cache() == f"{folder} is not used: it belongs to somebody else"
    folder.rename(folder.parent / "away")
    folder.write_text("no folder")
    assert doctor._cache() == f"{folder} is not used: it is no folder"


def test_what_is_asked_for_stays_and_what_is_not_ours_is_left_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 2)
    folder.mkdir(mode=0o700)
    theirs = folder / "main.o"
    theirs.write_bytes(b"another program's")
    left, fresh = folder / f"{cache.PART}old", folder / f"{cache.PART}new"
    for path in (left, fresh):
        path.write_bytes(b"half")
    for path in (theirs, left):
        os.utime(path, (1, 1))
    made: list[int] = []

    def make(i: int) -> bytes:
        made.append(i)
        return b"code"

    def ask(i: int) -> None:
        assert cache.kept(b"%d" % i, partial(make, i)) == b"code"
        for p in folder.glob("*.o"):
            os.utime(p, ns=(p.stat().st_atime_ns, p.stat().st_mtime_ns - 10**9))

    for i in (0, 1, 0, 2, 0):
        ask(i)
    assert made == [0, 1, 2]
    assert theirs.exists() and fresh.exists() and not left.exists()
