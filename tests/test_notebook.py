"""What a notebook shows: short texts, self-contained pages, names that do nothing, and a bound on their size."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import nnspec
from nnspec.compiler import Spec, loads
from nnspec.view.notebook import MOST_BYTES, MOST_ROWS, network_html, run_html
from tests import view_graphs

SMALL = "nnspec: 1\nname: small\ndata: iris\nlayers: [dense: {units: 4, activation: relu}, dense: 3]\nloss: cross_entropy\nmetrics: [accuracy]\noptimizer: adam\nepochs: 2\n"


class Balanced(HTMLParser):
    """The tags of a page, each closed by its own; and the attributes of all."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """The tags of a page that needs nothing from elsewhere and runs nothing."""
    tags = Balanced(text).tags
    assert {tag for tag, _ in tags} <= {"div", "table", "tr", "td", "th", "details", "summary", "img"}
    assert not any(name.startswith("on") for _, attributes in tags for name in attributes)
    assert all((attributes["src"] or "").startswith("data:image/svg+xml;base64,") for tag, attributes in tags if tag == "img")
    assert "http" not in text
    return tags


def test_a_spec_shows_its_layers_and_its_picture() -> None:
    nnspec.load  # noqa: B018  # its first use tells graphs how they are shown
    spec = loads(SMALL)
    assert repr(spec) == "<Spec small: 2 layers, 35 parameters>"
    page = spec._repr_html_()
    assert page is not None and page == spec.graph._repr_html_()
    assert "dense 4, relu" in page and any(tag == "img" for tag, _ in checked(page))
    assert (spec._repr_svg_() or "").startswith("<svg")


def test_a_model_and_a_run_show_where_they_are() -> None:
    model = nnspec.compile(loads(SMALL))
    assert repr(model) == "<Model small: 35 parameters, float32 on numpy, step 0>"
    assert "float32 on numpy" in model._repr_html_() and (model._repr_svg_() or "").startswith("<svg")
    run = model.fit()
    assert repr(run).startswith("<Run: 2 epochs; train.loss ")
    page = run._repr_html_()
    assert "train.accuracy" in page and any(tag == "img" for tag, _ in checked(page))


def test_names_are_text() -> None:
    page = network_html(view_graphs.hostile())
    checked(page)
    assert "<script" not in page
    checked(run_html([{"train.<b>": 1.0}, {"train.<b>": 2.0}], {"train.<img src=x onerror=y>": 1.0}, "<script>"))


def test_large_networks_are_folded_and_not_drawn() -> None:
    layers = ", ".join("unit" for _ in range(40))
    text = f"nnspec: 1\ninputs: {{x: {{shape: [8]}}}}\nblocks: {{unit: {{layers: [dense: 8, relu, dense: 8, relu]}}}}\nlayers: [{layers}]\n"
    spec: Spec = loads(text)
    page = network_html(spec.graph)
    tags = checked(page)
    assert not any(tag == "img" for tag, _ in tags) and "nnspec graph" in page
    assert sum(tag == "tr" for tag, _ in tags) <= MOST_ROWS + 1 and len(page) < MOST_BYTES
    assert "4 layers" in page
    flat = network_html(loads(f"nnspec: 1\ninputs: {{x: {{shape: [8]}}}}\nlayers: [{', '.join(['relu'] * 300)}]\n").graph)
    assert re.search(r"… 241 more", flat)


def test_a_run_of_no_epochs_is_a_page() -> None:
    checked(run_html([], {}, "run"))
