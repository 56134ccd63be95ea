"""The hook of pre-commit and the GitHub Action: what they run, run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
ACTION: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "actions" / "check" / "action.yml").read_text())
GOOD = "nnspec: 1\ninputs: [8]\nlayers: [dense: 3]\n"
WRONG = "nnspec: 1\ninputs: [8]\nlayers: [Linear: 3]\n"


def call(command: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command where ``nnspec`` is this one."""
    scripts = folder.parent / f"{folder.name}_bin"
    scripts.mkdir(exist_ok=True)
    for name, words in {"nnspec": "-m nnspec", "python": ""}.items():
        script = scripts / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    python = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    return subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path, "PYTHONPATH": python, **env}, capture_output=True, text=True, timeout=120)


def test_the_hooks_have_what_pre_commit_asks_for() -> None:
    assert [hook["id"] for hook in HOOKS] == ["nnspec-check", "nnspec-fix"]
    for hook in HOOKS:
        assert {"id", "name", "entry", "language", "types"} <= set(hook)
        assert (hook["language"], hook["types"]) == ("python", ["yaml"])


def test_the_entries_of_the_hooks_check_and_mend(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "good.yaml").write_text(GOOD)
    (folder / "wrong.yaml").write_text(WRONG)
    check, fix = (hook["entry"].split() for hook in HOOKS)
    assert call([*check, "good.yaml"], folder).returncode == 0
    refused = call([*check, "good.yaml", "wrong.yaml"], folder)
    assert refused.returncode == 2
    assert "in nnspec this is 'dense'" in refused.stderr
    assert call([*fix, "wrong.yaml"], folder).returncode == 0
    assert (folder / "wrong.yaml").read_text() == WRONG.replace("Linear", "dense")


def test_pre_commit_itself_runs_the_hook(tmp_path: Path) -> None:
    """With the real one, from PyPI; its hooks are those of this file as local ones, which need no environment of their own."""
    if not os.environ.get("NNSPEC_FULL") and not os.environ.get("CI"):
        pytest.skip("installs pre-commit: in the long form, and in CI")
    if not shutil.which("git"):
        pytest.skip("needs git")
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), "pre-commit==4.2.0"]
    if (done := subprocess.run(pip, capture_output=True, text=True, timeout=240)).returncode:
        pytest.skip(f"pip cannot install pre-commit: {done.stderr.strip()[-200:]}")
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r}); from pre_commit.main import main; sys.exit(main(sys.argv[1:]))", "run"]
    folder = tmp_path / "repo"
    folder.mkdir()
    hooks = [{**hook, "language": "system"} for hook in HOOKS]
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": hooks}]}))
    (folder / "good.yaml").write_text(GOOD)
    (folder / "wrong.yaml").write_text(WRONG)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    home = str(tmp_path / "home")
    done = call([*run, "nnspec-check", "--all-files"], folder, PRE_COMMIT_HOME=home, HOME=home)
    assert done.returncode == 1
    assert "wrong.yaml:3:10: no layer is called 'Linear'" in done.stdout
    done = call([*run, "nnspec-fix", "--all-files"], folder, PRE_COMMIT_HOME=home, HOME=home)
    assert "files were modified by this hook" in done.stdout
    assert call([*run, "nnspec-check", "--all-files"], folder, PRE_COMMIT_HOME=home, HOME=home).returncode == 0


def step(name: str) -> str:
    return next(s["run"] for s in ACTION["runs"]["steps"] if s.get("name") == name)


def test_the_action_is_a_composite_one_whose_inputs_reach_the_shell_as_variables_alone() -> None:
    assert ACTION["runs"]["using"] == "composite"
    assert set(ACTION["inputs"]) == {"specs", "strict", "python"}
    for one in ACTION["runs"]["steps"]:
        assert "${{" not in one.get("run", ""), "an input in the text of a script is a way in for whoever names a file"
        assert "run" not in one or one["shell"] == "bash"


def test_the_action_annotates_the_lines_of_problems(tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    (folder / "specs" / "deep").mkdir(parents=True)
    (folder / "specs" / "good.yaml").write_text(GOOD)
    run = ["bash", "-e", "-o", "pipefail", "-c", step("check")]
    assert call(run, folder, SPECS="specs/*.yaml", STRICT="false").returncode == 0
    (folder / "specs" / "deep" / "wrong.yaml").write_text(WRONG)
    done = call(run, folder, SPECS="specs/**/*.yaml", STRICT="true")
    assert done.returncode == 2
    assert "::error file=specs/deep/wrong.yaml,line=3,col=10" in done.stdout
    missing = call(run, folder, SPECS="no/*.yaml", STRICT="false")
    assert (missing.returncode, missing.stdout) == (2, "::error::no file is called no/*.yaml\n")
    hostile = call(run, folder, SPECS="$(touch x); touch y", STRICT="false")
    assert hostile.returncode == 2
    assert not {"x", "y"} & {p.name for p in folder.iterdir()}
