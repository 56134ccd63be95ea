"""Mermaid, DOT and JSON: the same content, and names that stay inside their quotes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from nnspec.view import as_json, dot, mermaid
from tests import view_graphs

EVERY = sorted(view_graphs.EVERY)


def test_json_holds_layers_edges_and_frames_in_the_order_of_the_graph() -> None:
    graph = view_graphs.residual()
    picture = json.loads(as_json.draw(graph))
    assert [node["id"] for node in picture["nodes"]] == list(graph)
    assert picture["name"] == "residual_cnn" and picture["outputs"] == ["dense_1"]
    edge = next(e for e in picture["edges"] if e["target"].endswith("/add_1") and e["input"] == 1)
    assert edge["shape"] == [56, 56, 256] and edge["dtype"] == "float32"
    frame = next(f for f in picture["frames"] if f["id"] == "stage_1/bottleneck_1")
    assert frame == {"id": "stage_1/bottleneck_1", "label": "bottleneck_1", "parent": "stage_1"}
    node = next(n for n in picture["nodes"] if n["kind"] == "conv2d")
    assert node["fields"]["kernel"] == 7 and node["parameters"] == 36864 and node["frames"] == ["conv_bn_1"]


@pytest.mark.parametrize("name", EVERY)
def test_json_reads_back_and_every_edge_ends_in_a_node(name: str) -> None:
    picture = json.loads(as_json.draw(view_graphs.EVERY[name]()), parse_constant=pytest.fail)
    ids = {node["id"] for node in picture["nodes"]}
    assert {end for edge in picture["edges"] for end in (edge["source"], edge["target"])} <= ids


def test_numbers_that_json_has_no_form_for_are_text() -> None:
    builder = view_graphs.Builder()
    builder.layer("dense", builder.input("x", 2), (2,), rate=float("inf"), other=float("nan"), size=(1, 2.5))
    fields = json.loads(as_json.draw(builder.done()))["nodes"][1]["fields"]
    assert fields == {"rate": "inf", "other": "nan", "size": [1, 2.5]}


@pytest.mark.parametrize("name", EVERY)
def test_mermaid_is_made_of_known_lines_only(name: str) -> None:
    head, *lines = mermaid.draw(view_graphs.EVERY[name]()).split("---\n", 2)[1:]
    assert re.fullmatch(r'title: "[^"<>]*"\n', re.sub(r"\\[\\\"]", "", head))
    safe = r"(?:[\w _\-./,·…:+]|#\d+;|[^\W\d_])*"
    known = (
        "flowchart TB", rf'subgraph f\d+\["{safe}"\]', "end", rf'n\d+\["<b>{safe}</b>(<br/>{safe})*"\]',
        r'out\d+\(\["output"\]\)',
        rf'n\d+ -- "{safe}" --> (n|out)\d+', r"classDef \w+ [\w:#,\- ]+", r"class [\w,]+ \w+",
    )  # fmt: skip
    for line in lines[0].splitlines():
        assert any(re.fullmatch(pattern, line.strip()) for pattern in known), line


def test_mermaid_draws_frames_shapes_and_costs() -> None:
    drawn = mermaid.draw(view_graphs.residual())
    assert drawn.count("subgraph ") == len([line for line in drawn.splitlines() if line.strip() == "end"]) > 0
    assert '["bottleneck_1"]' in drawn and '-- "56 x 56 x 256" -->' in drawn and "36.9 k params · 231 MFLOP" in drawn


@pytest.mark.parametrize("name", EVERY)
def test_dot_strings_close_where_they_should(name: str) -> None:
    drawn = dot.draw(view_graphs.EVERY[name]())
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "S", drawn)
    assert re.fullmatch(r"[\w\s\[\]{}=,;>#-]*", bare) and bare.count("{") == bare.count("}")


def test_dot_draws_frames_shapes_and_costs() -> None:
    drawn = dot.draw(view_graphs.residual())
    assert 'label="bottleneck_1"' in drawn and '[label="56 x 56 x 256"]' in drawn
    assert r'label="conv2d_1\nconv2d 7x7, 64, same, no bias, stride 2\n36.9 k params · 925 MFLOP · 3.06 MiB"' in drawn


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz to read DOT with: dot")
@pytest.mark.parametrize("name", sorted(set(EVERY) - {"chain"}))
def test_graphviz_reads_the_dot_and_finds_every_layer(name: str) -> None:
    graph = view_graphs.EVERY[name]()
    done = subprocess.run(["dot", "-Tjson"], input=dot.draw(graph).encode(), capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    found = [thing for thing in json.loads(done.stdout)["objects"] if re.fullmatch(r"n\d+", thing["name"])]
    assert len(found) == len(graph)


@pytest.mark.parametrize("draw", [as_json.draw, mermaid.draw, dot.draw])
def test_an_empty_graph_has_a_text_too(draw: object) -> None:
    assert callable(draw) and draw(view_graphs.Builder("nothing").done()).strip()
