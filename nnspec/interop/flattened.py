"""In which order PyTorch has the numbers of an image that is, or becomes, a vector: channels first, where ours come last."""

from __future__ import annotations

import numpy as np

from nnspec.ir.op import Array
from nnspec.ir.types import Shape
from nnspec.layers.activations import Activation
from nnspec.layers.shape import Permute
from nnspec.network.graph import Leaf, Network, Port

SPATIAL = ("1d", "2d", "3d")  # how layers end whose channels PyTorch has before the other axes
KEEPS = ("activation", "dropout", "spatial_dropout", "gaussian_noise", "drop_path", "stop_gradient", "cast", "only",
         "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm")  # fmt: skip
TOGETHER = ("add", "subtract", "multiply", "average", "maximum", "minimum")


class Flattened:
    """For each value the order of its last axis: ``ours[i]`` is ``theirs[order[i]]``; None where both are the same.

    An image (or a volume) of channels last is flattened from channels first there; a sequence is where a 1d convolution or pool
    made it. The order passes through layers that leave numbers where they are (activations, dropout, normalisation), through
    sums and products, and through ``concat``. What a dense layer makes has the order of the image that a ``reshape`` makes of it.
    """

    def __init__(self, network: Network) -> None:
        self.leaves: dict[str, Leaf] = {leaf.path: leaf for leaf in network.leaves}
        self.known: dict[str, Array | None] = {}
        self.readers: dict[str, list[Leaf]] = {}
        for leaf in network.leaves:
            for port in leaf.inputs:
                self.readers.setdefault(port.node, []).append(leaf)
        for leaf in network.leaves:  # in topological order: what a layer reads is known before it
            self.known[leaf.path] = self._of(leaf)

    def order(self, port: Port) -> Array | None:
        """The order of a value's last axis."""
        return None if port.output else self.known.get(port.node)

    def _of(self, leaf: Leaf) -> Array | None:
        kind, ports = leaf.entry.kind, leaf.inputs
        if any(p.type is None for p in ports) or not ports:
            return None
        if kind == "dense":
            return self._reshaped(leaf.path) if len(ports[0].shape) == 1 else None  # of several vectors none is an image
        if kind == "flatten":
            return _order(ports[0].shape) if self._channels_first(ports[0]) else self.order(ports[0]) if len(ports[0].shape) == 1 else None
        if kind == "concat" and all(len(p.shape) == 1 for p in ports):
            return self._joined(ports)
        if kind in TOGETHER:
            orders = [o for p in ports if len(p.shape) == 1 and (o := self.order(p)) is not None]
            return orders[0] if orders else None
        return self.order(ports[0]) if _keeps(leaf) else None

    def _reshaped(self, path: str) -> Array | None:
        """The order of a vector that becomes an image, where every reader makes the same one of it."""
        found: list[Array | None] = []
        for reader in self.readers.get(path, []):
            if reader.entry.kind == "reshape":
                found.append(_order(shape) if (shape := self._image(reader)) else None)
            else:
                found.append(self._reshaped(reader.path) if _keeps(reader) else None)
        first = found[0] if found else None
        return first if first is not None and all(o is not None and np.array_equal(o, first) for o in found) else None

    def _image(self, reshape: Leaf) -> Shape:
        """The shape that a reshape makes where its last axis is channels, or nothing."""
        readers = self.readers.get(reshape.path, [])
        port = next((p for reader in readers for p in reader.inputs if p.node == reshape.path), None)
        if port is None or port.type is None or not all(isinstance(d, int) for d in port.shape):
            return ()
        spatial = len(port.shape) > 2 or (len(port.shape) == 2 and all(r.entry.kind.endswith(SPATIAL) for r in readers))
        return port.shape if spatial else ()

    def _joined(self, ports: tuple[Port, ...]) -> Array | None:
        """The orders of parts one behind the other."""
        orders = [self.order(p) for p in ports]
        sizes = [d for p in ports for d in p.shape if isinstance(d, int)]
        if all(o is None for o in orders) or len(sizes) < len(ports):
            return None
        starts = np.cumsum([0, *sizes[:-1]])
        return np.concatenate([start + (np.arange(n) if o is None else o) for start, o, n in zip(starts, orders, sizes, strict=True)])

    def _channels_first(self, port: Port) -> bool:
        """Whether PyTorch has the channels of this value before its other axes."""
        if len(port.shape) < 2 or not all(isinstance(d, int) for d in port.shape):
            return False
        leaf = self.leaves.get(port.node)
        while leaf is not None and (_keeps(leaf) or leaf.entry.kind in TOGETHER):
            leaf = self.leaves.get(leaf.inputs[0].node)
        last = len(port.shape) - 1
        if leaf is not None and isinstance(leaf.entry, Permute) and leaf.entry.axes == (last, *range(last)):
            return False  # they stand first here, too
        if len(port.shape) > 2:
            return True
        return leaf is not None and leaf.entry.kind.endswith(SPATIAL)


def _keeps(leaf: Leaf) -> bool:
    """Whether a layer leaves every number where it was."""
    return bool(leaf.inputs) and (isinstance(leaf.entry, Activation) or leaf.entry.kind in KEEPS)


def _order(shape: Shape) -> Array:
    """Where a number of ``(…, channels)`` stands in ``(channels, …)``: the index there by the index here."""
    *spatial, channels = [d for d in shape if isinstance(d, int)]
    theirs = np.arange(int(np.prod([channels, *spatial]))).reshape(channels, *spatial)
    return np.moveaxis(theirs, 0, -1).reshape(-1)
