"""Of an interactive picture every label can be read at first sight: large enough, whole, over nothing else, and clear of its ground."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from nnspec.compiler import load
from nnspec.view import html
from tests import legible, view_graphs
from tests.test_view_specs import EVERY, graph

pytest_plugins = ["tests.browsing"]
ROOT = Path(__file__).parents[1]
LARGE = {"vars.filters": "168", "vars.cells": "6", "vars.stem": "96", "vars.side": "331", "vars.behind": "before"}
JUDGED = {"quickstart/digits_mlp": {}, "zoo/resnet50": {}, "zoo/nasnet": LARGE}
FULL = os.environ.get("NNSPEC_FULL") == "1"
SOME = sorted(EVERY) if FULL else random.Random(11).sample(sorted(EVERY), 5)


@pytest.mark.parametrize("name", JUDGED)
def test_the_first_sight_shows_all_of_it_legibly_in_light_and_dark(show: Any, name: str) -> None:
    text = html.draw(load(ROOT / f"specs/{name}.yaml", set=JUDGED[name]).graph)
    for scheme in ("light", "dark"):
        shown = show(text, color_scheme=scheme)
        assert legible.faults(shown.page) == []
        shown.quiet()


@pytest.mark.parametrize("name", SOME)
def test_the_first_sight_of_every_network_is_legible(show: Any, name: str) -> None:
    for scheme in ("light", "dark") if FULL else ("dark",):
        assert legible.faults(show(html.draw(graph(name)), color_scheme=scheme).page, whole=False) == []


def test_what_is_marked_chosen_or_found_is_legible_too(show: Any) -> None:
    shown = show(html.draw(view_graphs.mlp()), color_scheme="dark")
    shown.page.locator("[data-node='2']").click()
    assert legible.faults(shown.page, whole=False) == []
    shown.page.locator(".search input").fill("dense")
    shown.page.locator(".search input").press("Enter")
    assert shown.page.locator(".is-hit").count() == 4 and not shown.page.locator(".hits").is_visible()
    assert legible.faults(shown.page, whole=False) == []


SPOILT = {
    ".view text.cost { font-size: 8px !important }": "pixels high",
    ".view text.cost { opacity: .4 }": "contrast",
    ".view text.says { fill: #e0d8f8 !important }": "contrast",
    ".view text.cost { transform: translate(0, -9px) }": "lies over",
    ".about p { width: 60px; overflow: hidden; text-overflow: ellipsis }": "is cut",
    ".world { translate: -600px 0 }": "is cut",
    ".view text.shape { translate: -20px 0 }": "an edge runs through",
    ".zooms { right: 620px !important }": "is covered",
}


def test_the_measure_finds_what_a_person_would(show: Any) -> None:
    shown = show(html.draw(view_graphs.mlp()), bypass_csp=True)
    for spoilt, said in SPOILT.items():
        style = shown.page.add_style_tag(content=spoilt)
        assert any(said in fault for fault in legible.faults(shown.page)), spoilt
        style.evaluate("e => e.remove()")
    assert legible.faults(shown.page) == []
