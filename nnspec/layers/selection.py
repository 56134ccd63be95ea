"""Parts of a tensor: by place, by number, by size, by a condition."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from nnspec.ir.graph import Value, constant
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, DType, Shape, Symbol, show
from nnspec.layers.axes import Axes, Axis, listed, place, places
from nnspec.layers.layer import Built, Layer, Merge, Mode, Values, rank
from nnspec.layers.merge import align
from nnspec.layers.source import numbers
from nnspec.ops.elementwise import Not, equal, maximum, minimum, where
from nnspec.ops.index import gather, one_hot
from nnspec.ops.movement import Slice as SliceOp
from nnspec.ops.movement import broadcast_to, moveaxis, reshape, transpose
from nnspec.ops.rows import Largest, take_rows
from nnspec.spec.model import LARGEST, Count

Bound = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Bounds = Annotated[tuple[Bound, ...], BeforeValidator(listed)]
Ends = Annotated[tuple[Bound | None, ...], BeforeValidator(listed)]
Steps = Annotated[tuple[Count, ...], BeforeValidator(listed)]


class Slice(Layer, kind="slice"):
    """From ``start`` up to ``stop``, which is left out, every ``step``-th along ``axes``; a number below 0 counts from the end.

    ``slice: {start: 1}`` leaves out the first of axis 0; of several axes each has its own: ``{axes: [0, 1], start: [2, 2], stop: [-2, -2]}``.
    ``y[i] = x[start + i * step]``. ``(6, 8)`` with ``start: 1`` gives ``(5, 8)``; an error where nothing is left.
    """

    start: Bounds = (0,)
    stop: Ends = (None,)
    step: Steps = (1,)
    axes: Axes = (0,)

    @model_validator(mode="after")
    def _lengths(self) -> "Slice":
        for name in ("start", "stop", "step"):
            given = len(getattr(self, name))
            if given not in (1, len(self.axes)):
                found = f"{given} numbers for {len(self.axes)} axes"
                raise _wrong(f"'{name}' of slice does not fit its axes", found, "one number, or one for each axis")
        return self

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        axes = places(self.axes, x.rank - 1, "slice", x)
        start: list[Dim] = [0] * x.rank
        stop, step = list(x.shape), [1] * x.rank
        each = (v * len(axes) if len(v) == 1 else v for v in (self.start, self.stop, self.step))
        for axis, a, b, s in zip(axes, *each, strict=True):
            length = x.shape[axis + 1]
            first, last = _from_end(a, length), length if b is None else _from_end(b, length)
            _check_bounds(first, last, length, a, b, x)
            start[axis + 1], stop[axis + 1], step[axis + 1] = first, last, s
        return SliceOp(tuple(start), tuple(stop), tuple(step)).one(x)


def _from_end(bound: int, length: Dim) -> Dim:
    return length + bound if bound < 0 else bound


def _check_bounds(first: Dim, last: Dim, length: Dim, a: int, b: int | None, x: Value) -> None:
    def wrong(found: str, wanted: str) -> ShapeError:
        return ShapeError("slice does not fit the input", f"{found} of {show(x.shape)}", wanted)

    if isinstance(first, int) and isinstance(length, int) and not 0 <= first < length:
        raise wrong(f"start {a}", f"{-length} to {length - 1}")
    if isinstance(last, int) and isinstance(length, int) and not 0 < last <= length:
        raise wrong(f"stop {b}", f"{1 - length} to {length}")
    if isinstance(first, int) and isinstance(last, int) and first >= last:
        raise wrong(f"start {a}, stop {b}", "a start before the stop")


class Split(Layer, kind="split", primary="parts"):
    """Cut along ``axis``, the last by default, into ``parts`` of one size, or into ``sizes``.

    The parts are ``name.0``, ``name.1``, …; a layer that takes several inputs takes all of them where it names the split alone.
    ``(6, 8)`` in 2 ``parts`` gives two of ``(6, 4)``; an error where they do not fill the axis.
    """

    several = True
    parts: Annotated[int, Field(ge=1, le=64)] | None = None
    sizes: Annotated[tuple[Count, ...], Field(min_length=1, max_length=64)] | None = None
    axis: Axis = -1

    @model_validator(mode="after")
    def _one(self) -> "Split":
        if (self.parts is None) == (self.sizes is None):
            raise _wrong("'split' does not say how", "neither" if self.parts is None else "parts and sizes", "parts: 3, or sizes: [2, 5]")
        return self

    def build(self, x: Value, p: Values, mode: Mode) -> Built:
        axis = place(self.axis, x.rank - 1, "split", x) + 1
        length = x.shape[axis]
        sizes: Shape = self.sizes or ()
        if self.parts is not None:
            if isinstance(length, int) and length % self.parts:
                found = f"{self.parts} parts of {length}"
                raise ShapeError("split's parts are not of one size", found, f"a number that divides {length}", "or sizes: [...]")
            sizes = (length // self.parts,) * self.parts
        total: Dim = 0
        outputs: dict[str, Value] = {}
        for i, n in enumerate(sizes):
            end = total + n
            if isinstance(length, int) and isinstance(end, int) and end > length:
                break
            outputs[str(i)] = _part(x, axis, total, end)
            total = end
        if len(outputs) < len(sizes) or (total != length and isinstance(length, int)):
            raise ShapeError("split's sizes do not fill the axis", f"{list(sizes)} of {length}", f"sizes that add up to {length}")
        return Built(outputs["0"], outputs=outputs)


def _part(x: Value, axis: int, start: Dim, stop: Dim) -> Value:
    starts = tuple(start if i == axis else 0 for i in range(x.rank))
    stops = tuple(stop if i == axis else d for i, d in enumerate(x.shape))
    return SliceOp(starts, stops, (1,) * x.rank).one(x)


class Gather(Merge, kind="gather", primary="indices"):
    """Elements along ``axis`` by their numbers, as NumPy's take: the numbers' axes stand in the place of ``axis``.

    ``gather: {indices: 0, axis: 0}`` is the first along axis 0, which goes; ``indices: [0, -1]`` keeps it. Without ``indices`` a second
    input holds whole numbers, counted from 0; each row has its own, and what lies beyond an end takes that end; what is
    fed from outside may not lie beyond.
    ``(6, 8)`` with ``indices: 0`` gives ``(8)``, with ``[0, -1]`` ``(2, 8)``. A number in the spec that lies beyond is an error.
    """

    inputs = (1, 2)
    roles = ("x", "indices")
    indices: Annotated[Any, BeforeValidator(numbers)] = None
    axis: Axis = 0

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        if (self.indices is None) != (len(x) == 2):
            found = "indices and a second input" if len(x) == 2 else "neither indices nor a second input"
            raise ShapeError("gather takes its numbers from one place", found, "indices: [0, 2], or from: [x, numbers]")
        table, rows = x[0], mode.batched[0]
        axis = place(self.axis, table.rank - rows, "gather", table)
        length = table.shape[axis + rows]
        if len(x) == 1:
            if isinstance(self.indices, int) and not isinstance(self.indices, bool):
                return _one(table, axis + 1, _fixed((self.indices,), length, table)[0])
            ids = _constant(self.indices, length, table)
            chosen = broadcast_to(ids, (table.shape[0], *ids.shape))
        else:
            chosen = _ids(x[1], length)
            if rows and not mode.batched[1]:
                chosen = broadcast_to(chosen, (table.shape[0], *chosen.shape))
        before, k = axis, chosen.rank - 1
        y = take_rows(moveaxis(table, axis + 1, 1), chosen) if rows else gather(moveaxis(table, axis, 0), chosen)
        return transpose(y, (0, *range(1 + k, 1 + k + before), *range(1, 1 + k), *range(1 + k + before, y.rank)))


def _one(x: Value, axis: int, index: Dim) -> Value:
    part = _part(x, axis, index, index + 1)
    return reshape(part, (*x.shape[:axis], *x.shape[axis + 1 :]))


def _fixed(values: tuple[int, ...], length: Dim, x: Value) -> tuple[Dim, ...]:
    """Numbers counted from 0, checked where the length is known."""
    for v in values:
        if isinstance(length, int) and not -length <= v < length:
            raise ShapeError("gather has no such element", f"{v} of {length}: {show(x.shape)}", f"{-length} to {length - 1}")
    return tuple(_from_end(v, length) for v in values)


def _constant(indices: Any, length: Dim, x: Value) -> Value:
    import numpy as np

    held = np.asarray(indices)
    if held.dtype.kind != "i":
        raise ShapeError("gather asks for whole numbers", str(indices)[:60], "indices: [0, 2]")
    found = _fixed(tuple(held.reshape(-1).tolist()), length, x)
    if any(isinstance(v, Symbol) for v in found):
        found = (0,) * len(found)  # only its type is asked for until the length is known
    return constant(np.asarray(found).reshape(held.shape), DType.int64)


def _ids(ids: Value, length: Dim) -> Value:
    if ids.dtype not in (DType.int32, DType.int64):
        raise ShapeError("gather asks for whole numbers", str(ids.dtype), "int32 or int64", "cast: int64, or declare the input as {dtype: int64}")
    return minimum(maximum(ids, 0), length - 1) if isinstance(length, int) else ids


class OneHot(Layer, kind="one_hot", primary="classes"):
    """1 at each whole number's place along a new last axis of ``classes``, else 0: ``(…)`` to ``(…, classes)``; beyond the classes all are 0.

    ``y[…, c] = 1 if x[…] == c else 0``. Whole numbers alone: a float is an error.
    """

    classes: Count

    def build(self, x: Value, p: Values, mode: Mode) -> Value:
        if x.dtype not in (DType.int32, DType.int64):
            raise ShapeError("one_hot asks for whole numbers", str(x.dtype), "int32 or int64", "cast: int64, or declare the input as {dtype: int64}")
        return one_hot(x, self.classes, mode.dtype)


class TopK(Layer, kind="top_k", primary="k"):
    """The ``k`` largest along the last axis, the largest first: ``name`` or ``name.values``, and their places ``name.indices`` (int64).

    Of equals the first comes first; NaN counts as the largest, as in PyTorch. Gradients flow to the places that were taken.
    ``(…, n)`` to ``(…, k)``; an error where k is more than n.
    """

    k: Count

    def build(self, x: Value, p: Values, mode: Mode) -> Built:
        rank(x, 1, "top_k")
        last = x.shape[-1]
        if not x.dtype.is_float:
            raise ShapeError("top_k asks for floats", str(x.dtype), "float32", "cast: float32 comes first")
        if isinstance(last, int) and self.k > last:
            raise ShapeError("top_k asks for more than there are", f"{self.k} of {last}", f"at most {last}")
        values, indices = Largest(self.k)(x)
        return Built(values, outputs={"values": values, "indices": indices})


class Where(Merge, kind="where"):
    """The second input where the first is true (or not 0), else the third; shapes broadcast, the batch apart.

    ``y = a if condition else b``. ``(3, 4)``, ``(3, 4)`` and ``(4)`` give ``(3, 4)``; no gradient flows into the condition.
    """

    inputs = (3, 3)
    roles = ("condition", "then", "otherwise")

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        condition, then, otherwise = align(x, mode)
        return where(truth(condition), then, otherwise)


def truth(x: Value) -> Value:
    """What is true, or not 0."""
    return x if x.dtype == DType.bool else Not().one(equal(x, 0))


def _wrong(message: str, found: str, wanted: str) -> PydanticCustomError:
    return PydanticCustomError("nnspec", "{message}", {"message": message, "found": found, "wanted": wanted, "hint": ""})
