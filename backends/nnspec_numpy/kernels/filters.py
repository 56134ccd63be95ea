"""A convolution whose kernel is kept in parts of its filters, which threads share: each reads its share of the kernel, and all of the images.

That is worth it for one image smaller than the kernel, as late in a network, and where there are too few places for lanes and bands; else what
the next step reads would come from another core. How many parts there are follows from shapes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv
from nnspec.records import dataclass, replace
from nnspec_numpy.products import parts_of

from .bands import bands, by_places
from .kernel import Arrays, Form, Kernel, Run, Step, Types, elements, sizes, together
from .lanes import by_rows, lanes, shared_out, some_of, types_of

UNIT = 64  # filters: what a block of a compiled kernel computes at a time divides it
MOST = 2  # parts: each moves or transforms the images for itself
Piece = tuple[Any, list[TensorType], list[TensorType]]


@dataclass(frozen=True)
class Some:
    """The form of some filters."""

    form: Form
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.form}, filters {self.start} to {self.stop}"

    @property
    def type(self) -> TensorType:
        return self.form.type

    def fill(self, weight: Array, kept: Array) -> Sequence[Step]:
        return self.form.fill(weight[..., self.start : self.stop], kept)


def filters(op: Conv, inputs: Types, outputs: Types) -> list[slice]:
    """The filters of each part; none where they are not parted."""
    x, w = inputs
    count = min(parts_of(op.flops(*inputs) // 2), MOST, sizes(w)[-1] // UNIT)
    if count < 2 or not op.kept or op.groups > 1 or len(x.shape) > 4 or x.dtype != DType.float32:
        return []
    if len(lanes(op, inputs, outputs)) > 1 or elements(w.shape) <= elements(x.shape) and bands(op, inputs, outputs):
        return []
    ends = [*(sizes(w)[-1] * i // count // UNIT * UNIT for i in range(count)), sizes(w)[-1]]
    return [slice(a, b) for a, b in zip(ends, ends[1:], strict=False)]


def _part(t: TensorType, some: slice) -> TensorType:
    return TensorType((*t.shape[:-1], some.stop - some.start), t.dtype)


def _parts(op: Any, inputs: Types, outputs: Types) -> list[Piece]:
    return [(op, [inputs[0], _part(inputs[1], some)], [_part(outputs[0], some)]) for some in filters(op, inputs, outputs)]


def pieces(op: Conv, inputs: Types, outputs: Types) -> list[Piece]:
    """What is bound in the end, one after the other: parts of the filters, else lanes of the bands, else all."""
    found = [(b.op, *b.types(inputs, outputs)) for b in bands(op, inputs, outputs)] or [(op, list(inputs), list(outputs))]
    rows = [(o, [some_of(x, r), w], [some_of(y, r)]) for o, (x, w), (y,) in found for r in lanes(o, [x, w], [y])]
    return _parts(op, inputs, outputs) or rows


def shared(kernel: Kernel) -> Kernel:
    """The kernel of a convolution in parts that threads share, one way or another."""
    other = by_places(by_rows(kernel, 1))  # all rows meet the one kernel

    def workspace(op: Any, inputs: Types, outputs: Types) -> tuple[TensorType, ...]:
        own = _parts(op, inputs, outputs)
        return tuple(t for part in own for t in kernel.workspace(*part)) if own else other.workspace(op, inputs, outputs)

    def bind(op: Any, inputs: Arrays, outputs: Arrays, space: Arrays) -> Run:
        (x, w), (y,), given, made = inputs, outputs, types_of(inputs), types_of(outputs)
        own = _parts(op, given, made)
        if not own:
            return other.bind(op, inputs, outputs, space)
        spaces = shared_out(space, [len(kernel.workspace(*p)) for p in own])
        kept = shared_out(space[sum(map(len, spaces)) :], [len(kernel.forms(*p)) for p in own])
        return together([kernel.bind(op, [x, w[..., some]], [y[..., some]], [*mine, *held])
                         for some, mine, held in zip(filters(op, given, made), spaces, kept, strict=True)])

    def forms(op: Any, inputs: Types, outputs: Types) -> tuple[Form, ...]:
        own = zip(filters(op, inputs, outputs), _parts(op, inputs, outputs), strict=True)
        found = tuple(Some(f, some.start, some.stop) for some, part in own for f in kernel.forms(*part))
        return found if filters(op, inputs, outputs) else other.forms(op, inputs, outputs)

    def choice(op: Any, inputs: Types, outputs: Types) -> str:
        own = _parts(op, inputs, outputs)
        return f"{kernel.choice(*own[0])}; its filters in {len(own)} parts" if own else other.choice(op, inputs, outputs)

    def ways(op: Any, inputs: Types, outputs: Types) -> tuple[str, ...]:
        own = [kernel.ways(*part) for part in _parts(op, inputs, outputs)]
        return tuple(w for w in own[0] if all(w in more for more in own)) if own else other.ways(op, inputs, outputs)

    return replace(kernel, bind=bind, workspace=workspace, choice=choice, forms=forms, ways=ways)
