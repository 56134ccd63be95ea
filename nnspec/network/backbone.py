"""A whole network where a list of layers names it: its layers expanded there, cut, frozen, with weights of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnspec.errors import Problem, SpecError, nearest
from nnspec.layers.layer import Entry
from nnspec.network.entry import STRUCTURES, Written
from nnspec.network.graph import Network, Port
from nnspec.network.scope import Ref, Scope
from nnspec.records import dataclass, replace
from nnspec.spec.entries import entry_names
from nnspec.spec.networks import Subnetwork
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar

if TYPE_CHECKING:
    from nnspec.network.context import Context
    from nnspec.network.expand import Expander

Ends = tuple[tuple[Port, ...], dict[str, Port]]


@dataclass(frozen=True)
class Called:
    """Where a network stands: ``cut`` where some of its layers have been left out."""

    network: Subnetwork
    cut: bool


def call(expander: Expander, written: Written, name: str, fields: Mapping[str, Node], current: tuple[Port, ...], ctx: Context) -> Ends:
    """The network's layers in place of its call, under its path; it sees its inputs and what its own file says, nothing of its caller.

    A second call uses the weights of the first.
    """
    part, path = expander.networks[written.kind], ctx.at(name)
    expander.used.add(written.kind)
    _no_arguments(written, fields)
    if any(p.type is None for p in current):
        return (Port(path),), {}
    scope = _inputs(part, current, written)
    first = next((p for p, c in expander.network.parts.items() if c.network is part), None)
    data = {"data": part.data} if part.data is not None else {k: v for k, v in ctx.env.items() if k == "data" and part.file is None}
    inner = replace(
        ctx.inside(path, scope=scope, env={**data, **part.vars}, calls=()),
        frozen=ctx.frozen or not part.trainable,
        shared=ctx.shared if ctx.shared or first is None else (path, first),
    )
    own = replace(expander, blocks=part.blocks, networks=part.networks, broken=part.broken, used=set(), outputs={})
    before = len(expander.problems)
    _no_names_of_layers(part, own)
    cut = _only_one(part)
    stop = cut.until[0].split("/")[0].split(".")[0] if cut.until else ""
    end = own.walk(part.layers, current, inner, stop)
    expander.used |= {b for b in own.used if b in part.blocks and part.blocks[b] is expander.blocks.get(b)}  # of the file around it
    if part.until is not None and stop not in scope.names:
        del expander.problems[before:]  # of what stands behind the cut that was meant
        raise SpecError(_no_cut(part, own, path))
    expander.problems[before:] = [_of_data(p, part) for p in expander.problems[before:]]
    if len(expander.problems) > before:
        return (Port(path),), {}
    ends, outputs = _ends(cut, own, end, scope, path)
    left_out = _prune(expander.network, ends, path)
    if first is None:
        expander.network.parts[path] = Called(part, left_out or part.until is not None)
    return ends, outputs


def _only_one(part: Subnetwork) -> Subnetwork:
    """Where it is cut at a kind of which its list has one entry without a name, the cut is that entry: ``global_avg_pool2d`` is the first one."""
    if part.until is None or "/" in part.until[0]:
        return part
    (until, place), (names, further) = part.until, entry_names(part.layers)
    alone = until not in names and f"{until}_1" in names and not {f"{until}_2"} & {*names, *further}
    return replace(part, until=(f"{until}_1", place)) if alone else part


def _no_arguments(written: Written, fields: Mapping[str, Node]) -> None:
    given = written.fields
    empty = given is None or (isinstance(given, Scalar) and given.value is None) or (isinstance(given, MappingNode) and not given.pairs)
    if not empty or fields:
        wrong = next(iter(fields.values())) if fields else given
        assert wrong is not None
        place = next(iter(given.keys.values())) if isinstance(given, MappingNode) and given.pairs and not fields else wrong.place
        raise SpecError(Problem(f"network '{written.kind}' takes no arguments", place, wanted=f"- {written.kind}",
                                hint="vars: {…} stand where the network is declared", rule="no-primary"))  # fmt: skip
    for key in ("init", "regularize"):
        if key in written.common:
            raise SpecError(Problem(f"'{key}' on '{written.kind}'", written.common[key].place, wanted=f"{key} on a layer that has parameters",
                                    rule="bad-value"))  # fmt: skip


def _no_names_of_layers(part: Subnetwork, own: Expander) -> None:
    """Blocks and networks of another file that have the name of a layer."""
    places = {**{k: b.place for k, b in part.blocks.items()}, **{k: n.place for k, n in part.networks.items()}}
    for name, place in places.items():
        if name in Entry.registry or name in STRUCTURES:
            own.report(Problem(f"'{name}' is a layer already", place, wanted="another name", rule="repeated-name"))


def _inputs(part: Subnetwork, current: tuple[Port, ...], written: Written) -> Scope:
    """The names of its inputs for what it is given, shapes compared with those that it states."""
    stated = part.shapes() or {"image" if len(current[0].shape) == 3 else "features": None}
    if len(current) != len(stated):
        raise SpecError(
            Problem(
                f"network '{part.name}' takes {len(stated)} input{'' if len(stated) == 1 else 's'}",
                written.place,
                found=str(len(current)),
                wanted=f"from: [{', '.join(stated)}]" if len(stated) > 1 else "one",
                hint="in this order" if len(stated) > 1 else "",
                rule="inputs",
            )
        )
    scope = Scope()
    for (name, shape), port in zip(stated.items(), current, strict=True):
        if shape is not None and not _fits(port.shape, shape):
            place = part.inputs.keys.get(name, part.place) if part.inputs else part.place
            raise SpecError(
                Problem(
                    f"network '{part.name}' wants another input",
                    written.place,
                    found=" x ".join(map(str, port.shape)),
                    wanted=f"{' x '.join(map(str, shape))} for '{name}', as {place.file} says on line {place.line}",
                    hint="resize or reshape it first" + (f", or declare the network with inputs: {{{name}: …}}" if part.file else ""),
                    rule="shape",
                )
            )
        scope.define(name, Ref((port,), part.inputs.keys.get(name, part.place) if part.inputs else part.place))
    return scope


def _fits(found: tuple[Any, ...], stated: tuple[Any, ...]) -> bool:
    """Lengths that are known on both sides are equal; a name stands for any."""
    both = zip(found, stated, strict=False)
    return len(found) == len(stated) and all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in both)


def _ends(part: Subnetwork, own: Expander, end: tuple[Port, ...], scope: Scope, path: str) -> Ends:
    """What the network gives: at its cut, at its outputs, or at its end."""
    if part.until is None:
        outputs = {name.replace(".", "_"): scope.one(name, place) for name, place in part.outputs}
        return (tuple(outputs.values()), outputs if len(outputs) > 1 else {}) if outputs else (end, {})
    until, place = part.until
    if "/" not in until and until.split(".")[0] in scope.names:
        return (scope.one(until, place),), {}
    ports = own.ends.get(f"{path}/{until}", ())
    if len(ports) == 1:
        return ports, {}
    if not ports:
        raise SpecError(_no_cut(part, own, path))
    raise SpecError(Problem(f"'{until}' of network '{part.name}' has {len(ports)} outputs", place, wanted="a layer of one output",
                            rule="several-outputs"))  # fmt: skip


def _of_data(p: Problem, part: Subnetwork) -> Problem:
    """A formula that reads the data of the other spec, which are not looked at."""
    if part.data is None and part.file is not None and p.message.startswith("nothing is called 'data'"):
        return replace(p, hint=f"the data of {part.file.name} are not read: cut before this with 'until', or give the folder of its run as 'spec'")
    return p


def _no_cut(part: Subnetwork, own: Expander, path: str) -> Problem:
    assert part.until is not None
    until, place = part.until
    known = [p.removeprefix(f"{path}/") for p in own.ends if p.startswith(f"{path}/")]
    top = [k for k in known if "/" not in k]
    return Problem(f"network '{part.name}' has no layer '{until}' to cut at", place, wanted=f"one of {', '.join(top[-10:])}; or a path",
                   hint=nearest(until, known), rule="unknown-name")  # fmt: skip


def _prune(network: Network, ends: tuple[Port, ...], path: str) -> bool:
    """Takes out what none of the ends needs; whether there was any."""
    kept = network.ancestors(p.node for p in ends)
    gone = {node for node in network.nodes if node.startswith(f"{path}/") and node not in kept}
    for node in gone:
        del network.nodes[node]
    network.edges[:] = [edge for edge in network.edges if edge[1] not in gone]
    return bool(gone)
