"""The quickstart specs in a folder of their own, with the pictures drawn that some of them learn from."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SPECS = Path(__file__).parent.parent / "specs"


@cache
def drawn() -> Path:
    """A copy of ``specs/quickstart``; drawn once, and deleted when Python ends."""
    top = Path(tempfile.mkdtemp(prefix="nnspec-"))
    atexit.register(shutil.rmtree, top, ignore_errors=True)
    shutil.copytree(SPECS, top / "specs", ignore=shutil.ignore_patterns("drawn"))
    quickstart = top / "specs" / "quickstart"
    subprocess.run([sys.executable, quickstart / "draw.py"], check=True, stdout=subprocess.DEVNULL)
    return quickstart
