"""The wheel: its top-level names, the shipped specs inside it, and a first import from it alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = sorted(p.name for p in (ROOT / "backends").iterdir() if p.name.startswith("nnspec_"))

BUILD = """
import sys
from hatchling.builders.wheel import WheelBuilder
print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=["standard"])))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(ROOT), str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_top_level_names_are_nnspec_and_its_backends(names: list[str]) -> None:
    top = {name.split("/")[0] for name in names}
    assert {n for n in top if not n.endswith(".dist-info")} == {"nnspec", *BACKENDS}
    assert len(top) == len(BACKENDS) + 2


def test_every_shipped_spec_and_its_data_are_inside(names: list[str]) -> None:
    wanted = {
        f"nnspec/specs/{p.relative_to(ROOT / 'specs').as_posix()}" for p in (ROOT / "specs").rglob("*") if p.is_file()
    }
    assert wanted and wanted <= set(names)


def test_every_module_and_what_lies_beside_it_is_inside(names: list[str]) -> None:
    wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT / "nnspec").rglob("*.py")}
    wanted |= {
        "nnspec/py.typed",
        "nnspec/data/shipped/iris.csv",
        "nnspec/data/shipped/digits.npz",
        "nnspec/data/shipped/LICENCE.md",
    }
    wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "nnspec" / "cli" / "templates").iterdir()}
    wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / "nnspec" / "view" / "page").iterdir()}
    for folder in ("nnspec/view/board/page", "nnspec/view/vendor/uplot"):
        wanted |= {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).iterdir()}
    assert wanted <= set(names)


def test_nothing_else_came_along(names: list[str]) -> None:
    assert [
        n for n in names if "__pycache__" in n or "tests/" in n or n.endswith((".pyc", ".safetensors", ".jsonl"))
    ] == []


def test_the_entry_points_name_what_exists(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        file = next(n for n in archive.namelist() if n.endswith("entry_points.txt"))
        lines = archive.read(file).decode().split("\n")
    backends = {line.split(" = ")[1].split(":")[0] for line in lines if line.endswith(":BACKEND")}
    assert backends == set(BACKENDS)
    assert "nnspec = nnspec.cli:main" in lines


def test_a_shipped_spec_checks_from_the_unpacked_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    spec = tmp_path / "nnspec" / "specs" / "quickstart" / "digits_mlp.yaml"
    code = "import nnspec, sys; print(nnspec.__file__); from nnspec.cli import main; main(['check', sys.argv[1]])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(spec)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(tmp_path / "nnspec" / "__init__.py")
    assert ": ok (" in done.stdout


def test_every_dependency_says_what_it_saves() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = text.split("\ndependencies = [\n")[1].split("\n]")[0]
    assert [line for line in block.splitlines() if "#" not in line] == []
