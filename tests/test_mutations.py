"""Specs damaged at random: every one loads, or is refused with a place inside of it; nothing else ever comes out."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from nnspec.compiler import loads
from nnspec.errors import NnspecError
from tests.bad_specs import BAD, GOOD

SPECS = Path(__file__).parent.parent / "specs" / "quickstart"
FULL = bool(os.environ.get("NNSPEC_FULL"))
TOTAL = 2000 if FULL else 200
GROUPS = 20
PIECES = ["$", "$(", ")", "{", "}", "[", "]", ":", ": ", "- ", "\n", "  ", "\t", "null", "~", "-1", "0", "1e999", ".nan", "1" * 25, "&a ", "*a", "!!int ", "'", '"', "#", "%",
          "true", "no", "from: ", "name: x", "repeat: 3", "when: false", "when: $x", "init: {kernel: 1}", "shape: [2, 2]", "$i", "$input.shape[0]", "$data", "<<: ", "? ", "| ", "> ",
          "\u2028", "\ufeff", "é", "\x00", "9" * 400, "dense", "conv2d", "residual", "branches", "add", "concat", "[[]]", "{}", "batch", "x-y: 1"]


def texts() -> list[str]:
    found = [GOOD, *(BAD[k] for k in sorted(BAD))]
    return found + [p.read_text() for p in sorted(SPECS.glob("*.yaml"))] * 8


def mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((0, 1, 1, 2, 5, 20)))
        match rng.randrange(5):
            case 0:
                text = text[:at] + rng.choice(PIECES) + text[at:]
            case 1:
                text = text[:at] + text[end:]
            case 2:
                text = text[:at] + rng.choice(PIECES) + text[end:]
            case 3:
                lines = text.split("\n")
                i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                text = "\n".join(lines)
            case _:
                lines = text.split("\n")
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_damaged_spec_loads_or_is_refused_with_a_place(group: int) -> None:
    rng = random.Random(group)
    sources = texts()
    for n in range(TOTAL // GROUPS):
        text = mutated(rng.choice(sources), rng)
        try:
            loads(text, "spec.yaml")
        except NnspecError as e:
            lines = len(text.splitlines()) + 1
            for p in e.problems:
                assert p.place is not None, f"group {group}, spec {n}: no place: {p.message}\n{text}"
                if p.place.file == "spec.yaml":
                    assert 1 <= p.place.line <= lines, f"group {group}, spec {n}: {p.place}"
                assert p.message
