"""The interactive picture in a browser: it asks for nothing, overlaps nothing in any state, finds, walks, and runs no stranger's text."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nnspec.cli.graph import program_of
from nnspec.compiler import load
from nnspec.view import excerpt, html
from tests import view_graphs

if TYPE_CHECKING:
    from tests.browsing import Shown

pytest_plugins = ["tests.browsing"]
ROOT = Path(__file__).parents[1]
FULL = os.environ.get("NNSPEC_FULL") == "1"
LARGE = {"vars.filters": "168", "vars.cells": "6", "vars.stem": "96", "vars.side": "331", "vars.behind": "before"}

GEOMETRY = """() => {
  const box = (e, card) => {
    const m = /translate\\(([-\\d.]+) ([-\\d.]+)\\)/.exec(e.getAttribute("transform")), r = e.querySelector(card);
    return {x: +m[1], y: +m[2], w: +r.getAttribute("width"), h: +r.getAttribute("height")};
  };
  const boxes = {}, frames = {};
  for (const e of document.querySelectorAll(".box")) boxes[e.dataset.node === undefined ? `frame ${e.dataset.frame}` : `node ${e.dataset.node}`] = box(e, ".card");
  for (const e of document.querySelectorAll("g.frame")) frames[`frame ${e.dataset.frame}`] = box(e, ".ring");
  const edges = [...document.querySelectorAll(".edge")].map((e) => {
    const wire = e.querySelector(".wire"), length = wire.getTotalLength(), points = [];
    for (let at = 0; at <= length; at += 7) { const p = wire.getPointAtLength(at); points.push([p.x, p.y]); }
    const p = wire.getPointAtLength(length); points.push([p.x, p.y]);
    return {from: e.dataset.from, to: e.dataset.to, points};
  });
  return JSON.stringify({boxes, frames, edges});
}"""


@pytest.fixture(scope="module")
def residual() -> Any:
    return load(ROOT / "specs/zoo/resnet50.yaml").graph


@pytest.fixture(scope="module")
def resnet(residual: Any) -> str:
    return html.draw(residual)


def crossed(box: dict[str, float], x: Any, y: Any, edge: float = 0.6) -> bool:
    across = (x > box["x"] + edge) & (x < box["x"] + box["w"] - edge)
    return bool((across & (y > box["y"] + edge) & (y < box["y"] + box["h"] - edge)).any())


def overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    return a["x"] < b["x"] + b["w"] - 0.1 and b["x"] < a["x"] + a["w"] - 0.1 and a["y"] < b["y"] + b["h"] - 0.1 and b["y"] < a["y"] + a["h"] - 0.1


def encloses(outer: dict[str, float], inner: dict[str, float]) -> bool:
    across = outer["x"] <= inner["x"] + 0.1 and inner["x"] + inner["w"] <= outer["x"] + outer["w"] + 0.1
    return across and outer["y"] <= inner["y"] + 0.1 and inner["y"] + inner["h"] <= outer["y"] + outer["h"] + 0.1


def homes(data: dict[str, Any]) -> dict[str, list[str]]:
    """What is around each node and frame, by the names that the page gives them."""

    def around(frame: int) -> list[str]:
        return [f"frame {frame}", *around(data["frames"][frame]["frame"])] if frame >= 0 else []

    found = {f"node {at}": around(node["frame"]) for at, node in enumerate(data["nodes"])}
    return found | {f"frame {at}": around(frame["frame"]) for at, frame in enumerate(data["frames"])}


def check(shown: Shown, data: dict[str, Any]) -> None:
    """Nothing overlaps, no edge runs through a box or a frame of others, and every edge begins and ends at its boxes."""
    now, around = json.loads(shown.page.evaluate(GEOMETRY)), homes(data)
    boxes, frames = list(now["boxes"].items()), list(now["frames"].items())
    for at, (name, box) in enumerate(boxes):
        assert not [other for other, beside in boxes[:at] if overlap(box, beside)], name
        for frame, outer in frames:
            assert encloses(outer, box) if frame in around[name] else not overlap(outer, box), (name, frame)
    for at, (name, box) in enumerate(frames):
        for other, beside in frames[:at]:
            nested = name in around[other] or other in around[name]
            assert (encloses(box, beside) or encloses(beside, box)) if nested else not overlap(box, beside), (name, other)
    for edge in now["edges"]:
        source, target, own = now["boxes"][edge["from"]], now["boxes"][edge["to"]], {*around[edge["from"]], *around[edge["to"]]}
        (x, y), (u, v) = edge["points"][0], edge["points"][-1]
        assert abs(y - source["y"] - source["h"]) < 0.2 and source["x"] - 0.1 <= x <= source["x"] + source["w"] + 0.1
        assert abs(v - target["y"]) < 0.2 and target["x"] - 0.1 <= u <= target["x"] + target["w"] + 0.1
        strangers = [*boxes, *((name, box) for name, box in frames if name not in own)]
        across, down = np.array(edge["points"]).T
        near = [(n, b) for n, b in strangers if b["x"] < across.max() and across.min() < b["x"] + b["w"] and b["y"] < down.max() and down.min() < b["y"] + b["h"]]
        assert not [name for name, box in near if crossed(box, across, down)], edge


def test_a_small_and_a_large_network_open_without_a_word_or_a_request(show: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for spec, changes in (("quickstart/digits_mlp", {}), ("zoo/resnet50", {}), ("zoo/nasnet", LARGE)):
        shown = show(html.draw(load(ROOT / f"specs/{spec}.yaml", set=changes).graph))
        shown.quiet()
        took, busy = shown.page.evaluate("performance.now()"), shown.busy()
        scale = shown.page.evaluate("() => document.querySelector('.world').getCTM().a")
        with capsys.disabled():
            print(f"\n{spec}: open after {took:.0f} ms, {busy:.0f} of them at work; the smallest letters are {10.5 * scale:.1f} pixels high", end="")
        assert 10.5 * scale > 8, "every label can be read at first sight"


def test_nothing_overlaps_whichever_frames_are_open(show: Any, resnet: str, residual: Any) -> None:
    shown, data = show(resnet), html.data(residual)
    check(shown, data)
    shown.page.keyboard.press("Shift+E")
    check(shown, data)
    draw, states = random.Random(7), 40 if FULL else 3
    for _ in range(states):
        for _ in range(12):
            here = shown.page.evaluate("() => [...document.querySelectorAll('[data-frame]')].map((e) => +e.dataset.frame)")
            shown.toggle(draw.choice(here))
        check(shown, data)
    shown.page.keyboard.press("Shift+C")
    check(shown, data)
    shown.quiet()


def test_every_frame_of_a_residual_network_closes_and_opens(show: Any, resnet: str, residual: Any) -> None:
    shown, frames = show(resnet), len(html.data(residual)["frames"])
    shown.page.keyboard.press("Shift+E")
    count = "f => [document.querySelectorAll('.box').length, document.querySelectorAll(`.closed[data-frame='${f}']`).length]"
    whole = shown.page.evaluate(count, 0)[0]
    for frame in range(0, frames, 1 if FULL else 14):
        shown.toggle(frame)
        fewer, closed = shown.page.evaluate(count, frame)
        assert fewer <= whole and closed == 1
        shown.toggle(frame)
        assert shown.page.evaluate(count, frame) == [whole, 0]


@pytest.mark.parametrize("name", [name for name in view_graphs.EVERY if name not in ("hostile", "chain", "residual")])
def test_nothing_overlaps_in_networks_of_every_kind(show: Any, name: str) -> None:
    graph = view_graphs.EVERY[name]()
    shown, data = show(html.draw(graph)), html.data(graph)
    for key in ("Shift+E", "Shift+C") if data["frames"] else ("0",):
        shown.page.keyboard.press(key)
        check(shown, data)
    shown.quiet()


def test_the_search_counts_opens_what_hides_a_hit_and_goes_from_one_to_the_next(show: Any, resnet: str) -> None:
    shown = show(resnet)
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("3x3 conv2d stage_3")
    count = shown.page.locator(".count")
    assert count.text_content() == "6 found" and shown.page.locator(".closed.is-hit").count() == 1
    shown.page.keyboard.press("Enter")
    assert count.text_content() == "1 of 6" and (shown.chosen() or "").startswith("conv2d_1, conv2d  3x3")
    shown.page.keyboard.press("Shift+Enter")
    assert count.text_content() == "6 of 6"
    shown.page.locator(".search input").fill("7 x 7 x 2048")
    assert " found" in (count.text_content() or "")
    shown.page.locator(".search input").fill("no such layer")
    assert count.text_content() == "none"
    shown.page.keyboard.press("Escape")
    assert shown.page.locator(".is-hit").count() == 0
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("filters 2048 kernel")
    rows = shown.page.get_by_role("option")
    name, says, path = rows.first.inner_text().splitlines()
    assert rows.count() == 6 and name == "conv2d_1" and says.endswith("7 x 7 x 2048") and path == "stage_4/bottleneck_1/residual_1/layers/conv_bn_3/conv2d_1"
    shown.page.keyboard.press("ArrowDown")
    shown.page.keyboard.press("ArrowDown")
    assert shown.page.locator("[aria-selected=true]").get_attribute("data-at") == "1" and (shown.chosen() or "").startswith("conv2d_1, conv2d  3x3")
    shown.page.keyboard.press("Enter")
    assert not rows.first.is_visible() and count.text_content() == "2 of 6" and "2048" in (shown.chosen() or "")
    shown.page.keyboard.press("ArrowDown")
    rows.nth(5).click()
    assert count.text_content() == "6 of 6"
    shown.quiet()


def test_an_edge_says_what_it_carries_and_from_where_to_where(show: Any, resnet: str) -> None:
    shown = show(resnet)
    middle = "() => { const w = document.querySelector('.edge .near'), m = w.getScreenCTM(), p = w.getPointAtLength(w.getTotalLength() / 2); return [p.x * m.a + m.e, p.y * m.d + m.f] }"
    shown.page.mouse.move(*shown.page.evaluate(middle))
    said = [line.split("\n") for line in shown.page.locator(".stage > .tip").inner_text().split("\n\n")]
    words = [word for line in said for word in line]
    assert words == ["224 x 224 x 3", "dtype", "float32", "memory", "588 KiB a row", "from", "image", "to", "conv_bn_1/conv2d_1"]
    assert shown.page.locator(".edge.is-followed").count() == 1
    shown.page.mouse.move(5, 400)
    assert not shown.page.locator(".stage > .tip").is_visible() and shown.page.locator(".edge.is-followed").count() == 0
    shown.quiet()


def test_a_layer_shows_its_lines_and_those_of_the_calls_around_it(show: Any, resnet: str) -> None:
    shown = show(resnet)
    shown.page.locator("[data-frame='0'] .toggle").click()
    shown.page.locator("[data-node='1']").click()
    assert shown.page.locator(".details h2").text_content() == "conv2d_1"
    marked = shown.page.locator(".yaml .marked code").all_text_contents()
    assert len(marked) == 1 and marked[0].strip().startswith("- conv2d: {filters: $filters")
    assert (shown.page.locator(".place").text_content() or "").endswith("resnet50.yaml:11")
    shown.page.get_by_role("tab", name="conv_bn_1").click()
    assert shown.page.locator(".yaml .marked code").all_text_contents() == ["  - conv_bn: {filters: $width, kernel: 7, stride: 2}"]
    assert shown.page.locator(".edge.is-in").count() == 1 and shown.page.locator(".edge.is-out").count() == 1
    shown.quiet()


def test_the_keyboard_walks_opens_and_closes(show: Any, resnet: str) -> None:
    shown = show(resnet)
    shown.page.locator("[data-node='0']").focus()
    for _ in range(2):
        shown.page.keyboard.press("ArrowDown")
    assert (shown.chosen() or "").startswith("relu_1")
    shown.page.keyboard.press("ArrowUp")
    assert (shown.chosen() or "").startswith("conv_bn_1, closed frame")
    shown.page.keyboard.press("Enter")
    assert (shown.chosen() or "").startswith("conv_bn_1, open frame")
    shown.page.keyboard.press("ArrowDown")
    assert (shown.chosen() or "").startswith("conv2d_1")
    shown.page.keyboard.press("Enter")
    assert shown.page.locator(".details").is_visible()
    shown.page.keyboard.press("Escape")
    assert not shown.page.locator(".details").is_visible()
    shown.page.keyboard.press("c")
    assert (shown.chosen() or "").startswith("conv_bn_1, closed frame")
    shown.page.keyboard.press("?")
    assert shown.page.get_by_role("dialog").is_visible()
    shown.page.keyboard.press("Escape")
    assert not shown.page.get_by_role("dialog").is_visible()
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("() => document.activeElement.dataset.node") == "3", "Tab goes on in the order of the network"
    before = shown.page.evaluate("() => document.querySelector('.world').getCTM().a")
    shown.page.keyboard.press("+")
    assert shown.page.evaluate("() => document.querySelector('.world').getCTM().a") > before
    shown.quiet()


def test_a_link_keeps_the_open_frames_and_the_choice(show: Any, resnet: str) -> None:
    shown = show(resnet)
    shown.page.locator("[data-frame='0'] .toggle").click()
    shown.page.locator("[data-node='2']").click()
    url = shown.page.url
    assert "layer=conv_bn_1%2Fbatch_norm_1" in url
    shown.page.goto("about:blank")
    shown.page.goto(url)
    shown.page.wait_for_selector("html[data-ready]", state="attached")
    assert (shown.chosen() or "").startswith("batch_norm_1") and shown.page.locator("g.frame").count() == 1
    shown.page.goto(url.split("#")[0] + "#open=%00&layer=__proto__&frame=%")
    shown.page.wait_for_selector("html[data-ready]", state="attached")
    shown.quiet()


def test_it_is_dark_where_the_system_is_and_where_one_asks(show: Any) -> None:
    text = html.draw(view_graphs.mlp())
    ground = "() => getComputedStyle(document.querySelector('.stage')).backgroundColor"
    dark, light = (show(text, color_scheme=scheme) for scheme in ("dark", "light"))
    assert dark.page.evaluate(ground) == "rgb(23, 27, 34)" and light.page.evaluate(ground) == "rgb(255, 255, 255)"
    light.page.keyboard.press("t")
    assert light.page.evaluate(ground) == "rgb(23, 27, 34)"


HOSTILE = (
    *view_graphs.HOSTILE, "</script><script>alert(1)</script>", "</script><img src=x onerror=alert(2)>", '"><svg onload=alert(3)>', "${alert(4)}", "`${alert(5)}`",
    "__proto__", "constructor", "<!--<script>", "javascript:alert(6)", "%3Cscript%3Ealert(7)%3C/script%3E", "'-alert(8)-'", "\u2028alert(9)\u2029", "a\\u003c/script>",
    "<iframe srcdoc='<script>alert(10)</script>'>", "{{constructor.constructor('alert(11)')()}}", "<style>*{display:none}</style>", "hasOwnProperty", "&lt;img src=x&gt;",
)  # fmt: skip


def test_hostile_names_are_text_and_nothing_else(show: Any) -> None:
    graph, texts = view_graphs.hostile(), {name: f"# {name}\n" * 3 for name in HOSTILE}
    for name in HOSTILE[len(view_graphs.HOSTILE) :]:
        graph.add_node(name, kind=name, name=name, shape=(name,), dtype=name, parameters=1, trainable=0, flops=1, fields={name: name}, frames=(name,),
                       params=((name, (name,), name, name, True),), shares=name, only=name)  # fmt: skip
    shown = show(html.draw(graph, texts=texts))
    assert len(HOSTILE) >= 25
    for node in range(len(graph)):
        shown.page.evaluate("n => document.querySelector(`[data-node='${n}']`)?.dispatchEvent(new MouseEvent('click', {bubbles: true}))", node)
    for name in HOSTILE:
        shown.page.locator(".search input").fill(name[:200])
        shown.page.keyboard.press("Enter")
    tags = set(shown.page.evaluate("() => [...document.querySelectorAll('.nnspec-picture *')].map((e) => e.localName)"))
    assert not tags & {"script", "img", "iframe", "style", "object", "embed", "link"}
    assert shown.page.evaluate("() => [...document.querySelectorAll('*')].some((e) => [...e.attributes].some((a) => a.name.startsWith('on')))") is False
    assert shown.page.evaluate("() => ({}).polluted === undefined && document.querySelectorAll('body script').length === 2")
    shown.quiet()


def test_the_page_lets_nothing_run_that_is_not_its_own(show: Any) -> None:
    shown = show(html.draw(view_graphs.mlp()))
    shown.page.evaluate("() => { const s = document.createElement('script'); try { s.textContent = 'window.ran = 1'; document.body.append(s) } catch (e) {} }")
    assert shown.page.evaluate("() => window.ran === undefined")
    refused = shown.page.evaluate("() => { try { document.body.innerHTML = '<b>x</b>'; return false } catch (e) { return true } }")
    assert refused


def test_badges_stand_on_their_layers_and_the_page_around_hears_of_choices(browser: Any) -> None:
    """As the dashboard embeds it: the module from the package, the data as JSON, statistics on the nodes."""
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page, said = context.new_page(), list[str]()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.route("http://127.0.0.1:9/**", lambda route: route.fulfill(**_served(route.request.url)))
    page.goto("http://127.0.0.1:9/")
    page.wait_for_function("() => window.shown")
    page.evaluate("""() => window.shown.setBadges({"dense_1": {lines: ["mean 0.25", "<b>"], bars: [1, 5, 2, NaN], tone: "warn"}, "__proto__": {lines: ["x"]}, "none": {}})""")
    assert page.locator("[data-node='2'] text.badge").all_text_contents() == ["mean 0.25", "<b>"]
    assert page.locator("[data-node='2'] .bars.tone-warn").count() == 1
    page.evaluate("() => window.shown.select('dense_2')")
    assert page.evaluate("() => window.heard") == {"kind": "node", "path": "dense_2"}
    page.evaluate("() => window.shown.destroy()")
    assert said == [] and page.locator(".nnspec-picture").count() == 0
    context.close()


def _served(url: str) -> dict[str, Any]:
    main = 'import { picture } from "/picture.js"; const data = await (await fetch("/data.json")).json(); window.shown = picture(document.getElementById("here"), data, { onSelect: (s) => (window.heard = s) });'
    files = {
        "": ("text/html", '<!doctype html><link rel="stylesheet" href="/picture.css"><div id="here" style="height: 600px"></div><script type="module" src="/main.js"></script>'),
        "main.js": ("text/javascript", main),
        "picture.js": ("text/javascript", html.script()),
        "picture.css": ("text/css", html.styles()),
        "data.json": ("application/json", json.dumps(html.data(view_graphs.mlp()))),
    }
    kind, text = files.get(url.split("/")[-1], ("text/plain", ""))
    return {"content_type": kind, "body": text}


def test_a_phone_sees_letters_it_can_read_and_details_below(show: Any, resnet: str) -> None:
    shown = show(resnet, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert 10 * shown.page.evaluate("() => document.querySelector('.world').getCTM().a") > 8
    shown.page.locator("[data-node='0']").tap()
    panel, view = (shown.page.locator(name).bounding_box() for name in (".details", ".stage"))
    assert panel["width"] == 390 and panel["y"] >= view["y"] + view["height"] - 1
    shown.quiet()


def test_wheel_drag_and_pinch_move_and_zoom_about_where_they_are(show: Any) -> None:
    shown = show(html.draw(view_graphs.mlp()), has_touch=True)
    where = "() => { const m = document.querySelector('.world').getCTM(); return [m.a, m.e, m.f] }"
    k, x, y = shown.page.evaluate(where)
    shown.page.mouse.move(300, 300)
    shown.page.mouse.wheel(0, -200)
    shown.page.wait_for_function(f"() => document.querySelector('.world').getCTM().a > {k * 1.2}")
    closer, u, v = shown.page.evaluate(where)
    top = shown.page.locator(".stage").bounding_box()["y"]
    assert (300 - u) / closer == pytest.approx((300 - x) / k, abs=0.5) and (300 - top - v) / closer == pytest.approx((300 - top - y) / k, abs=0.5)
    shown.page.mouse.down()
    shown.page.mouse.move(340, 360, steps=4)
    shown.page.mouse.up()
    assert shown.page.evaluate(where) == pytest.approx([closer, u + 40, v + 60], abs=0.1)
    assert shown.chosen() is None, "a drag is no click"
    for kind, apart in (("touchStart", 50), ("touchMove", 75), ("touchMove", 100), ("touchEnd", None)):
        points = [] if apart is None else [{"x": 400 - apart, "y": 300, "id": 0}, {"x": 400 + apart, "y": 300, "id": 1}]
        shown.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert shown.page.evaluate(where)[0] == pytest.approx(2 * closer, rel=0.02)
    shown.page.keyboard.press("0")
    assert shown.page.evaluate(where)[0] < closer
    shown.quiet()


def test_paper_is_light_and_holds_all_of_it(show: Any, resnet: str) -> None:
    shown = show(resnet, color_scheme="dark")
    shown.page.emulate_media(media="print")
    shown.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    outer, ends = (shown.page.locator(name).bounding_box() for name in (".stage", ".world"))
    assert ends["x"] >= outer["x"] and ends["x"] + ends["width"] <= outer["x"] + outer["width"] and ends["height"] <= outer["height"]
    assert shown.page.evaluate("() => getComputedStyle(document.querySelector('.stage')).backgroundColor") == "rgb(255, 255, 255)"
    assert not shown.page.locator(".search").is_visible()
    shown.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
    shown.quiet()


def test_several_networks_stand_side_by_side_in_frames_of_their_names(show: Any) -> None:
    graphs = view_graphs.mlp(), view_graphs.mlp()
    data = html.data(*graphs)
    assert [frame["label"] for frame in data["frames"]] == ["digits_mlp", "digits_mlp'"]
    shown = show(html.draw(*graphs))
    assert shown.page.locator("g.frame").count() == 2, "each is open"
    check(shown, data)
    shown.quiet()


def test_several_outputs_are_told_apart_by_their_names(residual: Any) -> None:
    names = [(node["name"], node["says"]) for node in html.data(view_graphs.attention())["nodes"] if node["family"] == "output"]
    assert names == [("dense_1", "output  time x 10"), ("concat_1", "output  76")]
    assert [node["name"] for node in html.data(residual)["nodes"] if node["family"] == "output"] == ["output"]


def test_a_program_is_drawn_by_its_stages_with_one_edge_for_what_goes_the_same_way(show: Any) -> None:
    step = program_of(load(ROOT / "specs/quickstart/digits_mlp.yaml"), "numpy", 64, (), predict=False)
    shown, data = show(html.draw(step)), html.data(step)
    check(shown, data)
    assert "6 values" in shown.page.locator(".closed .shape").all_text_contents()
    for key in ("Shift+E", "Shift+C"):
        shown.page.keyboard.press(key)
        check(shown, data)
    assert {frame["many"].split()[1] for frame in data["frames"]} == {"step", "steps"}
    shown.quiet()


def test_the_data_is_ascii_json_that_holds_no_markup() -> None:
    text = html.as_text(html.data(view_graphs.hostile()))
    assert text.isascii() and not set("<>&") & set(text)
    assert json.loads(text)["nodes"][1]["name"]


def test_equal_graphs_give_equal_pages() -> None:
    assert html.draw(view_graphs.residual()) == html.draw(view_graphs.residual())


@pytest.mark.parametrize(
    ("text", "line", "column", "last"),
    [
        ("- dense: 3\n- relu\n", 1, 3, 1),
        ("- dense:\n    units: 3\n    # why\n\n  name: x\n- relu\n", 1, 3, 5),
        ("- residual:\n    layers:\n      - relu\n\n# next\n- relu\n", 1, 3, 3),
        ("layers: [dense: 3, relu]\n", 1, 10, 1),
        ("layers: [dense: {units: 3,\n   bias: false}, relu]\n", 1, 10, 2),
        ("layers: [\n  dense: 3,\n  relu]\n", 2, 3, 2),
        ("inputs:\n  image:\n    shape: [3]\n  other: {}\n", 2, 3, 3),
        ("- - relu\n  - dense: 2\n", 1, 5, 1),
        ("", 4, 1, 4),
    ],
)
def test_an_entry_ends_where_the_next_begins(text: str, line: int, column: int, last: int) -> None:
    assert excerpt.last_line(text.splitlines(), line, column) == last
