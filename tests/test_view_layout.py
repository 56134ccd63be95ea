"""What holds of every picture: nothing overlaps, no edge runs through a box, frames enclose what is theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.view.containers import Edge
from nnspec.view.layout import Box, Item, Picture, layout
from nnspec.view.strokes import Point, Stroke
from nnspec.view.svg import draw
from tests import view_graphs

ROOT = Path(__file__).parents[1]


def overlap(a: Box, b: Box) -> bool:
    across = a.x < b.x + b.width - 1e-6 and b.x < a.x + a.width - 1e-6
    return across and a.y < b.y + b.height - 1e-6 and b.y < a.y + a.height - 1e-6


def encloses(outer: Box, inner: Box) -> bool:
    across = outer.x <= inner.x + 1e-6 and inner.x + inner.width <= outer.x + outer.width + 1e-6
    return across and outer.y <= inner.y + 1e-6 and inner.y + inner.height <= outer.y + outer.height + 1e-6


def holds(box: Box, point: Point, edge: float = 0.5) -> bool:
    across = box.x + edge < point[0] < box.x + box.width - edge
    return across and box.y + edge < point[1] < box.y + box.height - edge


def samples(strokes: tuple[Stroke, ...], count: int = 16) -> Iterator[Point]:
    for stroke in strokes:
        for step in range(count + 1):
            points, t = list(stroke), step / count
            while len(points) > 1:
                points = [(p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t) for p, q in pairwise(points)]
            yield points[0]


def check(picture: Picture, items: list[Item], edges: list[Edge]) -> None:
    boxes = list(picture.boxes.items())
    page = Box(0, 0, picture.width, picture.height)
    homes = {item.key: item.frames for item in items}
    assert set(picture.boxes) == set(homes)
    for index, (one, box) in enumerate(boxes):
        assert encloses(page, box), f"{one} is off the page"
        for other, beside in boxes[index + 1 :]:
            assert not overlap(box, beside), f"{one} overlaps {other}"
    for frame, around in picture.frames.items():
        for key, box in boxes:
            if frame[-1] in homes[key]:
                assert encloses(around, box), f"{key} leaves its frame {frame}"
            else:
                assert not overlap(around, box), f"{key} stands in the frame {frame} of others"
        for second, within in picture.frames.items():
            if second[: len(frame)] == frame:
                assert encloses(around, within)
            elif frame[: len(second)] != second:
                assert not overlap(around, within), f"frames {frame} and {second} overlap"
    for edge in edges:
        route, source, target = picture.routes[edge], picture.boxes[edge[0]], picture.boxes[edge[1]]
        assert abs(route[0][0][1] - source.y - source.height) < 1e-6 and source.x <= route[0][0][0] <= source.x + source.width
        assert abs(route[-1][-1][1] - target.y) < 1e-6 and target.x <= route[-1][-1][0] <= target.x + target.width
        for before, after in pairwise(route):
            assert max(abs(before[-1][0] - after[0][0]), abs(before[-1][1] - after[0][1])) < 1e-6, f"{edge} is torn"
        own = {*homes[edge[0]], *homes[edge[1]]}
        strangers = [around for frame, around in picture.frames.items() if frame[-1] not in own]
        for point in samples(route):
            assert holds(page, point, -1e-6), f"{edge} leaves the page"
            for key, box in boxes:
                assert not holds(box, point), f"{edge} runs through {key}"
            assert not any(holds(around, point) for around in strangers), f"{edge} runs through a frame of others"


def parts(name: str) -> tuple[list[Item], list[Edge]]:
    graph = view_graphs.EVERY[name]() if name != "chain" else view_graphs.chain(60)
    items = [Item(path, 90.0 + 7 * len(data["name"][:20]), 40.0, 12.0, 17.0, data["frames"]) for path, data in graph.nodes(data=True)]
    return items, [(s, t, k, d["output"]) for s, t, k, d in graph.edges(keys=True, data=True)]


@pytest.mark.parametrize("name", view_graphs.EVERY)
def test_nothing_overlaps_and_no_edge_runs_through_a_box(name: str) -> None:
    items, edges = parts(name)
    check(layout(items, edges), items, edges)


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Item], list[Edge]]:
    count = draw(st.integers(1, 16))
    frames = st.lists(st.sampled_from("abc"), max_size=3).map(lambda f: tuple("/".join(f[: d + 1]) for d in range(len(f))))
    wide, high, beside = (st.sampled_from(sizes) for sizes in ([40.0, 90.0, 200.0], [30.0, 60.0], [0.0, 30.0]))
    items = [Item(f"n{i}", draw(wide), draw(high), draw(beside), 17.0, draw(frames)) for i in range(count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    chosen = draw(st.lists(pairs, max_size=30)) if count > 1 else []
    edges = [(f"n{a}", f"n{b}", position, draw(st.sampled_from(["", "state"]))) for position, (a, b) in enumerate(chosen)]
    return items, edges


@settings(max_examples=60)
@given(networks())
def test_any_graph_with_any_frames_can_be_drawn(network: tuple[list[Item], list[Edge]]) -> None:
    items, edges = network
    check(layout(items, edges), items, edges)


def test_a_frame_that_an_edge_leaves_and_enters_again_is_left_out_and_its_parent_stays() -> None:
    around = ("block",)
    inner = ("block", "block/torn")
    items = [Item("a", 50, 30, frames=inner), Item("b", 50, 30, frames=around), Item("c", 50, 30, frames=inner)]
    edges = [("a", "b", 0, ""), ("b", "c", 0, "")]
    assert set(layout(items, edges).frames) == {around}


def test_a_deep_chain_is_folded_into_columns_of_a_page() -> None:
    items = [Item(f"n{i}", 120, 50, 0, 17) for i in range(200)]
    picture = layout(items, [(f"n{i}", f"n{i + 1}", 0, "") for i in range(199)])
    assert 0.5 < picture.width / picture.height < 3
    check(picture, items, list(picture.routes))


def test_the_main_way_of_a_residual_is_straight() -> None:
    items = [Item(key, wide, 40, 0, 17) for key, wide in (("x", 120.0), ("conv", 180.0), ("relu", 90.0), ("add", 100.0))]
    picture = layout(items, [("x", "conv", 0, ""), ("conv", "relu", 0, ""), ("relu", "add", 0, ""), ("x", "add", 1, "")])
    centres = {round(box.x + box.width / 2, 3) for box in picture.boxes.values()}
    assert len(centres) == 1


def test_branches_spread_evenly_below_what_they_read() -> None:
    items = [Item(key, 80, 40) for key in ("x", "a", "b", "c", "d")]
    picture = layout(items, [("x", key, 0, "") for key in "abcd"])
    centre = {key: box.x + box.width / 2 for key, box in picture.boxes.items()}
    assert centre["x"] == pytest.approx(sum(centre[key] for key in "abcd") / 4, abs=1.0)


def test_crossings_that_can_be_avoided_are_avoided() -> None:
    rows = 6
    items = [Item(f"{side}{i}", 60, 30) for side in "ab" for i in range(rows)]
    edges = [(f"a{i}", f"b{(i * 5) % rows}", 0, "") for i in range(rows)]
    picture = layout(items, edges)
    above = sorted(range(rows), key=lambda i: picture.boxes[f"a{i}"].x)
    below = [picture.boxes[f"b{(i * 5) % rows}"].x for i in above]
    assert below == sorted(below)


def cross(one: list[Point], other: list[Point]) -> bool:
    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    return any(side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0 for p, q in pairwise(one) for r, s in pairwise(other))


def test_a_cell_whose_pairs_cross_is_drawn_with_the_fewest_crossings_its_rows_allow() -> None:
    """Three sums each join a reader of p and a reader of q: of all orders of their two rows the best has three."""
    items, edges = parts("cells")
    keep = {item.key for item in items if item.key.startswith(("stem", "cell_1/"))}
    edges = [edge for edge in edges if edge[0] in keep and edge[1] in keep]
    routes = layout([item for item in items if item.key in keep], edges).routes
    lines = [(edge[0], list(samples(route, 6))) for edge, route in routes.items()]
    pairs = ((one, other) for index, one in enumerate(lines) for other in lines[:index] if one[0] != other[0])
    assert sum(cross(one[1], other[1]) for one, other in pairs) == 3


def test_a_value_enters_a_frame_once_however_many_read_it() -> None:
    items = [Item("x", 60, 30), *(Item(key, 60, 30, frames=("f",)) for key in "abc")]
    assert len(layout(items, [("x", key, 0, "") for key in "abc"]).gates[("f",)]) == 1


def test_a_cycle_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="cycle"):
        layout([Item("a", 9, 9), Item("b", 9, 9)], [("a", "b", 0, ""), ("b", "a", 0, "")])


def test_an_empty_network_is_an_empty_page() -> None:
    assert layout([], []).boxes == {}


def test_equal_graphs_give_equal_pictures_whatever_the_hash_seed() -> None:
    code = "import sys; from tests import view_graphs; from nnspec.view.svg import draw;sys.stdout.buffer.write(draw(view_graphs.cells(3)).encode())"
    for seed in ("1", "2"):
        surroundings = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, check=True)
        assert done.stdout == draw(view_graphs.cells(3)).encode()
