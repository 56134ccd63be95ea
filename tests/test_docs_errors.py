"""The page of errors is what nnspec says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.bad_data import BAD as FILES
from tests.bad_specs import BAD
from tests.docs_errors import CALLS, page

pytest.importorskip("PIL", reason="wrong pictures are listed")
PAGE = Path(__file__).resolve().parent.parent / ".github" / "docs" / "errors.md"


def test_the_page_is_what_is_said() -> None:
    """NNSPEC_WRITE_GOLDEN=1 writes it."""
    text = "\n".join(page())
    if os.environ.get("NNSPEC_WRITE_GOLDEN"):
        PAGE.write_text(text, "utf-8")
    assert PAGE.read_text("utf-8") == text, "NNSPEC_WRITE_GOLDEN=1 pytest tests/test_docs_errors.py writes it"


def test_every_wrong_spec_file_and_call_is_on_it_once() -> None:
    text = PAGE.read_text("utf-8")
    titles = re.findall(r"^\*\*(.*)\*\*$", text, re.MULTILINE)
    assert sorted(titles) == sorted(name.replace("_", " ") for name in BAD)
    assert len(re.findall(r"^\| ", text.split("## Files of data")[1], re.MULTILINE)) == len(FILES) + 2
    assert len(re.findall(r"^Status [1-5]\.", text, re.MULTILINE)) == len(CALLS)
