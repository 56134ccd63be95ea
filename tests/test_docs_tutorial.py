"""The tutorial is true: every block of it runs, in order and in one folder; and no page has a block that nothing checks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / ".github" / "docs"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# which test has the blocks of a page
CHECKED = {
    "layers.md": "test_docs", "training.md": "test_docs", "data.md": "test_docs", "keys.md": "test_docs", "ops.md": "test_docs", "README.md": "",
    "coming-from-keras-pytorch.md": "test_docs", "errors.md": "test_docs_errors", "tutorial.md": "test_docs_tutorial", "porting.md": "test_docs_porting",
}  # fmt: skip


def test_every_block_of_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "nnspec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nnspec "$@"\n', "utf-8")
    program.chmod(0o755)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    env = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths, "PYTHONWARNINGS": "error", "COLUMNS": "100"}
    (tmp_path / "work").mkdir()
    before = ""
    for kind, body in BLOCK.findall((DOCS / "tutorial.md").read_text("utf-8")):
        if kind == "text":
            wanted = re.escape(body).replace("…", "(?s:.*?)")
            assert re.search(rf"^{wanted}", before, re.MULTILINE), f"{body}\n--- was:\n{before}"
            continue
        assert kind in ("sh", "python"), f"nothing runs a block of {kind!r}"
        command = ["bash", "-euc", body] if kind == "sh" else [sys.executable, "-c", body]
        done = subprocess.run(command, cwd=tmp_path / "work", env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{body}\n{done.stderr}"
        before = done.stdout


def test_every_page_has_a_test_for_its_blocks() -> None:
    for page in DOCS.glob("*.md"):
        blocks = BLOCK.findall(page.read_text("utf-8"))
        assert not blocks or CHECKED[page.name], f"{page.name}: {len(blocks)} blocks that nothing checks"
        assert not CHECKED[page.name] or (ROOT / "tests" / f"{CHECKED[page.name]}.py").exists()
