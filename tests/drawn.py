"""The quickstart specs in a folder of their own, with the pictures drawn that some of them learn from."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import nnspec

SPECS = Path(__file__).parent.parent / "specs"
ZOO = SPECS / "zoo"
SMALLER = ("mobilenet_v2", "lenet5_original")  # networks of the index that every test of shipped specs takes


def specs(large: bool = True) -> list[Path]:
    """Every shipped spec: neither the files of blocks and of renames nor the index. Without ``large`` networks of the index are left out, whose plans
    take seconds each; tests of their own run them small (test_zoo_training)."""
    found = sorted(p for p in SPECS.rglob("*.yaml") if p.parent.name not in ("blocks", "renames") and p.name != "index.yaml")
    index = (ZOO / "index.yaml").read_text("utf-8")
    return found if large else [p for p in found if p.parent != ZOO or p.stem in SMALLER or f"{{spec: {p.name}" not in index]


@cache
def drawn() -> Path:
    """A copy of ``specs/quickstart``; drawn once, and deleted when Python ends."""
    top = Path(tempfile.mkdtemp(prefix="nnspec-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    shutil.copytree(SPECS, top / "specs", ignore=shutil.ignore_patterns("drawn"))
    quickstart = top / "specs" / "quickstart"
    for script in ("draw.py", "photos.py"):
        subprocess.run([sys.executable, quickstart / script], check=True, stdout=subprocess.DEVNULL)
    return quickstart


@cache
def learned() -> Path:
    """The run of image_folder.yaml that transfer.yaml begins with."""
    run = drawn().parent.parent / "runs" / "shapes"
    nnspec.compile(nnspec.load(drawn() / "image_folder.yaml")).fit(out=run)
    return run


def shipped(name: str) -> Path:
    """A quickstart spec with all that it needs."""
    if name == "transfer":
        learned()
    return drawn() / f"{name}.yaml"
