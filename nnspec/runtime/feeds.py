"""What is fed from Python, checked and converted: names, rows, shapes, dtypes, and numbers that index something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Array, Input
from nnspec.ir.types import DType, Symbol, TensorType, show
from nnspec.network.targets import Target
from nnspec.ops.elementwise import Cast, Maximum, Minimum
from nnspec.ops.index import Gather, OneHot, Pick, ScatterAdd, TopK
from nnspec.ops.movement import Reshape, Slice
from nnspec.ops.rows import AddRows, TakeRows
from nnspec.ops.softmax import SoftmaxCrossEntropy

ROUNDED = 1e-5  # by how much a share may leave 0 to 1
UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}  # by size: a number below 0 is a very large one there
Indexing = str | tuple[str, int]  # an input, or a column of its last axis
Ends = tuple[Target, float, float]  # a target, and the least and largest number that its loss compares with something


def as_array(name: str, given: Any) -> Array:
    """What is given as an array; raises SpecError where its rows differ in shape."""
    try:
        return np.asarray(given)
    except ValueError:
        raise SpecError(Problem(f"the rows of '{name}' differ in shape", wanted="one shape for all rows", rule="feed")) from None


def convert(name: str, given: Any, dtype: DType) -> Array:
    """An array of the wanted dtype; floats become floats, whole numbers whole numbers, nothing else is converted."""
    if type(given) is np.ndarray and given.dtype == dtype.numpy and given.flags.c_contiguous:
        return given
    array = as_array(name, given)
    if array.dtype.kind not in "fiub":
        raise SpecError(Problem(f"'{name}' does not hold numbers", found=f"dtype {array.dtype}", wanted=str(dtype), rule="feed"))
    if dtype.is_float:
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(array, dtype.numpy)
        if array.dtype.itemsize > dtype.size and np.isinf(converted).any() and not np.isinf(array).any():
            largest = array.reshape(-1)[np.abs(array).argmax()]
            message = f"'{name}' holds a number that does not fit {dtype}"
            raise SpecError(Problem(message, found=f"{largest:g}", hint="precision: float64", rule="feed"))
        return converted
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.trunc(array)).all()):
        raise SpecError(Problem(f"'{name}' holds numbers that are not whole", found=f"dtype {array.dtype}", wanted=str(dtype), rule="feed"))
    return np.ascontiguousarray(array, dtype.numpy)


def check_names(given: Iterable[str], wanted: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Raises SpecError where names are missing or unknown."""
    given, wanted = set(given), set(wanted)
    if given == wanted:
        return
    known = {*wanted, *optional}
    problems = [Problem(f"'{n}' is not fed by anything", wanted=one_of(known), rule="feed") for n in sorted(wanted - given)]
    problems += [Problem(f"nothing is called '{n}'", wanted=one_of(known), hint=nearest(n, known), rule="feed") for n in sorted(given - known)]
    if problems:
        raise SpecError(*problems)


def fit(name: str, array: Array, type: TensorType, sizes: dict[str, int]) -> None:
    """Checks a shape against a type, rows first, and notes the lengths of named axes; raises SpecError."""
    if array.shape[1:] == type.shape[1:] and array.ndim == len(type.shape):
        return
    ok = array.ndim == len(type.shape)
    if ok:
        for length, dim in zip(array.shape[1:], type.shape[1:], strict=True):
            if isinstance(dim, int):
                ok = ok and dim == length
            elif isinstance(dim, Symbol):
                ok = ok and sizes.setdefault(str(dim), length) == length
    if not ok:
        hint = "a batch has its rows first" if array.ndim == len(type.shape) - 1 else ""
        known = f" with {', '.join(f'{k} = {v}' for k, v in sizes.items())}" if sizes else ""
        raise SpecError(Problem(f"'{name}' does not fit", found=f"shape {array.shape}", wanted=f"{show(type.shape)}{known}", hint=hint, rule="feed"))


def rows_of(arrays: Mapping[str, Array]) -> int:
    """The number of rows, the same for all; raises SpecError."""
    lengths = {len(a) if a.ndim else -1 for a in arrays.values()}
    if len(lengths) != 1 or -1 in lengths:
        counts = {name: len(a) if a.ndim else -1 for name, a in arrays.items()}
        raise SpecError(
            Problem(
                "the arrays differ in their number of rows",
                found=", ".join(f"{k}: {v if v >= 0 else 'none'}" for k, v in counts.items()),
                wanted="as many rows in each",
                rule="feed",
            )
        )
    n = lengths.pop()
    if n == 0:
        raise SpecError(Problem("there are no rows", wanted="at least one row", rule="feed"))
    return n


