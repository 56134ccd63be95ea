"""The network over bound shapes as a graph of ops: parameters are views of their segments, state goes in and out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nnspec.errors import SpecError
from nnspec.ir.graph import Value, origin
from nnspec.ir.op import ShapeError
from nnspec.layers.layer import Mode, Values, applied
from nnspec.network.entry import Written
from nnspec.network.fault import Fault
from nnspec.network.graph import Network, Port
from nnspec.network.repair import shape_problem
from nnspec.records import dataclass, field, replace


@dataclass
class Lowered:
    """Every port's value, and the new content of what layers keep, by parameter path."""

    values: dict[tuple[str, str], Value] = field(default_factory=dict)
    state: dict[str, Value] = field(default_factory=dict)

    def at(self, port: Port) -> Value:
        return self.values[port.node, port.output]

    def has(self, port: Port) -> bool:
        """Whether the layer is there in this mode: one for training alone has no value in inference."""
        return (port.node, port.output) in self.values


def lower(
    network: Network, inputs: Mapping[str, Value], params: Mapping[str, Value], mode: Mode, frozen: Collection[str] | None = None
) -> Lowered:
    """Builds every layer in order from the inputs' and parameters' values; one for the other mode alone is left out.

    ``frozen`` has the paths of the layers that do not move, by default those that the spec freezes.
    """
    out = Lowered({(name, ""): v for name, v in inputs.items()})
    for leaf in network.leaves:
        if not leaf.built(mode.training):
            if leaf.passes:
                out.values[leaf.path, ""] = out.at(leaf.inputs[0])
            continue
        own = {p.name: f"{leaf.weights}/{p.name}" for p in leaf.params}
        # statistics that several layers share are moved by one after the other
        held = {name: out.state.get(path, params[path]) for name, path in own.items()}
        for name, v in held.items():
            out.values[leaf.path, name] = v
        still = leaf.frozen if frozen is None else leaf.path in frozen
        local = replace(mode, path=leaf.path, batched=tuple(p.batched for p in leaf.inputs), frozen=still)
        x = tuple(out.at(p) for p in leaf.inputs)
        try:
            with origin(leaf.path, "forward"):
                built = applied(leaf.entry, x, Values(held), local)
        except ShapeError as e:  # named axes are bound now, to lengths that do not fit
            bound = tuple(replace(p, type=v.type) for p, v in zip(leaf.inputs, x, strict=True))
            written = Written(leaf.entry.kind, leaf.place, {}, None, {})
            raise SpecError(shape_problem(Fault(e, bound, leaf.entry, written, network, once=False), leaf.path)) from None
        out.values[leaf.path, ""] = built.y
        out.values.update({(leaf.path, name): v for name, v in built.outputs.items()})
        out.state.update({own[name]: v for name, v in built.state.items()})
    return out

