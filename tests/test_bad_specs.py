"""Every wrong spec is told what is wrong, where, and what to write instead.

``NNSPEC_GOLDEN=write`` writes the texts anew; read them before you commit them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nnspec.compiler import loads
from nnspec.errors import NnspecError
from tests.bad_specs import BAD, GOOD

FOLDER = Path(__file__).parent / "golden" / "errors"


def test_the_spec_they_come_from_is_right() -> None:
    assert len(loads(GOOD).graph) == 13


@pytest.mark.parametrize("name", BAD)
def test_what_is_said(name: str) -> None:
    with pytest.raises(NnspecError) as e:
        loads(BAD[name], "spec.yaml")
    text = e.value.render() + "\n"
    golden = FOLDER / f"{name}.txt"
    if os.environ.get("NNSPEC_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()
    lines = max(1, len(BAD[name].splitlines()))
    for p in e.value.problems:
        assert p.place is not None, p
        assert 1 <= p.place.line <= lines + 1
        assert p.place.column >= 1
        assert p.wanted or p.hint, f"no suggestion: {p.message}"


def test_no_golden_text_is_left_over() -> None:
    assert {p.stem for p in FOLDER.glob("*.txt")} == set(BAD)
