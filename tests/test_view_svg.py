"""The drawn SVG itself: valid, legible, complete, and deaf to what strangers call their layers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from nnspec.view import svg
from nnspec.view.text import clean, shorten, width
from tests import view_graphs

NS = "{http://www.w3.org/2000/svg}"
EVERY = sorted(view_graphs.EVERY)
Rectangle = tuple[float, float, float, float]


def parsed(name: str) -> ElementTree.Element:
    graph = view_graphs.EVERY[name]() if name != "chain" else view_graphs.chain(60)
    return ElementTree.fromstring(svg.draw(graph))


def rectangle(element: ElementTree.Element) -> Rectangle:
    x, y, wide, high = (float(element.get(key, "nan")) for key in ("x", "y", "width", "height"))
    return x, y, x + wide, y + high


def text_rectangle(element: ElementTree.Element) -> Rectangle:
    x, y, size = (float(element.get(key, "nan")) for key in ("x", "y", "font-size"))
    wide = width(element.text or "", size, element.get("font-weight") == "700")
    return x, y - 0.75 * size, x + wide, y + 0.22 * size


def inside(inner: Rectangle, outer: Rectangle) -> bool:
    slack = 0.1
    ends = inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack
    return inner[0] >= outer[0] - slack and inner[1] >= outer[1] - slack and ends


def apart(a: Rectangle, b: Rectangle) -> bool:
    slack = 0.1
    return a[2] <= b[0] + slack or b[2] <= a[0] + slack or a[3] <= b[1] + slack or b[3] <= a[1] + slack


def groups(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [group for group in root.iter(f"{NS}g") if group.get("class") == kind]


def points(root: ElementTree.Element) -> Iterator[tuple[float, float]]:
    """Points on the edges as they are written in the picture."""
    for group in groups(root, "edge"):
        path, here = group.find(f"{NS}path"), (0.0, 0.0)
        assert path is not None
        for letter, body in re.findall(r"([MLC])([^MLCZ]+)", path.get("d", "")):
            numbers = [float(n) for n in body.split()]
            ends = [here, *zip(numbers[::2], numbers[1::2], strict=True)]
            for step in range(17 if letter != "M" else 0):
                curve = ends
                while len(curve) > 1:
                    curve = [(p[0] + (q[0] - p[0]) * step / 16, p[1] + (q[1] - p[1]) * step / 16) for p, q in pairwise(curve)]
                yield curve[0]
            here = ends[-1]


@pytest.mark.parametrize("name", EVERY)
def test_every_text_of_a_layer_is_inside_its_box(name: str) -> None:
    layers = groups(parsed(name), "layer")
    assert layers
    for layer in layers:
        box = layer.find(f"{NS}rect")
        assert box is not None
        for text in layer.iter(f"{NS}text"):
            assert inside(text_rectangle(text), rectangle(box)), text.text


@pytest.mark.parametrize("name", EVERY)
def test_no_edge_as_drawn_runs_through_a_box_or_a_label(name: str) -> None:
    root = parsed(name)
    canvas = root.find(f"{NS}g")
    assert canvas is not None
    boxes = [rectangle(next(layer.iter(f"{NS}rect"))) for layer in groups(root, "layer")]
    labels = [text_rectangle(text) for text in canvas.iter(f"{NS}text")]
    for x, y in points(root):
        for left, top, right, bottom in (*boxes, *labels):
            assert not (left + 0.5 < x < right - 0.5 and top + 0.5 < y < bottom - 0.5)


@pytest.mark.parametrize("name", EVERY)
def test_shapes_on_edges_overlap_neither_one_another_nor_a_box(name: str) -> None:
    root = parsed(name)
    canvas = root.find(f"{NS}g")
    assert canvas is not None
    boxes = [rectangle(next(layer.iter(f"{NS}rect"))) for layer in groups(root, "layer")]
    shapes = [text_rectangle(text) for text in canvas.findall(f"{NS}text")]
    assert shapes
    for index, shape in enumerate(shapes):
        assert all(apart(shape, other) for other in (*boxes, *shapes[index + 1 :]))


@pytest.mark.parametrize("name", EVERY)
def test_everything_is_on_the_paper(name: str) -> None:
    root = parsed(name)
    canvas = root.find(f"{NS}g")
    assert canvas is not None
    x, y = (float(n) for n in re.findall(r"-?[\d.]+", canvas.get("transform", "")))
    paper = (-x, -y, float(root.get("width", "0")) - x, float(root.get("height", "0")) - y)
    for element in canvas.iter(f"{NS}rect"):
        assert inside(rectangle(element), paper)
    for element in canvas.iter(f"{NS}text"):
        assert inside(text_rectangle(element), paper)


@pytest.mark.parametrize("name", ["residual", "inception", "cells"])
def test_every_frame_is_labelled_inside_itself(name: str) -> None:
    frames = groups(parsed(name), "frame")
    assert frames
    for frame in frames:
        box, texts = frame.find(f"{NS}rect"), frame.findall(f"{NS}text")
        assert box is not None and texts
        assert all(inside(text_rectangle(text), rectangle(box)) for text in texts)


def test_a_picture_says_what_a_layer_is_what_it_gives_and_what_it_costs() -> None:
    drawn = svg.draw(view_graphs.residual())
    box = ("conv2d_1", "conv2d  3x3, 64, same, no bias", "36.9 k params · 231 MFLOP · 784 KiB")
    for words in (*box, "56 x 56 x 256", "bottleneck_2"):
        assert f">{words}<" in drawn, words
    assert "11.7 M parameters · 11.7 M trainable" in drawn and ">convolution<" in drawn


def test_a_frozen_layer_is_dashed_and_says_so() -> None:
    drawn = svg.draw(view_graphs.mlp())
    assert drawn.count("stroke-dasharray") == 2, "its box, and the swatch of the legend"
    assert ">frozen<" in drawn and ">frozen: training leaves it<" in drawn


def test_the_output_of_the_network_is_drawn_with_its_shape() -> None:
    layers = groups(parsed("mlp"), "layer")
    assert [text.text for text in layers[-1].iter(f"{NS}text")] == ["output", "10"]
    several = view_graphs.attention()
    ends = [[text.text for text in box.iter(f"{NS}text")] for box in groups(ElementTree.fromstring(svg.draw(several)), "layer")]
    names = [several.nodes[path]["name"] for path in several.graph["outputs"]]
    assert len(names) > 1 and [words[0] for words in ends if len(words) > 1 and str(words[1]).startswith("output ")] == names


def test_symbolic_axes_and_names_of_outputs_are_written_on_edges() -> None:
    drawn = svg.draw(view_graphs.attention())
    assert ">state: time x 64<" in drawn and ">time int32<" in drawn


def test_one_value_used_three_times_is_three_edges() -> None:
    root = parsed("attention")
    arrows = [group.findall(f"{NS}path")[1].get("d", "").count("M") for group in groups(root, "edge")]
    assert max(arrows) == 3


def test_hostile_names_are_text_and_nothing_else() -> None:
    drawn = svg.draw(view_graphs.hostile())
    root = ElementTree.fromstring(drawn.encode())
    assert {element.tag.removeprefix(NS) for element in root.iter()} == {"svg", "title", "g", "rect", "path", "text"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name or name == "style" for name in names)
    assert "</text><script>alert(1)</script>" in {title.text for title in root.iter(f"{NS}title")}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", drawn)


def test_a_long_name_is_shortened_in_the_middle_and_whole_in_the_title() -> None:
    builder = view_graphs.Builder()
    x = builder.input("image", 4)
    builder.layer("dense", x, (4,), name="first_" + "x" * 200 + "_last")
    root = ElementTree.fromstring(svg.draw(builder.done()))
    layer = groups(root, "layer")[-1]
    shown, title = layer.findtext(f"{NS}text") or "", layer.findtext(f"{NS}title") or ""
    assert shown.startswith("first_") and "…" in shown and shown.endswith("_last")
    assert "x" * 200 in title


def test_an_empty_graph_is_a_picture_too() -> None:
    ElementTree.fromstring(svg.draw(view_graphs.Builder("nothing").done()))


@pytest.mark.parametrize("text", view_graphs.HOSTILE)
def test_shortened_text_fits_and_clean_text_prints(text: str) -> None:
    for limit in (20.0, 60.0, 200.0):
        assert width(shorten(clean(text, 10_000), limit, 12), 12) <= limit
    assert clean(text, 50).isprintable() and len(clean(text, 50)) <= 51


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser to measure text with: chromium")
def test_a_browser_measures_no_text_wider_than_its_box(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    script = """<script>
      let wide = 0;
      for (const layer of document.querySelectorAll('g.layer')) {
        const box = layer.querySelector('rect').getBBox();
        for (const t of layer.querySelectorAll('text'))
          wide = Math.max(wide, t.getBBox().x + t.getBBox().width - box.x - box.width);
      }
      document.body.innerHTML = wide > 0 ? 'too wide by ' + wide : 'every text fits';</script>"""
    body = svg.draw(view_graphs.hostile())
    page.write_text(f"<!doctype html><meta charset=utf-8><body>{body}{script}</body>", encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path / 'user'}"]
    done = subprocess.run(["chromium", *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60)
    assert "every text fits" in done.stdout, done.stdout[-200:]
