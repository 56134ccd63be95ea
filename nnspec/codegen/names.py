"""Names that a person finds in the spec again: ``dense_1_y``, ``dense_1_kernel_grad``; unique, and safe in Python."""

from __future__ import annotations

import re
from collections.abc import Iterable
from keyword import iskeyword, issoftkeyword

from nnspec.ir.graph import Call, Graph, Value
from nnspec.ir.op import Input
from nnspec.ir.types import known
from nnspec.ops.fused import Followed, Fused
from nnspec.ops.movement import BroadcastTo, Pack, Reshape, Slice, Transpose, Unpack

LONGEST = 80


def identifier(text: str) -> str:
    """``text`` as a Python name: other characters become ``_``; ``stage_2/conv-1`` is ``stage_2_conv_1``."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text)[-LONGEST:].strip("_") or "x"
    return f"_{name}" if name[0].isdigit() or iskeyword(name) or issoftkeyword(name) else name


class Names:
    """Gives every name once; what is taken gets ``_2``, ``_3`` and so on."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._taken = set(reserved)
        self._next: dict[str, int] = {}

    def take(self, wanted: str) -> str:
        name = wanted = identifier(wanted)
        while name in self._taken:
            self._next[wanted] = self._next.get(wanted, 1) + 1
            name = f"{wanted}_{self._next[wanted]}"
        self._taken.add(name)
        return name


def spoken(graph: Graph, calls: Iterable[Call]) -> dict[Value, str]:
    """What each value is called, before names are made unique: outputs, parameters and gradients by theirs."""
    calls = list(calls)
    parameters = _parameters(calls)
    known_as = dict(parameters)
    for c in calls:
        if isinstance(c.op, Pack):
            known_as.update(_gradients(c, parameters))
    known_as.update({v: _output(n) for n, v in graph.outputs.items() if not isinstance(v.op, Input)})
    made = [maker for c in calls for maker in _makers(c)]
    last = {c.origin.layer: c for c in made if c.origin.stage == "forward" and not isinstance(c.op, Unpack)}
    names: dict[Value, str] = {}
    for c in calls:
        for i, (v, maker) in enumerate(zip(c.outputs, _makers(c), strict=True)):
            result = maker is last.get(maker.origin.layer) and bool(maker.origin.layer)
            seen = VIEWS.get(type(c.op)) if not result else None
            ordinary = f"{names[c.inputs[0]]}_{seen}" if seen else _ordinary(maker, result) + (f"_{i}" if i and maker is c else "")
            names[v] = known_as.get(v, ordinary)
    return names


def _makers(c: Call) -> list[Call]:
    """The call that each output is named after: of what is fused, the one in its body."""
    if not isinstance(c.op, Fused | Followed):
        return [c] * len(c.outputs)
    return [c if isinstance(v.op, Input) else v.call for v in c.op.body.outputs.values()]


VIEWS = {Transpose: "t", Reshape: "reshaped", BroadcastTo: "wide", Slice: "part", Unpack: "part"}


def _output(name: str) -> str:
    """``metric:accuracy`` is ``accuracy``, ``gradient:dense_1/kernel`` is ``dense_1/kernel_grad``."""
    kind, _, rest = name.partition(":")
    return rest if rest and kind == "metric" else f"{rest}_grad" if rest and kind == "gradient" else name


def _ordinary(c: Call, is_result: bool) -> str:
    if isinstance(c.op, Input):
        return c.op.label
    layer = c.origin.layer or c.origin.stage
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", c.op.name).lower()
    if is_result:
        return f"{layer}_y"
    if c.origin.stage == "backward" and c.origin.layer:
        return f"{layer}_{word.removesuffix('_grad')}_grad"
    return f"{layer}_{word}"


def _parameters(calls: list[Call]) -> dict[Value, str]:
    """Tensors of a state, by the layer path they were taken at."""
    return {c.outputs[0]: c.origin.layer for c in calls
            if isinstance(c.op, Unpack) and isinstance(c.inputs[0].op, Input) and c.origin.layer}


def _gradients(pack: Call, parameters: dict[Value, str]) -> dict[Value, str]:
    """Members of a Pack that lie as the parameters of a state do: ``kernel`` there is ``kernel_grad`` here."""
    assert isinstance(pack.op, Pack)
    total, found = pack.op.total, {}
    places = {(v.op.offset, known(v.shape)): name for v, name in parameters.items()
              if isinstance(v.op, Unpack) and v.inputs[0].shape == (total,)}
    for offset, v in zip(pack.op.offsets, pack.inputs, strict=True):
        name = places.get((offset, known(v.shape)))
        if name and v.inputs:
            found[v] = f"{name}_grad"
            if v.op.view and v.call.origin.stage == "backward":
                found.setdefault(v.inputs[0], f"{name}_grad")
    return found