def limits(graph: Graph) -> dict[Indexing, int]:
    """For each input whose numbers index something, or a column of it: how many there are to index."""
    found: dict[Indexing, int] = {}
    for c in graph.calls:
        match c.op:
            case Gather():
                ids, n = c.inputs[1], c.inputs[0].shape[0]
            case Pick() | TopK() | SoftmaxCrossEntropy():
                ids, n = c.inputs[1], c.inputs[0].shape[-1]
            case TakeRows():
                ids, n = c.inputs[1], c.inputs[0].shape[1]
            case AddRows(n=rows):
                ids, n = c.inputs[1], rows
            case ScatterAdd(rows=rows):
                ids, n = c.inputs[1], rows
            case OneHot(depth=depth):
                ids, n = c.inputs[0], depth
            case _:
                continue
        source = _source(ids)
        if source is not None and isinstance(n, int):
            found[source] = min(n, found.get(source, n))
    return found


def _source(v: Value) -> Indexing | None:
    if isinstance(v.op, Minimum) and isinstance(v.inputs[0].op, Maximum):
        v = v.inputs[0].inputs[0]  # the layer gather keeps its numbers within bounds; what is written beside it is not looked into
    while isinstance(v.op, (Cast, Reshape)):
        v = v.inputs[0]
    if isinstance(v.op, Slice) and isinstance(v.inputs[0].op, Input):
        column, (*others, last) = v.op.start[-1], v.inputs[0].shape
        whole = all(a == 0 for a in v.op.start[:-1]) and v.shape == (*others, 1) and last != 1
        return (v.inputs[0].op.label, column) if whole and isinstance(column, int) else None
    return v.op.label if isinstance(v.op, Input) else None


def ends(types: Mapping[str, TensorType], losses: Iterable[Target]) -> tuple[Ends, ...]:
    """The targets of these types that not every number is one of: 2 is neither yes nor no."""
    found = ((t, t.term.of.between(t.port.value, types[t.feed])) for t in losses if t.port.value is not None and t.feed in types)
    return tuple((t, *between) for t, between in found if between is not None)


def check_ranges(arrays: Mapping[str, Array], bounds: Iterable[Ends]) -> None:
    """Raises SpecError where a target is no number that its loss compares with anything."""
    for t, low, high in bounds:
        array = arrays.get(t.feed)
        if array is None or not array.size:
            continue
        least, most = np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)
        if (least >= low - ROUNDED and most <= high + ROUNDED) or np.isnan(most):
            continue
        bad = array[(array < low - ROUNDED) | (array > high + ROUNDED)].flat[0]
        raise SpecError(Problem(f"'{t.feed}' holds a number that {t.term.of.kind} does not compare with anything", t.term.place, found=f"{bad:g}",
                                wanted=f"{low:g} to {high:g}", hint="a column of type category numbers its classes from 0", rule="feed"))


def check_limits(arrays: Mapping[str, Array], most: Mapping[Indexing, int] | Mapping[str, int]) -> None:
    """Raises SpecError where a number has nothing to index."""
    for key, n in most.items():
        name, column = key if isinstance(key, tuple) else (key, None)
        array = arrays.get(name)
        if array is not None and column is not None:
            array = np.ascontiguousarray(array[..., column])
        if array is None or not array.size or _below(array, n):
            continue
        whole = np.trunc(array) if array.dtype.kind == "f" else array  # as a cast to whole numbers does
        fits = (whole >= 0) & (whole < n)
        if column is not None:
            fits &= whole == array
        if not fits.all():
            bad = np.argwhere(~fits)[0]
            place = f"row {bad[0]}" if column is None else f"row {bad[0]}, entry {bad[1]}, column {column}"
            wanted = f"0 to {n - 1}" if column is None else f"a whole number from 0 to {n - 1}"
            found = f"{array[tuple(bad)]} in {place}"
            raise SpecError(Problem(f"'{name}' holds a number that nothing has", found=found, wanted=wanted, rule="feed"))


def _below(array: Array, n: int) -> bool:
    """Whether these are whole numbers from 0 to below n: one walk, for what is below 0 is a large number without its sign."""
    if array.dtype.kind not in "iu":
        return False
    return bool(np.maximum.reduce(array.view(UNSIGNED[array.dtype.itemsize]), axis=None) < n)
