"""The drawing in text: its lines lead from each layer to those that read it, it keeps to its columns, and plain letters suffice."""

from __future__ import annotations

import re
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.view import rails, tree
from tests import view_graphs

UP, DOWN, LEFT, RIGHT = (-1, 0), (1, 0), (0, -1), (0, 1)
GOES = {letter: {way for way, on in zip((UP, DOWN, LEFT, RIGHT), ways, strict=True) if on} for ways, letter in rails._GLYPHS.items()}
GOES["▶"] = {LEFT, RIGHT}


def body(drawn: str) -> list[str]:
    """The lines of the table, without what stands above and below it."""
    lines = drawn.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["layer"])
    return lines[start + 1 : len(lines) - lines[::-1].index("") - 1]


def traced(graph: networkx.MultiDiGraph[Any]) -> set[tuple[int, int]]:
    """Edges between the rows of layers, found by following the lines of the drawing as an eye does."""
    lines = body(tree.draw(graph, columns=200))
    head = next(line for line in tree.draw(graph, columns=200).splitlines() if line.split()[:1] == ["layer"])
    column = head.index("layer") - 2  # of what joins a layer's line to its name
    names = [i for i, line in enumerate(lines) if line[column : column + 1] and RIGHT in GOES.get(line[column], ())]
    found = set()
    for number, start in enumerate(names):
        seen, waiting = set(), [(start, column, DOWN)] if DOWN in GOES[lines[start][column]] else []
        after = next((i for i in range(start + 1, len(lines)) if lines[i][column : column + 1] not in ("╯", "┤")), len(lines))
        waiting += [(start, column, LEFT)] if LEFT in GOES[lines[start][column]] and lines[start][column - 1] == "─" else []
        waiting += [(extra, column, way) for extra in range(start + 1, after) for way in GOES[lines[extra][column]] & {LEFT, DOWN}]
        while waiting:
            at = waiting.pop()
            if at in seen:
                continue
            seen.add(at)
            (i, j, (down, right)) = at
            i, j = i + down, j + right
            letter = lines[i][j] if 0 <= i < len(lines) and 0 <= j < len(lines[i]) else " "
            if right and letter == "│":
                waiting.append((i, j, (down, right)))  # it passes under a line
            elif letter == "▶":
                if right == 1:
                    found.add((number, names.index(i)))
            elif j == column and down and i in names:
                found.add((number, names.index(i)))
            elif j == column and down and DOWN in GOES.get(letter, ()):
                waiting.append((i, j, DOWN))
            elif j < column:
                waiting += [(i, j, way) for way in GOES.get(letter, ()) if way != (-down, -right) and way != UP]
    return found


def wanted(graph: networkx.MultiDiGraph[Any]) -> set[tuple[int, int]]:
    number = {path: index for index, path in enumerate(graph)}
    outputs = {(number[path], len(number) + i) for i, path in enumerate(graph.graph["outputs"])}
    return {(number[a], number[b]) for a, b in graph.edges()} | outputs


@pytest.mark.parametrize("name", sorted(set(view_graphs.EVERY) - {"chain", "hostile", "cells"}))
def test_the_lines_lead_from_every_layer_to_those_that_read_it(name: str) -> None:
    graph = view_graphs.EVERY[name]()
    assert traced(graph) == wanted(graph)


@settings(max_examples=80)
@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=14))))
def test_the_lines_of_any_network_can_be_followed(network: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = network
    builder = view_graphs.Builder()
    for index in range(count):
        sources = sorted({f"n{a}" for a, b in pairs if a < b == index})
        builder.layer("add", sources, (4,), name=f"n{index}") if sources else builder.input(f"n{index}", 4)
    graph = builder.done(f"n{count - 1}")
    assert traced(graph) == wanted(graph)


@pytest.mark.parametrize("columns", [40, 80, 132])
@pytest.mark.parametrize("name", sorted(set(view_graphs.EVERY) - {"chain"}))
def test_no_line_is_longer_than_the_terminal_is_wide(name: str, columns: int) -> None:
    drawn = tree.draw(view_graphs.EVERY[name](), columns=columns)
    assert max(map(tree._width, drawn.splitlines())) <= columns


def test_layers_have_their_frames_shapes_and_amounts_beside_them() -> None:
    drawn = tree.draw(view_graphs.residual(), columns=140)
    row = next(line for line in drawn.splitlines() if "conv2d_1" in line and "3x3, 64, same" in line)
    assert re.search(r"[├┼] (│ )*│ conv2d_1 .* 56 x 56 x 64 +36\.9 k +231 M +784 KiB$", row)
    assert "╭ bottleneck_2" in drawn and "shape without the batch" in drawn


def test_a_value_that_found_no_line_is_named_where_it_is_read() -> None:
    builder = view_graphs.Builder()
    for index in range(30):
        builder.input(f"x{index}", 4)
    builder.layer("concat", [f"x{index}" for index in range(30)], (120,), name="all")
    assert "reads x" in tree.draw(builder.done("all"), columns=60)


def test_every_result_of_a_layer_has_a_line_of_its_own_with_its_name_and_shape() -> None:
    builder = view_graphs.Builder()
    both = builder.layer("lstm", builder.input("x", 5, 4), (5, 8), name="both")
    builder.layer("dense", both, (5, 3), name="steps", output="sequence")
    builder.layer("dense", both, (3,), name="end", output="state")
    graph = builder.done("steps", "end")
    assert traced(graph) == wanted(graph)
    assert sum(" sequence " in line or " state " in line for line in body(tree.draw(graph))) == 2
    names = [line.split("output")[1].split()[0] for line in body(tree.draw(graph)) if " output " in line]
    assert names == ["steps", "end"]


def test_plain_letters_are_ascii_and_as_wide() -> None:
    graph = view_graphs.residual()
    drawn, plain = tree.draw(graph, columns=100), tree.draw(graph, columns=100, plain=True)
    assert plain.isascii() and [len(line) for line in drawn.splitlines()] == [len(line) for line in plain.splitlines()]


def test_networks_stand_side_by_side_where_there_is_room() -> None:
    graphs = view_graphs.mlp(), view_graphs.residual()
    wide, narrow = tree.draw(*graphs, columns=180), tree.draw(*graphs, columns=100)
    assert wide.splitlines()[0].split() == ["digits_mlp", "residual_cnn"] and narrow.splitlines()[0] == "digits_mlp"
    assert max(map(len, wide.splitlines())) <= 180


def test_hostile_names_do_not_reach_the_terminal() -> None:
    drawn = tree.draw(view_graphs.hostile(), columns=120)
    assert all(letter.isprintable() or letter == "\n" for letter in drawn)


def test_an_empty_network_is_a_title() -> None:
    assert tree.draw(view_graphs.Builder("nothing").done()).startswith("nothing\n")
