"""The pictures of every shipped spec and of every network of the zoo: nothing overlaps, all labels are inside, few edges cross."""

from __future__ import annotations

import os
import random
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import yaml

from nnspec.compiler import load
from nnspec.view.cards import OUTPUT, Drawn, drawn, edges
from nnspec.view.layout import Box
from nnspec.view.paper import Group, Rectangle, Wire, Words
from nnspec.view.sheet import sheet
from nnspec.view.strokes import flat
from nnspec.view.text import width
from tests import crossings
from tests.drawn import ZOO, shipped, specs

INDEX = yaml.safe_load((ZOO / "index.yaml").read_text("utf-8"))
EVERY = {f"{p.parent.name}/{p.stem}": (p, {}) for p in specs()} | {name: (ZOO / e["spec"], e.get("set", {})) for name, e in INDEX.items()}
ALWAYS = ["quickstart/siamese", "zoo/yolov8_seg", "keras NASNetMobile", "UNet++ (3->1)"]  # with crossings, shared weights, many frames
SOME = sorted({*ALWAYS, *random.Random(7).sample(sorted(EVERY), len(EVERY) // 10)})
NAMES = sorted(EVERY) if os.environ.get("NNSPEC_FULL") else SOME


@cache
def graph(name: str) -> networkx.MultiDiGraph[Any]:
    path, changes = EVERY[name]
    return load(shipped(path.stem) if path.parent.name == "quickstart" else Path(path), set=changes).graph


@cache
def picture(name: str) -> Drawn:
    return drawn(graph(name))


def corners(boxes: list[Box]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([(b.x, b.y, b.x + b.width, b.y + b.height) for b in boxes], float).reshape(-1, 4)


def overlapping(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], slack: float = 0.1) -> np.ndarray[Any, Any]:
    """Which rectangles of the first overlap which of the second."""
    a, b = one[:, None, :], other[None, :, :]
    across = (a[..., 0] < b[..., 2] - slack) & (b[..., 0] < a[..., 2] - slack)
    return np.asarray(across & (a[..., 1] < b[..., 3] - slack) & (b[..., 1] < a[..., 3] - slack))


def holding(boxes: np.ndarray[Any, Any], points: np.ndarray[Any, Any], edge: float = 0.5) -> np.ndarray[Any, Any]:
    """Which rectangles have one of the points well inside."""
    x, y = points[:, 0][None], points[:, 1][None]
    inside = (boxes[:, :1] + edge < x) & (x < boxes[:, 2:3] - edge) & (boxes[:, 1:2] + edge < y) & (y < boxes[:, 3:] - edge)
    return np.asarray(inside.any(1))


@pytest.mark.parametrize("name", NAMES)
def test_no_two_boxes_overlap_and_each_is_in_its_frames_alone(name: str) -> None:
    drawing = picture(name)
    boxes, frames = corners(list(drawing.picture.boxes.values())), corners(list(drawing.picture.frames.values()))
    assert not np.triu(overlapping(boxes, boxes), 1).any()
    mine = np.array([[box.frames[: len(f)] == f for box in drawing.items] for f in drawing.picture.frames], bool).reshape(len(frames), len(boxes))
    assert not (overlapping(frames, boxes, 0.0) & ~mine).any()
    within = (frames[:, None, :2] <= boxes[None, :, :2]).all(2) & (boxes[None, :, 2:] <= frames[:, None, 2:]).all(2)
    assert within[mine].all()
    nested = np.array([[f[: len(g)] == g or g[: len(f)] == f for g in drawing.picture.frames] for f in drawing.picture.frames], bool)
    assert not (overlapping(frames, frames, 0.0) & ~nested).any()


@pytest.mark.parametrize("name", NAMES)
def test_no_edge_runs_through_a_box_or_through_a_frame_of_others(name: str) -> None:
    drawing = picture(name)
    keys, homes = list(drawing.picture.boxes), {item.key: item.frames for item in drawing.items}
    boxes, known = corners(list(drawing.picture.boxes.values())), list(drawing.picture.frames)
    frames = corners(list(drawing.picture.frames.values()))
    assert set(drawing.picture.routes) == set(edges(graph(name)))
    for edge, route in drawing.picture.routes.items():
        points = np.array([p for stroke in route for p in flat(stroke)])
        lines = np.concatenate([points[:-1] + (points[1:] - points[:-1]) * t for t in np.linspace(0, 1, 9)])
        through = holding(boxes, lines)
        assert not through.any(), f"{edge} runs through {keys[int(through.argmax())]}"
        own = [f in (homes[edge[0]][: len(f)], homes[edge[1]][: len(f)]) for f in known]
        through = holding(frames, lines) & ~np.array(own, bool) if known else np.zeros(1, bool)
        assert not through.any(), f"{edge} runs through the frame {known[int(through.argmax())]}"


@pytest.mark.parametrize("name", NAMES)
def test_every_text_is_inside_its_box_or_frame_and_no_edge_runs_through_it(name: str) -> None:
    paper = sheet([graph(name)])
    canvas = next(part for part in paper.parts if isinstance(part, Group))
    boxes, texts, wires = [], [], []
    for group in canvas.parts:
        if isinstance(group, Words):
            texts.append(group)
        elif isinstance(group, Group) and group.kind in ("layer", "frame"):
            around, *_ = (part for part in group.parts if isinstance(part, Rectangle))
            boxes += [around] * (group.kind == "layer")
            own = [part for part in group.parts if isinstance(part, Words)]
            inside = written(own)
            assert (inside[:, 0] >= around.x + 4).all() and (inside[:, 2] <= around.x + around.width - 4).all(), group.title
            assert (inside[:, 1] >= around.y).all() and (inside[:, 3] <= around.y + around.height).all(), group.title
            assert not np.triu(overlapping(inside, inside), 1).any(), group.title
            texts += own if group.kind == "frame" else []
        elif isinstance(group, Group):
            wires += [p for part in group.parts if isinstance(part, Wire) for stroke in part.strokes for p in flat(stroke)]
    shapes = written(texts)
    assert not overlapping(shapes, corners([Box(b.x, b.y, b.width, b.height) for b in boxes])).any()
    assert not np.triu(overlapping(shapes, shapes), 1).any()
    assert not holding(shapes, np.array(wires)).any() if wires else True
    x, y = canvas.shift
    assert (shapes[:, 2] + x <= paper.width).all() and (shapes[:, 3] + y <= paper.height).all() and (shapes[:, :2] + (x, y) >= 0).all()


def written(words: list[Words]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The rectangles of texts, from above their capitals to below their tails."""
    found = [(w.x, w.y - 0.75 * w.size, w.x + width(w.text, w.size, w.bold), w.y + 0.22 * w.size) for w in words]
    return np.array(found, float).reshape(-1, 4)


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz to compare with: dot")
@pytest.mark.parametrize("name", NAMES)
def test_edges_cross_at_most_a_fifth_more_often_than_graphviz_lets_them(name: str) -> None:
    drawing = picture(name)
    mine = crossings.by_edges(drawing.picture)
    assert crossings.ours(drawing.picture) <= mine
    if mine:
        assert mine <= 1.2 * crossings.dots(drawing.items, edges(graph(name)))


def test_the_counter_of_crossings_counts() -> None:
    lines = [(("a", ""), (0.0, 0.0), (100.0, 100.0)), (("b", ""), (0.0, 100.0), (100.0, 0.0)), (("c", ""), (0.0, 50.0), (30.0, 50.0))]
    assert crossings.crossings(lines, [(0, 0), (100, 100), (0, 100), (100, 0), (0, 50), (30, 50)]) == 1
    assert crossings.crossings([*lines, (("c", ""), (30.0, 50.0), (100.0, 40.0))], []) == 3
    assert crossings.crossings([lines[0], (("a", ""), *lines[1][1:])], []) == 0, "a value does not cross itself"


def test_every_network_of_the_index_is_drawn() -> None:
    assert len(EVERY) > 100 and all(path.exists() for path, _ in EVERY.values())
    assert OUTPUT not in graph("quickstart/siamese")
