"""The page lays a network out as Python does: equal boxes, frames and edges where boxes are equally large and all frames open."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from nnspec.view import html, html_data
from nnspec.view.cards import drawn, edges
from nnspec.view.layout import HEADER, Item, Picture, arranged, layout
from tests.test_view_specs import EVERY, graph

pytest_plugins = ["tests.browsing"]
ALWAYS = ("zoo/yolov8", "zoo/yolov8_seg")  # where offsets of ports push a box beyond the widest row
SOME = sorted(EVERY) if os.environ.get("NNSPEC_FULL") == "1" else sorted({*ALWAYS, *random.Random(5).sample(sorted(EVERY), len(EVERY) // 10)})
LAID = """(given) => {
  const { data, items, page } = JSON.parse(given);
  const card = (kind, index) => ({ ...items[index], ports: new Map(items[index].ports) });
  const made = window.lay(window.grow(data), new Set(data.frames.keys()), card, () => 0, page);
  const boxes = (all) => [...all].sort((a, b) => a[0] - b[0]).map(([, b]) => [b.x, b.y, b.width, b.height]);
  const routes = made.routes.map((r) => [r.values[0], r.to.ref, r.slot, r.strokes]);
  return JSON.stringify({ size: [made.width, made.height], nodes: boxes(made.nodes), frames: boxes(made.frames), routes });
}"""


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    """An empty page with the layout of the interactive picture."""
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.add_script_tag(content=html.script("layout.js") + "\nwindow.lay = layout; window.grow = tree;", type="module")
    page.wait_for_function("() => window.grow")
    return page


def given(graph: Any, items: tuple[Item, ...], picture: Picture) -> str:
    """The items as the page's layout takes them, in the containers and rows that Python found for them."""
    data, uses = html.data(graph), edges(graph)
    tree = arranged(items, uses)
    index, frames = {item.key: at for at, item in enumerate(items)}, {frame: at for at, frame in enumerate(filter(None, tree))}
    values = {value: at for at, value in enumerate(dict.fromkeys((source, output) for source, _, _, output in uses))}
    data["containers"] = [html_data.container(rows, segments, index, frames, values) for _, rows, segments in tree.values()]
    cards = [
        {"width": i.width, "height": i.height, "beside": i.beside, "below": i.below, "ports": [[values[i.key, name], at] for name, at in i.ports.items() if (i.key, name) in values]}
        for i in items
    ]  # fmt: skip
    tallest = max(1000.0, sum((i.span + 40) * (i.height + i.below + 34) for i in items) ** 0.5)
    return json.dumps({"data": data, "items": cards, "page": {"tallest": tallest, "aspect": 1.6, "header": HEADER}})


@pytest.mark.parametrize("name", SOME)
def test_the_page_and_python_lay_a_network_out_alike(page: Any, name: str) -> None:
    network = graph(name)
    items, uses = drawn(network).items, edges(network)
    picture = layout(items, uses)
    made = json.loads(page.evaluate(LAID, given(network, items, picture)))
    close = {"rel": 1e-9, "abs": 1e-6}
    assert made["size"] == pytest.approx([picture.width, picture.height], **close)
    for mine, theirs in ((picture.boxes, made["nodes"]), (picture.frames, made["frames"])):
        assert [v for b in theirs for v in b] == pytest.approx([v for b in mine.values() for v in (b.x, b.y, b.width, b.height)], **close)
    values = {value: at for at, value in enumerate(dict.fromkeys((source, output) for source, _, _, output in uses))}
    index = {item.key: at for at, item in enumerate(items)}
    ways = {(value, to, slot): strokes for value, to, slot, strokes in made["routes"]}
    assert len(ways) == len(picture.routes)
    for (source, target, slot, output), strokes in picture.routes.items():
        theirs = ways[values[source, output], index[target], slot]
        assert [len(s) for s in theirs] == [len(s) for s in strokes]
        assert [v for s in theirs for p in s for v in p] == pytest.approx([v for s in strokes for p in s for v in p], **close)
