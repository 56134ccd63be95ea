"""The network over bound shapes as a graph of ops: parameters are views of their segments, state goes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from nnspec.ir.graph import Value, origin
from nnspec.layers.layer import Mode, Values
from nnspec.network.graph import Network, Port


@dataclass
class Lowered:
    """Every port's value, and the new content of what layers keep, by parameter path."""

    values: dict[tuple[str, str], Value] = field(default_factory=dict)
    state: dict[str, Value] = field(default_factory=dict)

    def at(self, port: Port) -> Value:
        return self.values[port.node, port.output]


def lower(network: Network, inputs: Mapping[str, Value], params: Mapping[str, Value], mode: Mode) -> Lowered:
    """Builds every layer in order from the inputs' and parameters' values."""
    out = Lowered({(name, ""): v for name, v in inputs.items()})
    for leaf in network.leaves:
        own = {p.name: params[f"{leaf.path}/{p.name}"] for p in leaf.params}
        for name, v in own.items():
            out.values[leaf.path, name] = v
        local = replace(mode, path=leaf.path, batched=tuple(p.batched for p in leaf.inputs), frozen=leaf.frozen)
        with origin(leaf.path, "forward"):
            built = leaf.entry.apply(tuple(out.at(p) for p in leaf.inputs), Values(own), local)
        out.values[leaf.path, ""] = built.y
        out.state.update({f"{leaf.path}/{name}": v for name, v in built.state.items()})
    return out
