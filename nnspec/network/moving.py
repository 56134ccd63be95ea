"""Which layers stand still in each stretch of the schedule: names and patterns looked up among the entries of the network."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nnspec.errors import Place, Problem, nearest
from nnspec.network.graph import Leaf, Network
from nnspec.training.stretches import Part, Stretches


def frozen(network: Network, schedule: object, problems: list[Problem]) -> tuple[frozenset[str], ...]:
    """The paths of the layers that do not move, for each stretch; what nothing is called is added to ``problems``."""
    leaves = network.leaves
    stated = frozenset(leaf.path for leaf in leaves if leaf.frozen)
    if not isinstance(schedule, Stretches):
        return (stated,)
    return tuple(stated if part.own.trainable is None else _others(leaves, part, n, problems) for n, part in enumerate(schedule.parts, 1))


def _others(leaves: Sequence[Leaf], part: Part, number: int, problems: list[Problem]) -> frozenset[str]:
    """All layers but those that ``trainable`` names."""
    entries = {path for leaf in leaves for path in _ways(leaf.path)}
    moving: set[str] = set()
    wrong = len(problems)
    for name, place in zip(part.own.trainable or (), part.names, strict=True):
        pattern = re.compile(".*".join(map(re.escape, name.split("*"))))
        named = {path for path in entries if pattern.fullmatch(path)}
        if not named:
            problems.append(_unknown(name, place, entries))
        moving |= {leaf.path for leaf in leaves if named & _ways(leaf.path)}
    if len(problems) == wrong and not any(p.trainable for leaf in leaves if leaf.path in moving for p in leaf.own):
        problems.append(Problem(f"stretch {number} trains nothing", part.names[0], found=", ".join(part.own.trainable or ()),
                                wanted="an entry with parameters of its own", rule="trainable"))  # fmt: skip
    return frozenset(leaf.path for leaf in leaves if leaf.path not in moving)


def _ways(path: str) -> set[str]:
    """A path and those of the entries around it."""
    parts = path.split("/")
    return {"/".join(parts[:n]) for n in range(1, len(parts) + 1)}


def _unknown(name: str, place: Place, entries: set[str]) -> Problem:
    return Problem(f"no entry is called '{name}'", place, wanted="the path of an entry, such as stage_4/conv2d_1, or a pattern with *",
                   hint=nearest(name, entries), rule="unknown-name")  # fmt: skip
