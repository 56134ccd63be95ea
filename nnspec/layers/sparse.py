"""Products with matrices of which only the numbers that are not zero are there: graphs."""

from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import Dim, DType, show
from nnspec.layers.dense import Dense
from nnspec.layers.layer import Built, Merge, Mode, Values
from nnspec.ops.elementwise import cast, maximum, minimum
from nnspec.ops.matmul import project
from nnspec.ops.movement import broadcast_to, reshape, slice_axis
from nnspec.ops.rows import AddRows, take_rows
from nnspec.spec.model import Count


class SparseMatMul(Merge, kind="sparse_matmul", primary="rows"):
    """A sparse matrix times a dense one: ``y[r] += value * x[c]`` for each of its entries (r, c, value).

    ``from: {matrix: adjacency, x: h}``. The matrix is a list of entries (COO), ``(entries, 3)``: row, column and value, in any order;
    entries at one place add up, and those of value 0 fill up a list that is too short. ``(entries, 2)`` of whole numbers is a matrix
    of ones. ``x`` is ``(columns, …)``, the output ``(rows, …)``: as many ``rows`` as columns, unless told. Gradients flow into x and the
    values. A fed row or column that is not there is an error. Source: Kipf and Welling, "Semi-supervised classification with graph
    convolutional networks", 2017.
    """

    inputs = (2, 2)
    roles = ("matrix", "x")
    rows: Count | None = None

    def build(self, x: tuple[Value, ...], mode: Mode) -> Value:
        matrix, dense = rowed(x, mode)
        return product(matrix, dense, self.rows)


class GraphDense(Dense, kind="graph_dense", primary="units"):
    """A dense layer at each node, then of each node the sum over its neighbours: ``activation(graph @ (x @ kernel) + bias)``.

    ``from: [x, graph]``: nodes ``(nodes, in)`` and the graph's entries ``(entries, 3)``, as sparse_matmul has them: ``D^-1/2 (A + I) D^-1/2``
    for the network of Kipf and Welling. Output ``(nodes, units)``. The kernel ``(in, units)`` starts glorot_uniform, the bias at zero.
    Source: Kipf and Welling, "Semi-supervised classification with graph convolutional networks", 2017.
    """

    inputs = (2, 2)
    roles = ("x", "graph")

    def apply(self, x: tuple[Value, ...], p: Values, mode: Mode) -> Built:
        nodes, graph = rowed(x, mode)
        y = product(graph, project(nodes, p.kernel))
        return Built(self.activate(y + p.bias if self.bias else y, p, mode))


def rowed(x: tuple[Value, ...], mode: Mode) -> tuple[Value, ...]:
    """What has no rows is the same in each."""
    rows = next(v.shape[0] for v, batched in zip(x, mode.batched, strict=True) if batched)
    return tuple(v if batched else broadcast_to(v, (rows, *v.shape)) for v, batched in zip(x, mode.batched, strict=True))


def product(matrix: Value, x: Value, rows: Dim | None = None) -> Value:
    """A list of entries times a dense matrix, row by row of the batch."""
    if matrix.rank != 3 or matrix.shape[-1] not in (2, 3):
        raise ShapeError("a sparse matrix is a list of entries", show(matrix.shape), "(entries, 3): row, column, value; or (entries, 2)")
    if matrix.shape[-1] == 2 and matrix.dtype.is_float:
        raise ShapeError("rows and columns without values are whole numbers", str(matrix.dtype), "int32 or int64",
                         "declare the input as {dtype: int64}")
    if x.rank < 3 or not x.dtype.is_float:
        raise ShapeError("a sparse matrix does not fit what it is multiplied with", f"{show(x.shape)} of {x.dtype}",
                         "floats, at least two axes: (columns, …)")
    columns = x.shape[1]
    rows = columns if rows is None else rows
    to, of = (_numbers(matrix, i, n) for i, n in enumerate((rows, columns)))
    terms = take_rows(x, of)
    if matrix.shape[-1] == 3:
        values = reshape(slice_axis(matrix, 2, 2, 3), (*matrix.shape[:2], *(1,) * (x.rank - 2)))
        terms = terms * cast(values, x.dtype)
    return AddRows(rows).one(terms, to)


def _numbers(matrix: Value, i: int, length: Dim) -> Value:
    """Row or column numbers of the entries, none beyond an end: nothing outside is read or written, and what is fed is looked at before."""
    numbers = cast(reshape(slice_axis(matrix, 2, i, i + 1), matrix.shape[:2]), DType.int64)
    return minimum(maximum(numbers, 0), length - 1) if isinstance(length, int) else numbers
