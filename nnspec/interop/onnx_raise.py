"""An ONNX model raised to a spec that a person can read and edit, with its weights as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from nnspec.compiler import loads
from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.interop.onnx_read import wrong
from nnspec.interop.raising.blocks import Blocks
from nnspec.interop.raising.draft import Draft, Entry
from nnspec.interop.raising.model import draft as drafted
from nnspec.interop.raising.model import open_axes
from nnspec.interop.raising.open_axes import for_all
from nnspec.interop.raising.structure import MERGES, structured
from nnspec.interop.raising.tidy import tidy
from nnspec.interop.raising.tree import Item, layers
from nnspec.interop.raising.write import text
from nnspec.ir.op import Array
from nnspec.layers.activations import Activation
from nnspec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto

    from nnspec.compiler import Spec


@dataclass(frozen=True)
class Raised:
    """A spec's text, and its weights by the paths of its parameters."""

    name: str
    text: str
    weights: dict[str, Array]


def raised(model: ModelProto, file: str, name: str, channels_last: bool = False, lengths: Mapping[str, int] = MappingProxyType({})) -> Raised:
    """The spec of a model; ``file`` stands in errors, ``lengths`` are those of axes that have a name instead.

    Raises DataError where a node has no layer, SpecError for the length of an axis that is not there.
    """
    named_, wanted = open_axes(model), set(lengths)
    if wanted - set(named_):
        unknown = min(wanted - set(named_))
        known = one_of(named_) if named_ else "no --axis: every axis of the model has a length"
        raise SpecError(Problem(f"no axis is called '{unknown}'", wanted=known, hint=nearest(unknown, named_), rule="import"))

    def make(more: Mapping[str, int]) -> Draft:
        found = drafted(model, file, channels_last, {**lengths, **more})
        tidy(found)
        return found

    left = [n for n in named_ if n not in lengths]
    draft = for_all(left, make, file)
    header = [f"Raised from an ONNX model{f' that {model.producer_name[:60]} has written' if printable(model.producer_name) else ''}."]
    if not channels_last and any(len(e.shape) > 1 for e in draft.inputs):
        header.append("Inputs have the order of axes of the model.")
    held = f"{name}.safetensors" if any(e.weights for e in draft.entries) else ""
    problem: SpecError | None = None
    for compress in (True, False):
        items, outputs = structured(draft)
        blocks = Blocks(outputs)
        items = blocks.compress(items) if compress else items
        written = text(draft, items, outputs, blocks.bodies(), name, held, header)
        try:
            spec = loads(written.replace(f"weights: {held}\n", "") if held else written, f"{name}.yaml")
            return Raised(name, written, named(spec, items, file, blocks=compress))
        except SpecError as e:  # layers one behind the other are always understood, blocks of unheard-of names may not be
            problem = problem or e
    assert problem is not None
    raise wrong(file, "the model cannot be raised to a spec", problem.problems[0].message, problem.problems[0].wanted,
                f"--axis {left[0]}=64" if left else "")


def alike(spec: Spec, given: list[Entry]) -> bool:
    """Whether every layer stands in the spec, in order, and makes what it makes in the model; the merges of structures stand between them."""
    nodes = [n for n in spec.built.network.nodes.values() if n["leaf"] is not None]
    at = 0
    for e in given:
        if e.kind in ("activation", "identity"):
            continue
        while at < len(nodes) and (nodes[at]["kind"] != e.kind or not _fits(nodes[at]["shape"], e.shape)):
            if nodes[at]["kind"] not in (*MERGES, "identity", "activation", *Activation.activations):
                return False
            at += 1
        if at == len(nodes):
            return False
        at += 1
    return True


def _fits(found: tuple[object, ...], wanted: tuple[object, ...]) -> bool:
    return not wanted or len(found) == len(wanted) and all(a == b for a, b in zip(found, wanted, strict=True) if isinstance(a, int))


def printable(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()


def named(spec: Spec, items: list[Item], file: str, blocks: bool) -> dict[str, Array]:
    """Every weight under the path of its parameter. Raises SpecError where ``blocks`` say something else than the layers in them."""
    found: dict[str, Array] = {}
    given = [x.entry for x in layers(items)]
    if blocks and not alike(spec, given):
        raise SpecError(Problem("the spec has other layers than the model", rule="import"))
    leaves = [leaf for leaf in spec.built.network.leaves if leaf.entry.kind in {e.kind for e in given}]
    mine = [e for e in given if e.weights]
    leaves = [leaf for leaf in leaves if leaf.own]
    if len(mine) != len(leaves):
        raise wrong(file, "the spec has other weights than the model", f"{len(leaves)} layers", f"{len(mine)}")
    for leaf, e in zip(leaves, mine, strict=True):
        for p in leaf.own:
            values = e.weights.get(p.name)
            if leaf.entry.kind != e.kind or values is None or tuple(values.shape) != tuple(p.shape):
                raise wrong(file, f"{e.where}: its weights do not fit the layer '{leaf.path}'")
            found[f"{leaf.path}/{p.name}"] = np.ascontiguousarray(values)
    return found
