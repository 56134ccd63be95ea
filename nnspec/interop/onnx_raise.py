"""An ONNX model raised to a spec that a person can read and edit, with its weights as safetensors."""

from __future__ import annotations

import re
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
from nnspec.interop.raising.same import listed, pairs
from nnspec.interop.raising.structure import structured
from nnspec.interop.raising.tidy import tidy
from nnspec.interop.raising.write import text
from nnspec.ir.op import Array
from nnspec.records import dataclass

if TYPE_CHECKING:
    from onnx import ModelProto

    from nnspec.compiler import Spec
    from nnspec.network.graph import Leaf


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
    structured(draft)  # which may exchange what is added
    items, outputs, entries = listed(draft)
    plain = text(draft, items, outputs, {}, name, held, header)
    try:
        reference = spec_of(plain, held)
    except SpecError as e:
        hint = f"--axis {left[0]}=64" if left else ""
        raise wrong(file, "the model cannot be raised to a spec", by_node(e.problems[0].message, entries), e.problems[0].wanted, hint) from None
    for compress in (True, False):
        items, outputs = structured(draft)
        blocks = Blocks(outputs)
        items = blocks.compress(items) if compress else items
        written = text(draft, items, outputs, blocks.bodies(), name, held, header)
        try:
            same = pairs(spec_of(written, held), reference)
        except SpecError:  # layers one behind the other are always understood, blocks of unheard-of names may not be
            continue
        if same is not None:
            return Raised(name, written, weights_of(same, entries, file))
    return Raised(name, plain, weights_of([(leaf, leaf) for leaf in reference.built.network.leaves], entries, file))


def by_node(message: str, entries: Mapping[str, Entry]) -> str:
    """What is wrong with a layer, told of the node that it comes from: the layer stands in no file."""
    return re.sub(r"(layer )?'([^']+)'", lambda m: entries[m[2]].where if m[2] in entries and entries[m[2]].where else m[0], message)


def spec_of(written: str, held: str) -> Spec:
    """The spec of a text, whose file of weights is not there yet. Raises SpecError."""
    return loads(written.replace(f"weights: {held}\n", "") if held else written, "raised.yaml")


def weights_of(same: list[tuple[Leaf, Leaf]], entries: Mapping[str, Entry], file: str) -> dict[str, Array]:
    """Every weight under the path of its parameter; of each pair of layers the second has the name of its entry."""
    found: dict[str, Array] = {}
    for leaf, plain in same:
        e = entries[plain.path]
        for p in leaf.own:
            values = e.weights.get(p.name)
            if values is None or tuple(values.shape) != tuple(p.shape):
                raise wrong(file, f"{e.where}: its weights do not fit the layer '{leaf.path}'")
            found[f"{leaf.path}/{p.name}"] = np.ascontiguousarray(values)
    return found


def printable(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable()
