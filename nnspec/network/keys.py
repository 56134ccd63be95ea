"""The keys that every entry has and that say how it learns: ``only``, ``learning_rate``, ``regularize``."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from nnspec.errors import Problem, SpecError
from nnspec.network.entry import Written
from nnspec.network.graph import Leaf, Penalty, Rate
from nnspec.spec.blocks import MODES, SCALED
from nnspec.spec.explain import describe, unknown
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar


def only(node: Node | None) -> str:
    """The mode in which an entry is there; nothing stands for both."""
    if node is None:
        return ""
    if isinstance(node, Scalar) and node.value in MODES:
        return str(node.value)
    raise SpecError(Problem("'only' does not fit", node.place, found=describe(node), wanted="training or inference", rule="bad-value"))


def learning_rate(node: Node | None, largest: float) -> Rate:
    """``0.1x`` scales the optimizer's rate, a number replaces it."""
    if node is None:
        return Rate()
    value = node.value if isinstance(node, Scalar) else None
    scaled = isinstance(value, str) and re.fullmatch(SCALED, value)
    number = float(value[:-1]) if scaled and isinstance(value, str) else value
    if isinstance(number, (int, float)) and not isinstance(number, bool) and 0 <= number <= largest:
        return Rate(float(number), bool(scaled))
    raise SpecError(Problem("'learning_rate' of an entry does not fit", node.place, found=describe(node), wanted="0.1x, or a number from 0 on",
                            hint="0.1x is a tenth of the optimizer's", rule="bad-value"))


def regularize(node: Node | None, params: Collection[str], path: str, largest: float) -> dict[str, Penalty]:
    """``{kernel: {l1: 1e-5, l2: 1e-4}}``: a penalty for each parameter that it names."""
    if node is None:
        return {}
    if not isinstance(node, MappingNode):
        raise SpecError(Problem("'regularize' does not fit", node.place, found=describe(node), wanted="{kernel: {l2: 1e-4}}", rule="bad-value"))
    problems: list[Problem] = []
    out: dict[str, Penalty] = {}
    for key, value in node.pairs.items():
        try:
            if key not in params:
                wanted = "" if params else "a layer that has parameters"
                raise SpecError(unknown(key, params, node.keys[key], f"parameter of layer '{path}'") if params else Problem(
                    f"layer '{path}' has no parameters", node.keys[key], wanted=wanted, rule="unknown-key"))
            out[key] = _penalty(value, largest)
        except SpecError as e:
            problems += e.problems
    if problems:
        raise SpecError(*problems)
    return out


def idle(written: Written, path: str, added: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Keys about weights on an entry that has none to which they could apply; ``added`` are the nodes that it became."""
    given = [k for k in ("share", "learning_rate", "trainable") if k in written.common]
    if not given:
        return []
    leaves: list[Leaf] = [node["leaf"] for node in added]
    problems = []
    for key in given:
        node = written.common[key]
        if key == "share" and not any(leaf.params for leaf in leaves):
            problems.append(Problem(f"'{path}' has no weights to share", node.place, wanted="an entry with parameters", rule="share"))
        if key == "learning_rate" and not any(p.trainable for leaf in leaves for p in leaf.own):
            problems.append(Problem(f"'{path}' has no parameters of its own", node.place, wanted="learning_rate where the parameters are",
                                    rule="bad-value"))
        own = any(leaf.own or any(not p.trainable for p in leaf.params) for leaf in leaves)  # statistics stand still where they are used
        if key == "trainable" and "share" in given and not own:
            problems.append(Problem("'trainable' beside 'share'", node.place, found="weights of another entry's",
                                    wanted="trainable there, where the weights belong", rule="bad-value"))
    return problems


def _penalty(node: Node, largest: float) -> Penalty:
    if not isinstance(node, MappingNode) or not node.pairs:
        raise SpecError(Problem("a penalty does not fit", node.place, found=describe(node), wanted="{l1: 1e-5, l2: 1e-4}", rule="bad-value"))
    amounts: dict[str, float] = {}
    for key, value in node.pairs.items():
        if key not in ("l1", "l2"):
            raise SpecError(unknown(key, ("l1", "l2"), node.keys[key], "penalty"))
        number = value.value if isinstance(value, Scalar) else None
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= largest:
            wanted = f"at most {largest:.3g}" if isinstance(number, int | float) and number > largest else "a number from 0 on"
            raise SpecError(Problem(f"'{key}' does not fit", value.place, found=describe(value), wanted=wanted, rule="bad-value"))
        amounts[key] = float(number)
    return Penalty(**amounts)
