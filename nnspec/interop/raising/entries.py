"""Numbers of elements that each row has of its own: what layers see to themselves, and vectors added at such numbers, which are a sparse product."""

from __future__ import annotations

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.raiser import Raiser
from nnspec.ir.graph import Call, Value, constant
from nnspec.ir.op import Constant, Input
from nnspec.ir.types import DType
from nnspec.ops import elementwise as e
from nnspec.ops import movement, rows

EXACT = 1 << 24  # whole numbers that single precision holds


def unwrapped(ids: Value, length: int) -> Value:
    """Numbers as a layer takes them: it keeps them within the ends itself, and refuses those below 0 that are fed."""
    inner = ids
    while isinstance(inner.op, movement.Reshape):  # there and back
        inner = inner.inputs[0]
        ids = inner if sizes(inner) == sizes(ids) else ids
    if isinstance(ids.op, e.Minimum) and is_number(ids.inputs[1], length - 1):
        inner = ids.inputs[0]
        if isinstance(inner.op, e.Maximum) and is_number(inner.inputs[1], 0):
            return inner.inputs[0]
    if isinstance(ids.op, e.Where):
        below, counted, plain = ids.inputs
        same = isinstance(below.op, e.Less) and below.inputs[0] is plain and is_number(below.inputs[1], 0)
        if same and isinstance(counted.op, e.Add) and counted.inputs[0] is plain and is_number(counted.inputs[1], length) and fed(plain):
            return plain
    return ids


def is_number(v: Value, wanted: int) -> bool:
    return isinstance(v.op, Constant) and v.op.data.size > 0 and bool((v.op.data == wanted).all())


def fed(v: Value) -> bool:
    """Whether a value is what an input holds, only moved or in another type."""
    while isinstance(v.op, e.Cast | movement.Reshape | movement.Transpose | movement.Slice | movement.BroadcastTo):
        v = v.inputs[0]
    return isinstance(v.op, Input)


def added(r: Raiser, call: Call) -> None:
    """``y[to] += value * x[of]`` of each row is a sparse matrix times a dense one; vectors by themselves are those of their own numbers."""
    from nnspec.interop.raising.ops import raise_calls

    (terms, to), y = call.inputs, call.outputs[0]
    if to.rank != 2 or terms.rank < 2:
        raise NotImportedError("vectors that are added at numbers of several axes")
    n, count = sizes(y)[1], sizes(to)[1]
    to, product = unwrapped(to, n), of_a_product(terms)
    if product is not None:
        x, of, value = product
        matrix = whole((to, unwrapped(of, sizes(x)[1]), value))
        if matrix is None:
            if max(n, sizes(x)[1]) > EXACT:
                raise NotImportedError(f"a sparse product over more than {EXACT:,} rows")
            columns = tuple(movement.reshape(e.cast(v, DType.float32), (*sizes(to), 1)) for v in (to, of, value))
            matrix = movement.concat(columns, 2)
    else:
        x = terms if terms.rank > 2 else movement.reshape(terms, (*sizes(terms), 1))
        own = constant(np.broadcast_to(np.arange(count)[:, None], (*sizes(to), 1)), DType.int64)
        matrix = movement.concat((movement.reshape(e.cast(to, DType.int64), (*sizes(to), 1)), own), 2)
    raise_calls(r, tuple(v for v in (matrix, x) if r.known(v) is None))
    sources = [r.get(v) if (a := r.known(v)) is None else r.constant(r.part(a, v.rank, tuple(range(v.rank)))) for v in (matrix, x)]
    made = r.emit("sparse_matmul", *sources, rows=None if n == sizes(x)[1] else n)
    if terms.rank > 2:
        r.put(y, made)
    else:
        r.put(y, r.once(made, "reshape", shape=[n], made=(n,)))


def of_a_product(terms: Value) -> tuple[Value, Value, Value] | None:
    """``x, of, value`` of ``x[of] * value``, one value a vector."""
    if not isinstance(terms.op, e.Multiply) or terms.rank < 3:
        return None
    for a, b in (terms.inputs, terms.inputs[::-1]):
        taken, value = a.op, b
        if isinstance(taken, rows.TakeRows) and a.inputs[1].rank == 2 and sizes(value) == (*sizes(a)[:2], *(1,) * (a.rank - 2)):
            return a.inputs[0], a.inputs[1], movement.reshape(value, sizes(a)[:2]) if value.rank > 2 else value
    return None


def whole(columns: tuple[Value, ...]) -> Value | None:
    """The matrix of which these are the columns, in order."""
    found: set[Value] = set()
    for i, v in enumerate(columns):
        while isinstance(v.op, e.Cast | movement.Reshape) and (i < len(columns) - 1 or isinstance(v.op, movement.Reshape)):
            v = v.inputs[0]
        if not isinstance(v.op, movement.Slice) or v.rank != 3 or sizes(v)[2] != 1:
            return None
        x = v.inputs[0]
        if v.op.start != (0, 0, i) or sizes(x) != (*sizes(v)[:2], len(columns)) or not x.dtype.is_float:
            return None
        found.add(x)
    return found.pop() if len(found) == 1 else None

