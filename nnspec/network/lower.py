"""The network over bound shapes as a graph of ops: parameters are views of their segments, state goes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nnspec.ir.graph import Value, origin
from nnspec.layers.layer import Mode, Values, applied
from nnspec.network.graph import Network, Port


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


def lower(network: Network, inputs: Mapping[str, Value], params: Mapping[str, Value], mode: Mode) -> Lowered:
    """Builds every layer in order from the inputs' and parameters' values; one for the other mode alone is left out."""
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
        local = replace(mode, path=leaf.path, batched=tuple(p.batched for p in leaf.inputs), frozen=leaf.frozen)
        with origin(leaf.path, "forward"):
            built = applied(leaf.entry, tuple(out.at(p) for p in leaf.inputs), Values(held), local)
        out.values[leaf.path, ""] = built.y
        out.values.update({(leaf.path, name): v for name, v in built.outputs.items()})
        out.state.update({own[name]: v for name, v in built.state.items()})
    return out

