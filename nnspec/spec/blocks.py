"""Blocks: functions from tensors to tensors, with arguments, used like a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.records import dataclass, field
from nnspec.spec.explain import describe, unknown
from nnspec.spec.formulas import is_formula, substitute
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, plain
from nnspec.spec.variables import formula_name, variables
from nnspec.spec.words import name_problem

KEYS = ("args", "vars", "inputs", "outputs", "layers", "description")
COMMON = ("name", "from", "repeat", "when", "trainable", "init", "only", "share", "regularize", "learning_rate")
MODES = ("training", "inference")  # of ``only``
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SCALED = r"^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?x$"  # of ``learning_rate: 0.1x``


@dataclass(frozen=True)
class Block:
    """A block as declared: ``args`` holds each argument's default, None where it must be given."""

    name: str
    layers: Sequence
    place: Place
    args: Mapping[str, Node | None] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str, Place], ...] = ()  # (own name, name inside, place)
    vars: Mapping[str, Any] = field(default_factory=dict)
    included: bool = False
    owns: bool = False  # whether ``vars`` are its own, or its file's, and not those of the spec around it

    def words(self) -> set[str]:
        """Every word of every formula in it."""
        return set().union(*(_words(n) for n in (self.layers, *(d for d in self.args.values() if d is not None))))

    def arguments(self, given: Node | None, also: Mapping[str, Node], place: Place, env: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of one call as plain values; what is given is worked out where the call stands."""
        pairs: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        if isinstance(given, MappingNode):
            pairs, keys = dict(given.pairs), dict(given.keys)
        elif given is not None and not (isinstance(given, Scalar) and given.value is None):
            if not self.args:
                raise SpecError(
                    Problem(f"block '{self.name}' takes no arguments", given.place, found=describe(given), wanted=self.name, rule="no-primary")
                )
            first = next(iter(self.args))
            pairs, keys = {first: given}, {first: given.place}
        pairs.update(also)
        keys.update({k: v.place for k, v in also.items()})
        problems = [unknown(k, self.args, keys[k], f"argument of block '{self.name}'", "unknown-key") for k in pairs if k not in self.args]
        problems += [
            Problem(f"block '{self.name}' needs '{k}'", place, wanted=f"{k}: …", rule="missing-key")
            for k, default in self.args.items()
            if default is None and k not in pairs
        ]
        values: dict[str, Any] = {}
        failed = bool(problems)
        for name, default in self.args.items():
            try:
                if name in pairs:
                    values[name] = plain(substitute(pairs[name], env))
                elif default is not None:
                    values[name] = plain(substitute(default, {**self.vars, **values}))
            except SpecError as e:
                problems += e.problems
                failed = True
        if failed:
            raise SpecError(*problems)
        return values


def declare(name: str, node: Node, place: Place, vars: Mapping[str, Any], included: bool = False) -> Block:
    """A block from its node; raises SpecError with everything that is wrong."""
    if isinstance(node, Sequence):
        node = MappingNode(node.place, {"layers": node}, {"layers": node.place}, False)
    if not isinstance(node, MappingNode):
        raise SpecError(
            Problem(f"block '{name}' does not fit", node.place, found=describe(node), wanted="{args: {…}, layers: [...]}", rule="bad-value")
        )
    problems = name_problem(name, place, "block")
    problems += [unknown(k, KEYS, node.keys[k], f"key of block '{name}'", "unknown-key") for k in node.pairs if k not in KEYS]
    layers = node.pairs.get("layers")
    if not isinstance(layers, Sequence):
        problems.append(Problem(f"block '{name}' needs 'layers'", layers.place if layers else place, wanted="a list of layers", rule="missing-key"))
    if "vars" in node.pairs:
        vars = variables(node.pairs["vars"], {}, problems)
    args: dict[str, Node | None] = {}
    declared = node.pairs.get("args")
    if isinstance(declared, MappingNode):
        for key, default in declared.pairs.items():
            problems += formula_name(key, declared.keys[key], "argument")
            if key in COMMON:
                problems.append(
                    Problem(
                        f"argument '{key}' has the name of a key that every entry has", declared.keys[key], wanted="another name", rule="bad-name"
                    )
                )
            required = isinstance(default, Scalar) and default.value == "required" and not default.quoted
            args[key] = None if required else default
    elif declared is not None:
        problems.append(
            Problem(
                f"'args' of block '{name}' does not fit",
                declared.place,
                found=describe(declared),
                wanted="{filters: required, stride: 1}",
                rule="bad-value",
            )
        )
    inputs = _names(node.pairs.get("inputs"), f"'inputs' of block '{name}'", problems)
    outputs: list[tuple[str, str, Place]] = []
    ends = node.pairs.get("outputs")
    if isinstance(ends, MappingNode):
        for own, target in ends.pairs.items():
            problems += name_problem(own, ends.keys[own], "output")
            if isinstance(target, Scalar) and isinstance(target.value, str):
                outputs.append((own, target.value, target.place))
            else:
                problems.append(
                    Problem(
                        f"output '{own}' of block '{name}' does not fit",
                        target.place,
                        found=describe(target),
                        wanted="a name inside",
                        rule="bad-value",
                    )
                )
        if not ends.pairs:
            problems.append(Problem(f"'outputs' of block '{name}' names nothing", ends.place, wanted="at least one name", hint="or leave it out",
                                    rule="bad-value"))  # fmt: skip
    elif ends is not None:
        outputs = [(own, own, ends.place) for own in _names(ends, f"'outputs' of block '{name}'", problems)]
    if isinstance(layers, Sequence):
        found = Block(name, layers, place, args, inputs, tuple(outputs), vars, included, included or "vars" in node.pairs)
        read = found.words()
        problems += [
            Problem(f"argument '{a}' of block '{name}' is never used", getattr(declared, "keys", {}).get(a), wanted=f"${a} in its layers",
                    hint="leave it out", rule="unused-argument")
            for a in args
            if a not in read and _WORD.fullmatch(a)
        ]
    if problems:
        raise SpecError(*problems)
    return found


def _words(node: Node) -> set[str]:
    """Every word of every formula below a node."""
    if isinstance(node, Scalar):
        return set(_WORD.findall(node.text)) if is_formula(node) else set()
    children = node.items if isinstance(node, Sequence) else list(getattr(node, "pairs", {}).values())
    return set().union(*(_words(child) for child in children))


def _names(node: Node | None, what: str, problems: list[Problem]) -> tuple[str, ...]:
    if node is None:
        return ()
    items = node.items if isinstance(node, Sequence) else [node]
    names: list[str] = []
    if not items:
        problems.append(Problem(f"{what} names nothing", node.place, wanted="at least one name", hint="or leave it out", rule="bad-value"))
    for item in items:
        if isinstance(item, Scalar) and isinstance(item.value, str):
            problems += name_problem(item.value, item.place, "name")
            if item.value in names:
                problems.append(Problem(f"{what} names '{item.value}' twice", item.place, wanted="each name once", rule="repeated-name"))
            names.append(item.value)
        else:
            problems.append(Problem(f"{what} does not fit", item.place, found=describe(item), wanted="a list of names", rule="bad-value"))
    return tuple(names)
