"""Mistakes in many spellings, one a spec, and good specs of usual kinds: what is reported of them, and on which lines."""

from __future__ import annotations

import re
import struct
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from nnspec.compiler import load
from nnspec.errors import NnspecError
from nnspec.lint import lint

LISTS = Path(__file__).parent / "lint"
UNIT = """\
blocks:
  unit_with_bias:
    args: {filters: required}
    layers:
      - conv2d: {filters: $filters, kernel: 3, padding: same}
      - batch_norm
      - relu
"""


def specs(name: str) -> list[tuple[str, list[str], dict[str, str], str]]:
    """The specs of a list: ``=== NAME [RULE+RULE] [KEY=VALUE...]``, then the text; lines that are reported end with ``# <-``."""
    found = []
    for part in re.split(r"(?m)^=== ", (LISTS / name).read_text("utf-8"))[1:]:
        head, _, text = part.partition("\n")
        label, *words = head.split()
        rules = words.pop(0).split("+") if words and "=" not in words[0] else []
        found.append((label, rules, dict(word.split("=", 1) for word in words), "nnspec: 1\n" + text))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that some of the specs read."""
    path = tmp_path_factory.mktemp("spellings")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
    label = np.arange(60) % 3
    np.savez(path / "bytes.npz", image=pixels, label=label)
    np.savez(path / "bytesf.npz", image=pixels.astype(np.float32), label=label)
    np.savez(path / "series.npz", x=rng.normal(size=(60, 20, 4)).astype(np.float32), y=rng.normal(size=60).astype(np.float32))
    a, b = rng.normal(size=(2, 80))
    kind = np.where(rng.random(80) < 0.5, "x", "y")
    days = [(date(2024, 1, 1) + timedelta(days=n)).isoformat() for n in range(80)]
    table(path / "patients.csv", patient_id=[f"p{n // 8}" for n in range(80)], a=a, b=b, kind=kind)
    table(path / "dates.csv", date=days, a=a, b=b, sales=2 * a + b)
    table(path / "rare.csv", a=a, b=b, kind=["bad" if n % 10 == 0 else "good" for n in range(80)])
    table(path / "big.csv", year=np.arange(1950, 2030), a=a, price=100_000 + 1000 * b)
    table(path / "grades.csv", a=a, b=b, grade=np.arange(80) % 5)
    table(path / "pix.csv", label=label, **{f"p{n}": pixels.reshape(60, -1)[:, n] for n in range(36)})
    table(path / "train.csv", a=a[:50], b=b[:50], kind=kind[:50])
    table(path / "val.csv", a=a[30:60], b=b[30:60], kind=kind[30:60])
    (path / "im.idx").write_bytes(struct.pack(">IIII", 0x803, 30, 28, 28) + rng.integers(0, 256, (30, 28, 28), dtype=np.uint8).tobytes())
    (path / "la.idx").write_bytes(struct.pack(">II", 0x801, 30) + (np.arange(30) % 10).astype(np.uint8).tobytes())
    (path / "blocks").mkdir()
    (path / "blocks" / "b.yaml").write_text(UNIT)
    return path


def table(path: Path, **columns: object) -> None:
    rows = zip(*columns.values(), strict=True)  # type: ignore[call-overload]
    path.write_text("\n".join([",".join(columns), *(",".join(f"{x:.4f}" if isinstance(x, float) else str(x) for x in row) for row in rows)]) + "\n")


@pytest.fixture(scope="module")
def more(folder: Path) -> Path:
    """And with those that optional libraries write."""
    arrow, parquet, images = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet", "PIL.Image"))
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 80))
    kind = ["x" if n % 2 else "y" for n in range(80)]
    parquet.write_table(arrow.table({"a": a, "b": b, "year": np.arange(1930, 2010), "kind": kind}), folder / "t.parquet")
    for name, rows in (("train", slice(50)), ("val", slice(30, 60))):
        parquet.write_table(arrow.table({"a": a[rows], "b": b[rows], "kind": kind[rows]}), folder / f"{name}.parquet")
    for name in ("cats", "dogs"):
        (folder / "pets" / name).mkdir(parents=True)
        for n in range(6):
            images.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / "pets" / name / f"{n}.png")
    return folder


@pytest.mark.parametrize(("name", "rules", "settings", "text"), [*specs("planted.txt"), *specs("good.txt")],
                         ids=[row[0] for row in (*specs("planted.txt"), *specs("good.txt"))])  # fmt: skip
def test_what_is_planted_is_reported_on_its_lines_and_nothing_else_is(
    name: str, rules: list[str], settings: dict[str, str], text: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    if "parquet" in text or "image_folder" in text:
        request.getfixturevalue("more")
    path = folder / f"{name}.yaml"
    path.write_text(text)
    try:
        problems = lint(load(path, set=settings))
    except NnspecError as e:
        problems = list(e.problems)
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.endswith("# <-")]
    assert sorted(p.rule for p in problems) == sorted(rules), [p.render() for p in problems]
    if lines:  # --set and files that are included have no line here
        assert [p.place.line for p in problems if p.place] == lines
