"""Curves: every value in its place, gaps where there is none, and any history at all is a picture."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from nnspec.view import curves
from tests import view_graphs

NS = "{http://www.w3.org/2000/svg}"


def parsed(history: list[dict[str, float]]) -> ElementTree.Element:
    return ElementTree.fromstring(curves.draw(history).encode())


def lines(root: ElementTree.Element) -> dict[str, list[list[tuple[float, float]]]]:
    """The runs of points of every curve by its name."""
    found = {}
    for group in root.iter(f"{NS}g"):
        path = group.find(f"{NS}path")
        runs = [] if path is None else [run.split("L") for run in path.get("d", "").split("M")[1:]]
        found[group.findtext(f"{NS}title") or ""] = [[(float(p.split()[0]), float(p.split()[1])) for p in run] for run in runs]
    return found


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{NS}text")]


def test_losses_have_a_panel_and_metrics_another() -> None:
    root = parsed([{"train.loss": 1.0, "train.accuracy": 0.5}, {"train.loss": 0.5, "train.accuracy": 0.75}])
    assert {"loss", "metrics"} <= set(texts(root))
    drawn = lines(root)
    assert drawn["train.loss"][0][0][1] < drawn["train.loss"][0][1][1], "a falling loss goes down"
    assert drawn["train.accuracy"][0][0][1] > drawn["train.accuracy"][0][1][1]
    assert max(y for _, y in drawn["train.loss"][0]) < min(y for _, y in drawn["train.accuracy"][0])


def test_equal_steps_are_equally_far_apart() -> None:
    (run,) = lines(parsed([{"train.loss": 5.0 - i} for i in range(4)]))["train.loss"]
    for axis in (0, 1):
        steps = [after[axis] - before[axis] for before, after in zip(run, run[1:], strict=False)]
        assert max(steps) - min(steps) <= 0.21


def test_a_loss_of_wide_range_is_logarithmic_and_its_decades_equally_far_apart() -> None:
    root = parsed([{"train.loss": 10.0**-i} for i in range(4)])
    assert "loss (log scale)" in texts(root)
    (run,) = lines(root)["train.loss"]
    steps = [after[1] - before[1] for before, after in zip(run, run[1:], strict=False)]
    assert max(steps) - min(steps) <= 0.21


def test_a_loss_that_touches_zero_is_not_logarithmic() -> None:
    assert "loss" in texts(parsed([{"train.loss": 1000.0}, {"train.loss": 0.0}]))


def test_not_a_number_and_a_missing_value_leave_a_gap() -> None:
    nan, history = math.nan, [1.0, 2.0, math.nan, 3.0, 4.0, math.inf, 5.0]
    assert [len(run) for run in lines(parsed([{"train.loss": v} for v in history]))["train.loss"]] == [2, 2]
    missing: list[dict[str, float]] = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": nan}, {"b": 2}, {"b": 3}]
    assert [len(run) for run in lines(parsed(missing))["b"]] == [2, 2]


def test_what_only_counts_is_not_drawn() -> None:
    history = [{"epoch": e, "step": 10 * e, "rate": 0.1, "seconds": 0.5, "train.accuracy": e / 3} for e in (1, 2, 3)]
    assert list(lines(parsed(history))) == ["train.accuracy"]


def test_one_epoch_is_a_dot() -> None:
    root = parsed([{"train.loss": 0.7}])
    assert len(list(root.iter(f"{NS}circle"))) == 1


def test_ten_thousand_epochs_are_thinned_and_no_peak_is_lost() -> None:
    history = [{"train.loss": 2.0 + math.sin(i / 50)} for i in range(10_000)]
    history[7777]["train.loss"] = 20.0
    drawn = curves.draw(history)
    assert len(drawn) < 100_000
    (run,) = lines(ElementTree.fromstring(drawn.encode()))["train.loss"]
    heights = sorted(y for _, y in run)
    assert heights[0] < heights[1] - 100
    assert run[0][0] == pytest.approx(70, abs=1) and run[-1][0] == pytest.approx(736, abs=1)


def test_epochs_may_be_named() -> None:
    root = parsed([{"epoch": 10, "train.loss": 1.0}, {"epoch": 20, "train.loss": 2.0}])
    assert {"10", "20"} <= set(texts(root)) and "epoch" not in lines(root)


@pytest.mark.parametrize(
    "history",
    [
        [], [{}], [{"train.loss": math.nan}], [{"train.loss": math.inf}, {"train.loss": -math.inf}], [{"a": 0.0}] * 3,
        [{"a": 1e308}, {"a": -1e308}], [{"train.loss": 1e-300}, {"train.loss": 1e300}], [{"a": 5e-324}, {"a": 0.0}],
        [{"a": 10**400}], [{"epoch": math.nan, "a": 1.0}], [{"epoch": 1e300, "a": 1.0}, {"epoch": -1e300, "a": 1.0}],
        [{"a": 1.0}, {"a": 1.0 + 2**-52}], [{"epoch": 2.0**60, "a": 1.0}, {"epoch": 2.0**60 + 256, "a": 2.0}],
    ],
)  # fmt: skip
def test_any_history_is_a_picture_whose_numbers_are_finite(history: list[dict[str, float]]) -> None:
    drawn = curves.draw(history)
    ElementTree.fromstring(drawn)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', drawn)
    numbers = [float(n) for d in re.findall(r' d="([^"]*)"', drawn) for n in re.findall(r"-?[\d.]+", d)]
    assert all(-1 <= number <= 1000 for number in numbers) and len(drawn) < 50_000


def test_hostile_names_are_text_and_nothing_else() -> None:
    drawn = curves.draw([dict.fromkeys(view_graphs.HOSTILE, 1.0)], title=view_graphs.HOSTILE[0])
    root = ElementTree.fromstring(drawn.encode())
    assert {e.tag.removeprefix(NS) for e in root.iter()} == {"svg", "title", "g", "rect", "path", "text", "circle"}
    assert not any(name.startswith("on") for e in root.iter() for name in e.attrib)


def test_equal_histories_give_equal_pictures() -> None:
    history = [{"train.loss": 1 / (i + 1), "validation.top_5": i / 9} for i in range(9)]
    assert curves.draw(history) == curves.draw([dict(row) for row in history])
