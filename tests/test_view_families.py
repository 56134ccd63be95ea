"""Pictures of graphs that no shipped spec has the shape of: what the SVG itself shows is held to, and what crosses is compared with Graphviz."""

from __future__ import annotations

import os
import shutil

import pytest

from nnspec.view import svg
from nnspec.view.cards import drawn, edges
from tests import crossings, svg_read, view_families, view_graphs

FULL = bool(os.environ.get("NNSPEC_FULL"))
FAMILIES = {**view_families.SMALL, **(view_families.LARGE if FULL else {})}
SEEDS = range(60 if FULL else 6)


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_lies_over_anything_in_the_svg_of_a_family(name: str) -> None:
    assert svg_read.faults(svg_read.read(svg.draw(FAMILIES[name]()))) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_lies_over_anything_in_the_svg_of_a_random_network(seed: int) -> None:
    graph = view_families.anything(seed, (10, 25, 60)[seed % 3], (4, 12, 30)[seed % 3], bool(seed % 4))
    assert svg_read.faults(svg_read.read(svg.draw(graph))) == []


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz to compare with: dot")
@pytest.mark.parametrize("name", sorted(set(view_families.SMALL) - {"pyramid"}))  # whose heads each order their inputs by themselves
def test_a_family_has_at_most_a_fifth_more_crossings_than_graphviz_draws(name: str) -> None:
    graph = view_families.SMALL[name]()
    drawing = drawn(graph)
    mine = crossings.by_edges(drawing.picture)
    assert not mine or mine <= 1.2 * crossings.dots(drawing.items, edges(graph))


@pytest.mark.parametrize("name", sorted(set(view_graphs.EVERY) - {"cells"}))
def test_the_svg_has_every_edge_once(name: str) -> None:
    """No stretch is drawn twice: vertical lines of one value do not lie over each other."""
    for title, ways in svg_read.read(svg.draw(view_graphs.EVERY[name]())).wires:
        lines = sorted((round(a[0], 1), *sorted((a[1], b[1]))) for way in ways for a, b in zip(way, way[1:], strict=False) if a[0] == b[0] and abs(a[1] - b[1]) > 1)
        assert all(one[0] != other[0] or one[2] <= other[1] + 0.2 for one, other in zip(lines, lines[1:], strict=False)), title
