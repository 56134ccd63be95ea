"""README.md is true: every block of it runs, as a reader would run them, in order and in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SET_UP = 2  # the first two blocks install; .ci/run runs the second, and the first would train in a new environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    bin = folder / "bin"
    bin.mkdir(exist_ok=True)
    program = bin / "nnspec"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnspec "$@"\n')
    program.chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    env = {
        **os.environ,
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": paths,
        "PYTHONWARNINGS": "error",
    }
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_the_first_two_blocks_set_up_run_and_test() -> None:
    (first, one), (second, two) = BLOCKS[:SET_UP]
    assert first == second == "sh"
    assert (
        one.startswith("python3 -m venv .venv && ") and "nnspec run specs/quickstart/" in one and one.count("\n") == 1
    )
    assert two.startswith("python3 -m venv .venv && ") and two.endswith("-m pytest\n") and two.count("\n") == 1
    assert (ROOT / one.split()[-1]).is_file()


def test_every_later_block_runs(folder: Path) -> None:
    before = ""
    seen = []
    for kind, body in BLOCKS[SET_UP:]:
        seen.append(kind)
        if kind == "yaml":
            name = body.splitlines()[0].removeprefix("# ")
            assert name.endswith(".yaml"), "the first line of a spec in README says its file"
            (folder / name).write_text(body, "utf-8")
        elif kind == "sh":
            done = run(["bash", "-euc", body], folder)
            assert done.returncode == 0, done.stderr
            before = done.stdout
        elif kind == "text":
            assert before == body
        elif kind == "python":
            done = run([sys.executable, "-c", body], folder)
            assert done.returncode == 0, done.stderr
        else:
            pytest.fail(f"nothing runs a block of {kind!r}")
    assert {"yaml", "sh", "text", "python"} <= set(seen)


def test_every_command_of_the_table_exists_and_every_command_is_in_it() -> None:
    from nnspec.cli.commands import COMMANDS

    assert re.findall(r"^\| `nnspec (\w+)", TEXT, re.MULTILINE) == list(COMMANDS)


def test_the_continuous_check_runs_what_readme_says() -> None:
    """The extraction of ``.ci/run`` finds README's second command."""
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    line = next(row for row in script.splitlines() if row.startswith("tests="))
    done = subprocess.run(
        ["bash", "-euc", f'{line}\nprintf "%s\\n" "$tests"'], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == BLOCKS[1][1]
