"""``residual`` and ``branches``: lists of layers side by side, and the layer that merges them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nnspec.errors import Problem, SpecError
from nnspec.layers.layer import Entry
from nnspec.network.entry import STRUCTURES, Written, no_parameters
from nnspec.network.graph import Port
from nnspec.network.repeat import Copy
from nnspec.network.scope import Scope
from nnspec.spec.explain import choose, describe, unknown
from nnspec.spec.formulas import is_formula, substitute
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, literal

if TYPE_CHECKING:
    from nnspec.network.context import Context
    from nnspec.network.expand import Expander


def structure(expander: Expander, written: Written, name: str, copy: Copy, current: tuple[Port, ...], ctx: Context) -> tuple[Port, ...]:
    """``residual`` or ``branches``."""
    path = ctx.at(name)
    known = STRUCTURES[written.kind]
    body = written.fields
    no_parameters(written)
    if isinstance(body, Sequence):
        body = MappingNode(body.place, {known[0]: body}, {known[0]: body.place}, False)
    if not isinstance(body, MappingNode):
        raise SpecError(Problem(f"'{written.kind}' needs '{known[0]}'", written.place, wanted=f"{known[0]}: [...]", rule="missing-key"))
    pairs = {**body.pairs, **copy.fields}
    problems = [unknown(k, known, body.keys.get(k, written.place), f"key of '{written.kind}'", "unknown-key") for k in pairs if k not in known]
    if known[0] not in pairs:
        problems.append(Problem(f"'{written.kind}' needs '{known[0]}'", written.place, wanted=f"{known[0]}: [...]", rule="missing-key"))
    if problems:
        raise SpecError(*problems)
    inner = ctx.inside(path, scope=Scope(ctx.scope, unfinished=frozenset({name})))
    if written.kind == "residual":
        lists: list[tuple[str, Node]] = [("layers", pairs["layers"])]
        ends = _paths(expander, lists, current, inner)
        ends += _paths(expander, [("shortcut", pairs["shortcut"])], current, inner) if "shortcut" in pairs else current[:1]
        return _merge(expander, "add", ends, written, inner)
    paths = substitute(pairs["paths"], ctx.env) if is_formula(pairs["paths"]) else pairs["paths"]
    if not isinstance(paths, Sequence) or not paths.items:
        raise SpecError(
            Problem(
                "'paths' of 'branches' does not fit", paths.place, found=describe(paths), wanted="a list of lists of layers", rule="bad-value"
            )
        )
    ends = _paths(expander, [(str(i), p) for i, p in enumerate(paths.items)], current, inner)
    how = expander.resolve(pairs.get("merge"), ctx.env)
    if how is None:
        raise SpecError(
            Problem(
                "'branches' needs 'merge'", written.place, wanted="merge: concat, add, multiply, average, maximum or none", rule="missing-key"
            )
        )
    if isinstance(how, Scalar) and how.value in ("none", None):
        return ends
    kind = how.value if isinstance(how, Scalar) else next(iter(getattr(how, "pairs", {})), None)
    if kind not in ("add", "multiply", "average", "maximum", "concat"):
        raise SpecError(
            Problem(
                "'merge' of 'branches' does not fit",
                how.place,
                found=describe(how),
                wanted="concat, add, multiply, average, maximum or none",
                rule="bad-value",
            )
        )
    return _merge(expander, how, ends, written, inner)


def _paths(expander: Expander, lists: list[tuple[str, Node]], current: tuple[Port, ...], ctx: Context) -> tuple[Port, ...]:
    """The end of each list, all over the same input; its name is part of the path."""
    ends: tuple[Port, ...] = ()
    for part, entries in lists:
        path = ctx.at(part)
        ends += expander.walk(entries, current, replace(ctx, path=path, scope=Scope(ctx.scope)))[:1]
    return ends


def _merge(expander: Expander, how: Node | str, ends: tuple[Port, ...], written: Written, ctx: Context) -> tuple[Port, ...]:
    """The layer of that kind over several ends; one alone is itself."""
    node = literal(how, written.place) if isinstance(how, str) else how
    entry = choose(node, Entry, "layer")  # type: ignore[type-abstract]  # the family, not an instance
    return (expander.leaf(entry, entry.kind, {}, ends, written, ctx, {}),) if len(ends) > 1 else ends
