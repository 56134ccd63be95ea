"""The layer that gives an output its last axis, and the edit that makes it fit what is compared with it."""

from __future__ import annotations

from nnspec.errors import Edit
from nnspec.ir.types import TensorType
from nnspec.network.graph import Leaf, Network, Port
from nnspec.spec import edits

KEYS = ("units", "filters")
MOST = 100  # layers that keep the last axis as it is


def sized(port: Port, network: Network) -> tuple[Leaf, str] | None:
    """The layer whose units or filters an output's last axis is, behind layers that keep it, and that key."""
    at, rank = port.node, len(port.shape)
    for _ in range(MOST):
        leaf = network.nodes.get(at, {}).get("leaf")
        if leaf is None:
            return None
        key = next((k for k in KEYS if k in type(leaf.entry).model_fields), None)
        if key is not None:
            return leaf, key
        if len(leaf.inputs) != 1 or leaf.inputs[0].type is None or leaf.entry.kind in ("flatten", "reshape", "permute", "concat"):
            return None
        if leaf.inputs[0].shape[-1:] != port.shape[-1:] or (len(leaf.inputs[0].shape) != rank and not leaf.entry.kind.startswith("global_")):
            return None
        at = leaf.inputs[0].node
    return None


def alone(leaf: Leaf, network: Network) -> bool:
    """Whether an entry stands for one layer: in a block or repeated it would be changed everywhere."""
    place = (leaf.place.file, leaf.place.line, leaf.place.column)
    return sum(1 for n in network.leaves if (n.place.file, n.place.line, n.place.column) == place) == 1 and "/" not in leaf.path


def resized(port: Port, network: Network, n: int) -> tuple[str, tuple[Edit, ...]]:
    """What to write so that an output's last axis is ``n``, and the edit where the number stands there as it is."""
    found = sized(port, network)
    if found is None:
        return "", ()
    leaf, key = found
    was = str(getattr(leaf.entry, key))
    mend = (edits.set_key(leaf.place, key, str(n), leaf.entry.primary or "", was=was),) if alone(leaf, network) else ()
    return f"{key}: {n} in '{leaf.path}' on line {leaf.place.line}", mend


def compared(port: Port, target: TensorType | None, network: Network) -> tuple[str, tuple[Edit, ...]]:
    """What to write where an output and its target differ in shape."""
    if target is None or port.type is None:
        return "", ()
    y, t = port.shape, target.shape[1:]
    found = sized(port, network)
    if len(y) > len(t) + 1 and not t and found is not None:
        leaf, _ = found
        places = len(leaf.inputs[0].shape) - 1
        pool = f", or global_avg_pool{places}d: one answer for all places" if 1 <= places <= 3 else ""
        return f"'- flatten' before '{leaf.path}' on line {leaf.place.line}{pool}", ()
    if len(y) == 1 and target.dtype.is_float and (not t or (len(t) == 1 and isinstance(t[0], int))):
        return resized(port, network, int(t[0]) if t else 1)  # type: ignore[arg-type]  # a number, as has been asked
    return "", ()
