"""An output as losses see it: layers are inferred one by one, and those that only move places are joined with what they move."""

from nnspec.ir.graph import Value, abstract
from nnspec.ir.op import Input
from nnspec.network.graph import Leaf, Network, Port
from nnspec.ops.movement import Movement


def linked(network: Network, port: Port) -> Value:
    """The abstract value of an output: what its layer makes, behind layers that compute nothing what those before them make."""
    assert port.type is not None
    leaf = network.nodes[port.node]["leaf"] if port.value is not None else None
    if port.value is None or leaf is None:
        return abstract(port.type)
    return _joined(port.value, leaf, network)


def _joined(y: Value, leaf: Leaf, network: Network) -> Value:
    match y.op:
        case Input(label=label, role="data"):
            return linked(network, leaf.inputs[int(label.removeprefix("x"))])
        case Movement() if y.inputs:
            return y.op.one(*(_joined(x, leaf, network) for x in y.inputs))
    return y
