"""Runs over each other: every value in its place, names as text, light and dark, and a plot for terminals."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nnspec.cli import status
from nnspec.view import braille, overlay

NS = "{http://www.w3.org/2000/svg}"
HISTORY = {
    "A runs/1": [{"train.loss": 2.0 / e, "validation.loss": 3.0 / e, "validation.accuracy": 1 - 1 / e, "rate": 0.1} for e in range(1, 41)],
    "B <script>alert(1)</script>": [{"train.loss": 1.0 / e, "validation.loss": 2.0 / e, "validation.accuracy": 1 - 2 / (e + 1)} for e in range(1, 21)],
}


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def curves(root: ElementTree.Element) -> dict[str, list[tuple[float, float]]]:
    found = {}
    for group in root.iter(f"{NS}g"):
        path = group.find(f"{NS}path")
        if path is not None and "line" in path.get("class", ""):
            points = path.get("d", "").replace("M", "L").split("L")[1:]
            found[group.findtext(f"{NS}title") or ""] = [(float(p.split()[0]), float(p.split()[1])) for p in points]
    return found


def test_each_metric_has_a_panel_with_training_behind_validation() -> None:
    shown = overlay.panels(HISTORY)
    assert [panel.name for panel in shown] == ["validation.loss", "validation.accuracy"]
    assert list(shown[0].behind) == list(HISTORY) and not shown[1].behind
    assert [panel.log for panel in shown] == [True, False]
    assert [panel.name for panel in overlay.panels(HISTORY, ["train.loss"])] == ["train.loss"]


def test_lines_share_one_scale_and_end_where_their_runs_end() -> None:
    drawn = curves(parsed(overlay.draw(overlay.panels(HISTORY, ["validation.loss"]))))
    one, other = drawn.values()
    assert len(one) == 40 and len(other) == 20
    assert one[19][0] == other[19][0] and one[19][1] < other[19][1], "the larger loss is higher"
    assert abs(one[2][1] - other[1][1]) < 0.2, "3/3 and 2/2 are equally high"


def test_names_are_text_and_both_schemes_have_colours() -> None:
    text = overlay.draw(overlay.panels(HISTORY), "T<b>")
    assert "<script" not in text and "prefers-color-scheme: dark" in text and "http" not in text.replace("http://www.w3.org/2000/svg", "")
    texts = [t.text for t in parsed(text).iter(f"{NS}text")]
    assert "validation.loss (log scale)" in texts and "epoch" in texts and any("script" in (t or "") for t in texts)
    assert len({light for light, _ in overlay.COLOURS} | {dark for _, dark in overlay.COLOURS}) == 2 * len(overlay.COLOURS)


def test_more_runs_than_colours_are_dashed() -> None:
    many = {f"r{n}": [{"train.loss": 1.0 + n}, {"train.loss": 1.0}] for n in range(9)}
    groups = [path for path in parsed(overlay.draw(overlay.panels(many))).iter(f"{NS}path") if path.get("class", "").startswith("line")]
    assert len({(p.get("class"), p.get("stroke-dasharray")) for p in groups}) == 9


@pytest.mark.parametrize("values", [[math.nan], [1.0], [1.0, math.inf, 2.0], [0.0, 0.0], [1e308, -1e308], []])
def test_any_history_is_a_picture(values: list[float]) -> None:
    parsed(overlay.draw(overlay.panels({"a": [{"train.loss": v} for v in values]}, ["train.loss"])))
    braille.plot([values])


def test_a_terminal_shows_lines_over_each_other_with_their_ends() -> None:
    rows = braille.plot([[0.0, 1.0], [1.0, 0.0]], width=10, height=4)
    text = [row.plain for row in rows]
    assert len(text) == 6 and text[0].startswith("1 ┤") and text[3].startswith("0 ┤") and text[5].strip().startswith("1")
    assert sum(c != " " for c in text[0][3:]) >= 2, "both lines have an end at the top"
    assert {span.style for row in rows for span in row.spans} >= {"blue", "yellow"}


def test_the_command_writes_a_picture_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "s.yaml"
    spec.write_text("nnspec: 1\ndata: iris\nlayers: [dense: 3]\nloss: cross_entropy\noptimizer: sgd\nepochs: 2\n")
    for name in "ab":
        assert status(["run", str(spec), "--out", str(tmp_path / name)]) == 0
    target = tmp_path / "curves.svg"
    assert status(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(target), "--metric", "train.loss"]) == 0
    assert len(curves(parsed(target.read_text()))) == 2
    assert status(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", str(tmp_path / "x.png")]) == 2
    assert "curves.svg" in capsys.readouterr().err
