"""Graphs of the shapes that networks may have and shipped ones have not: dense blocks, fans, ladders, pyramids, long skips, random ones."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import networkx

from tests.view_graphs import Builder

Graph = networkx.MultiDiGraph


def dense(count: int, framed: bool = False) -> Graph[Any]:
    """Every layer reads all before it."""
    b, frames = Builder(f"dense {count}"), [(), ("block",)][framed]
    made = [b.input("image", 32, 32, 3)]
    for index in range(count):
        inner = (*frames, f"block/layer_{index}") if framed else ()
        x = b.layer("concat", list(made), (32, 32, 3 + index), frames=inner) if index else made[0]
        made.append(b.layer("conv2d", b.layer("relu", x, (32, 32, 3), frames=inner), (32, 32, 12), 100, 100, inner, filters=12, kernel=3))
    return b.done(b.layer("concat", made, (32, 32, 12 * count)))


def fan(count: int, deep: int = 1, framed: bool = False, joined: bool = True) -> Graph[Any]:
    """One layer into many branches of up to ``deep`` layers."""
    b, ends = Builder(f"fan {count}"), []
    x = b.layer("dense", b.input("table", 32), (8,), units=8)
    for index in range(count):
        y = x
        for _ in range(1 + index % deep):
            y = b.layer("dense", y, (8,), 72, 128, (f"branch_{index}",) if framed else (), units=8)
        ends.append(y)
    return b.done(b.layer("concat", ends, (8 * count,))) if joined else b.done(*ends)


def skips(count: int, every: int, seed: int) -> Graph[Any]:
    """A chain whose layers are read again far below."""
    random, b = Random(seed), Builder(f"skips {count}")
    made = [b.input("table", 8)]
    for index in range(count):
        made.append(b.layer("dense", made[-1], (8,), 72, 128, units=8))
        if index > 10 and not index % every:
            made.append(b.layer("add", [made[-1], random.choice(made[:-10])], (8,)))
    return b.done(b.layer("concat", [made[-1], made[1], made[3]], (24,)))


def inputs(count: int) -> Graph[Any]:
    b = Builder(f"inputs {count}")
    columns = [b.input(f"column_{index}", *[3] * (index % 3 + 1)) for index in range(count)]
    read = [b.layer("dense", column, (4,), units=4) if index % 2 else column for index, column in enumerate(columns)]
    return b.done(b.layer("dense", b.layer("concat", read, (4 * count,)), (1,), units=1))


def nested(depth: int, copies: int) -> Graph[Any]:
    """Residuals inside of residuals, a frame each."""
    b = Builder(f"nested {depth}")

    def inside(x: str, frames: tuple[str, ...], left: int) -> str:
        if not left:
            return b.layer("conv2d", x, (8, 8, 8), 10, 10, frames, filters=8, kernel=3)
        for copy in range(copies):
            y = inside(x, (*frames, f"{frames[-1] + '/' if frames else ''}level_{left}_{copy}"), left - 1)
            x = b.layer("add", [x, y], (8, 8, 8), frames=frames)
        return x

    return b.done(inside(b.input("image", 8, 8, 8), (), depth))


def ladder(count: int, both: bool, framed: bool = False) -> Graph[Any]:
    """Two chains with rungs from one to the other, or both ways."""
    b = Builder(f"ladder {count}")
    left, right = b.input("left", 8), b.input("right", 8)
    for rung in range(count):
        frames = (f"rung_{rung}",) if framed else ()
        one, other = (b.layer("dense", x, (8,), 72, 128, frames, units=8) for x in (left, right))
        left, right = b.layer("add", [one, other], (8,), frames=frames), b.layer("add", [other, one], (8,), frames=frames) if both else other
    return b.done(left, right)


def pyramid(levels: int, heads: int) -> Graph[Any]:
    """Down, up again beside it, and heads at every level, joined."""
    b, downs = Builder(f"pyramid {levels}"), []
    x = b.input("image", 64, 64, 3)
    for level in range(levels):
        for _ in range(2):
            x = b.layer("conv2d", x, (8, 8, 8), 10, 10, ("backbone", f"backbone/c{level}"), filters=8, kernel=3)
        downs.append(x)
    maps = [downs[-1]]
    for down in reversed(downs[:-1]):
        maps.append(b.layer("add", [b.layer("conv2d", down, (8, 8, 8), frames=("fpn",)), b.layer("upsample2d", maps[-1], (8, 8, 8), frames=("fpn",))], (8, 8, 8), frames=("fpn",)))
    ends = []
    for head in range(heads):
        found = [b.layer("conv2d", x, (8, 8, 8), 10, 10, (f"head_{head}", f"head_{head}/p{level}"), kernel=3) for level, x in enumerate(maps)]
        ends.append(b.layer("concat", found, (9,), frames=(f"head_{head}",)))
    return b.done(*ends)


def anything(seed: int, count: int, back: int, framed: bool) -> Graph[Any]:
    """A random network: names of every length, several inputs and outputs, layers with several results, frames that open and close."""
    random, b, frames = Random(seed), Builder(f"random {seed}"), ()
    made = [b.input(f"in{index}", 8, 8, random.choice([1, 3, 64])) for index in range(random.choice([1, 1, 2, 5]))]
    several: dict[str, int] = {}
    for index in range(count):
        turn = random.random()
        if framed and turn < 0.12 and len(frames) < 4:
            frames = (*frames, f"{frames[-1] + '/' if frames else ''}{random.choice(['block', 'a_very_long_name_of_a_repeated_stage', 's'])}_{index}")
        elif turn < 0.26:
            frames = frames[:-1]
        kind = random.choice(["conv2d", "dense", "relu", "add", "concat", "batch_norm", "lstm"])
        near = made[-back:] if random.random() < 0.85 else made
        read = [made[-1] if random.random() < 0.7 else random.choice(near)]
        read += [random.choice(near) for _ in range(random.randint(1, 3) if kind in ("add", "concat") else 0)]
        name = random.choice(["", "", f"layer_with_an_extraordinarily_long_name_{index}", f"n{index}"])
        fields = random.choice([{}, {"filters": 64, "kernel": 3, "padding": "same", "activation": "relu", "dilation": 2, "groups": 4}])
        shape = (random.choice([8, 128]),) * random.randint(1, 4)
        path = b.layer(kind, list(dict.fromkeys(read)), shape, random.choice([0, 10**6]), 10**9, frames, name=name, **fields)
        for key, source in enumerate(dict.fromkeys(read)):
            if source in several:
                b.graph.edges[source, path, key]["output"] = f"o{random.randrange(several[source])}"
        if random.random() < 0.1:
            several[path] = random.randint(2, 4)
        made.append(path)
    return b.done(*(path for path in b.graph if not b.graph.out_degree(path)))


SMALL: dict[str, Callable[[], Graph[Any]]] = {
    "dense": lambda: dense(10), "dense in frames": lambda: dense(8, True), "fan": lambda: fan(40), "fan of outputs": lambda: fan(40, joined=False),
    "fan of frames": lambda: fan(12, 4, True), "skips": lambda: skips(120, 20, 0), "inputs": lambda: inputs(20), "nested": lambda: nested(5, 2),
    "deep": lambda: nested(12, 1), "ladder": lambda: ladder(12, True), "ladder of frames": lambda: ladder(10, True, True),
    "ladder one way": lambda: ladder(40, False), "pyramid": lambda: pyramid(5, 2),
}  # fmt: skip
LARGE: dict[str, Callable[[], Graph[Any]]] = {
    "dense 30": lambda: dense(30, True), "fan of 100": lambda: fan(100, 3), "skips over 300": lambda: skips(300, 30, 1), "inputs 60": lambda: inputs(60),
    "nested 7": lambda: nested(7, 2), "nested by fours": lambda: nested(4, 4), "ladder 60": lambda: ladder(60, True), "pyramid 8": lambda: pyramid(8, 5),
}  # fmt: skip
