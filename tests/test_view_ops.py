"""The compiled program as a picture: every step in its order with its kernel and its memory, edges as the values flow."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import networkx
import pytest

from nnspec.cli.traced import kept, passed, trace
from nnspec.codegen.backend import load_backend
from nnspec.compiler import load
from nnspec.ir.graph import Value
from nnspec.ir.program import Program
from nnspec.ops.fused import Fused
from nnspec.view import as_json, dot, mermaid, svg, tree
from nnspec.view.cards import drawn, edges
from nnspec.view.program import _span, graph_of
from tests.test_view_layout import check

QUICKSTART = Path(__file__).parent.parent / "specs" / "quickstart"
NAMES = ["digits_cnn", "digits_mlp", "residual", "siamese", "two_inputs_two_outputs"]
DRAWN = NAMES if os.environ.get("NNSPEC_FULL") else ["digits_mlp", "two_inputs_two_outputs"]


@cache
def program(name: str, predict: bool = False) -> Program:
    spec, device = load(QUICKSTART / f"{name}.yaml"), load_backend("numpy")
    return kept(spec, list(passed(trace(spec, 4, {}, predict), device, spec.settings.strict)), device).program


@cache
def graph(name: str, predict: bool = False) -> networkx.MultiDiGraph[Any]:
    return graph_of(program(name, predict), load_backend("numpy").choice)


def test_every_step_is_there_in_its_order_with_its_kernel() -> None:
    steps, drawing = program("digits_cnn").steps, graph("digits_cnn")
    nodes = [data for _, data in drawing.nodes(data=True) if "step" in data]
    assert [node["step"]["number"] for node in nodes] == list(range(len(steps)))
    assert [node["kind"] for node in nodes] == [step.call.op.name for step in steps]
    for node, step in zip(nodes, steps, strict=True):
        held = node["step"]["ops"]
        assert len(held) == (sum(c.op.name != "Input" for c in step.call.op.body.calls) if isinstance(step.call.op, Fused) else 1)
    assert any("Winograd" in node["says"] for node in nodes) and any("in one loop" in node["says"] for node in nodes)


def sources(value: Value, made: dict[Any, int]) -> set[int]:
    """The steps whose results a value is, or sees otherwise."""
    if value.call in made:
        return {made[value.call]}
    return set[int]().union(*(sources(v, made) for v in value.inputs))


def reached(drawing: networkx.DiGraph[str], node: str) -> set[str]:
    """What a step reads, through buffers and through what only copies."""
    found, waiting = set[str](), list(drawing.predecessors(node))
    while waiting:
        found.add(at := waiting.pop())
        waiting += drawing.predecessors(at) if drawing.nodes[at]["kind"] in ("buffer", "Copy") else []
    return found


@pytest.mark.parametrize("name", NAMES)
def test_edges_are_the_values_that_steps_read_of_one_another(name: str) -> None:
    """Edges follow from memory alone; the calls of the graph say the same."""
    drawing, steps = graph(name), program(name).steps
    made = {step.call: number for number, step in enumerate(steps)}
    plain = networkx.DiGraph(drawing)
    for number, step in enumerate(steps):
        needed = set[int]().union(*(sources(v, made) for v in step.call.inputs)) - {number}
        assert {str(n) for n in needed} <= reached(plain, str(number)), f"{number} reads {needed}"
    assert networkx.is_directed_acyclic_graph(plain)
    assert all(int(a) < int(b) for a, b in plain.edges if a.isdecimal() and b.isdecimal())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_lies_in_its_arena_and_knows_what_was_there(name: str) -> None:
    arenas, seen = program(name).arenas, set[str]()
    spans = {a.name: _span(a) for step in program(name).steps for a in step.outputs}
    for _, data in graph(name).nodes(data=True):
        for a in data.get("writes", ()):
            assert a["offset"] >= 0 and a["offset"] + a["bytes"] <= arenas[a["arena"]]
            if a["over"]:
                (start, end), (first, last) = spans[a["over"]], spans[a["name"]]
                assert a["over"] in seen and start < last and first < end
        seen |= {a["name"] for a in data.get("writes", ()) if a["arena"] == "work"}
    assert any(a["over"] for _, data in graph(name).nodes(data=True) for a in data.get("writes", ())) or len(arenas) < 3


@pytest.mark.parametrize("name", DRAWN)
def test_the_stages_are_frames_with_layers_inside(name: str) -> None:
    frames = drawn(graph(name)).picture.frames
    assert {("forward",), ("backward",), ("update",)} <= set(frames)
    assert sum(len(frame) == 2 for frame in frames) >= 3
    assert all("·" not in frame[0] for frame in frames)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_overlaps_in_a_program_and_no_edge_runs_through_a_box(name: str) -> None:
    drawing = drawn(graph(name))
    check(drawing.picture, list(drawing.items), edges(graph(name)))


def test_an_answer_has_neither_backward_nor_update() -> None:
    stages = {data["frames"][0] for _, data in graph("residual", True).nodes(data=True) if data["frames"]}
    assert stages == {"forward"}


@pytest.mark.parametrize("draw", [svg.draw, mermaid.draw, dot.draw, tree.draw])
def test_every_form_says_what_the_step_does_and_where_it_writes(draw: Any) -> None:
    text = draw(graph("residual", True))
    number = next(data for _, data in graph("residual", True).nodes(data=True) if "step" in data)
    assert number["name"] in text.replace("#95;", "_") and "work" in text


def test_json_has_the_buffers() -> None:
    nodes = json.loads(as_json.draw(graph("residual", True)))["nodes"]
    step = next(node for node in nodes if "step" in node)
    assert step["step"]["kernel"] and step["writes"][0].keys() == {"name", "type", "arena", "offset", "bytes", "over"} and step["reads"]


def test_the_picture_is_one_for_equal_programs() -> None:
    again = graph_of(program("digits_mlp"), load_backend("numpy").choice)
    assert svg.draw(again) == svg.draw(graph("digits_mlp"))
