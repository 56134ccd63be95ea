"""Hypothesis draws the same examples every time; object code of tests stays out of the user's cache folder."""

import os
from pathlib import Path

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None, max_examples=25)
settings.load_profile("ci")
os.environ.setdefault("NNSPEC_CACHE", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "nnspec"))
