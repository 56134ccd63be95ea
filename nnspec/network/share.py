"""``share``: whose weights a layer uses, and that the two are alike."""

from __future__ import annotations

from nnspec.errors import Problem, SpecError
from nnspec.ir.types import show
from nnspec.layers.layer import Choice, Entry, Param
from nnspec.network.entry import Written
from nnspec.network.graph import Leaf, Network


def owner(entry: Entry, params: tuple[Param, ...], path: str, written: Written, shared: tuple[str, str] | None, network: Network) -> str:
    """The path of the layer whose weights this one uses: its own, or that at the same place in the tree it shares."""
    if shared is None or isinstance(entry, Choice):
        return path
    own, theirs = shared
    other = theirs + path[len(own) :]
    leaf: Leaf | None = network.nodes.get(other, {}).get("leaf")
    if leaf is None and not params:
        return path
    if leaf is None:
        raise SpecError(
            Problem(
                f"layer '{path}' finds no layer '{other}' whose weights it could share",
                written.place,
                wanted=f"the same layers as in '{theirs}'",
                rule="share",
            )
        )
    found, wanted = _differ(entry, leaf.entry), "equal fields"
    if not found and leaf.params != params:
        pairs = zip(params, leaf.params, strict=False)
        found, wanted = "; ".join(f"{a.name} {show(a.shape)} here, {show(b.shape)} there" for a, b in pairs if a != b), "inputs of one shape"
    if found:
        raise SpecError(
            Problem(
                f"layer '{path}' cannot share the weights of '{other}'",
                written.place,
                found=found,
                wanted=wanted,
                hint=f"'{other}' is on line {leaf.place.line}",
                rule="share",
            )
        )
    return leaf.weights if params else path


def _differ(a: Entry, b: Entry) -> str:
    """The fields that differ, in words."""
    if type(a) is not type(b):
        return f"{a.kind} here, {b.kind} there"
    return "; ".join(f"{k}: {getattr(a, k)} here, {getattr(b, k)} there" for k in type(a).model_fields if getattr(a, k) != getattr(b, k))
