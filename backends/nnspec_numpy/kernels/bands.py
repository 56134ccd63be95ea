"""The convolution of a single row in bands of its places, which threads share: of one image there are no rows to part.

A band's input is what its windows see, so neighbours read a few places twice and nothing is computed twice. How many bands there are follows from
shapes alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nnspec.ir.types import TensorType, known
from nnspec.ops.conv import Conv, pads
from nnspec_numpy.products import parts_of

from . import lanes
from .kernel import Arrays, Form, Kernel, Run, Types, elements, together
from .lanes import shared_out, types_of

UNEVEN = 1.2  # times its share that a band has at most
UNIT = 4  # a band is a multiple of it high: no tile of Winograd's ends with it


@dataclass(frozen=True)
class Band:
    """A part of the output's first axis of places, the part of the input's that it sees, and the op over these."""

    op: Conv
    source: slice
    target: slice

    def types(self, inputs: Types, outputs: Types) -> tuple[list[TensorType], list[TensorType]]:
        """Those of inputs and outputs, cut."""
        (x, w), (y,) = inputs, outputs
        return [_part(x, self.source), w], [_part(y, self.target)]


def _part(t: TensorType, places: slice) -> TensorType:
    return TensorType((t.shape[0], places.stop - places.start, *t.shape[2:]), t.dtype)


def bands(op: Conv, inputs: Types, outputs: Types) -> list[Band]:
    """The bands of a convolution; none where it is not parted."""
    x, w, y = (known(t.shape) for t in (*inputs, *outputs))
    if x[0] != 1 or len(x) < 3:
        return []
    least = lanes.KEPT if op.kept else lanes.LEAST
    count = min(parts_of(op.flops(*inputs) // 2), lanes.MOST, elements(y[1:-1]) // least, y[1] // UNIT)
    if count < 2:
        return []
    around = pads(op.padding, x[1:-1], w[:-2], op.stride, op.dilation)
    ends = [*(round(y[1] * i / count / UNIT) * UNIT for i in range(count)), y[1]]
    if max(b - a for a, b in zip(ends, ends[1:], strict=False)) > UNEVEN * y[1] / count:
        return []
    found = [_band(op, x[1], w[0], around, a, b) for a, b in zip(ends, ends[1:], strict=False)]
    return found if all(f.source.stop > f.source.start for f in found) else []


def _band(op: Conv, height: int, size: int, around: tuple[tuple[int, int], ...], a: int, b: int) -> Band:
    """Windows ``a`` to ``b``: the places that they see, and the border that is left of them."""
    start = a * op.stride[0] - around[0][0]
    end = (b - 1) * op.stride[0] - around[0][0] + (size - 1) * op.dilation[0] + 1
    border = max(0, -start), max(0, end - height)
    return Band(op.but(padding=(border, *around[1:])), slice(max(0, start), min(height, end)), slice(a, b))


def by_places(kernel: Kernel) -> Kernel:
    """The kernel in bands where there are some, else as it is."""

    def every(op: Any, inputs: Types, outputs: Types) -> list[tuple[Conv, list[TensorType], list[TensorType]]]:
        return [(b.op, *b.types(inputs, outputs)) for b in bands(op, inputs, outputs)] or [(op, list(inputs), list(outputs))]

    def workspace(op: Any, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
        return tuple(t for part in every(op, inputs, outputs) for t in kernel.workspace(*part))

    def bind(op: Any, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
        (x, w), (y,) = inputs, outputs
        given, made = types_of(inputs), types_of(outputs)
        own = bands(op, given, made)
        if not own:
            return kernel.bind(op, inputs, outputs, space)
        parts = every(op, given, made)
        spaces = shared_out(space, [len(kernel.workspace(*p)) for p in parts])
        all_forms = forms(op, given, made)
        kept = dict(zip(all_forms, space[len(space) - len(all_forms) :], strict=True))
        return together([kernel.bind(b.op, [x[:, b.source], w], [y[:, b.target]], [*scratch, *(kept[f] for f in kernel.forms(*p))])
                         for b, p, scratch in zip(own, parts, spaces, strict=True)])

    def forms(op: Any, inputs: Types, outputs: Types) -> tuple[Form, ...]:
        return tuple(dict.fromkeys(f for part in every(op, inputs, outputs) for f in kernel.forms(*part)))

    def choice(op: Any, inputs: Types, outputs: Types) -> str:
        parts = every(op, inputs, outputs)
        return kernel.choice(*parts[0]) + (f"; in {len(parts)} bands" if len(parts) > 1 else "")

    def ways(op: Any, inputs: Types, outputs: Types) -> tuple[str, ...]:
        first, *rest = (kernel.ways(*part) for part in every(op, inputs, outputs))
        return tuple(w for w in first if all(w in other for other in rest))

    return replace(kernel, bind=bind, workspace=workspace, choice=choice, forms=forms, ways=ways)
