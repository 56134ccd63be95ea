"""Matrix products of our own are those of float64 for every shape, wherever their matrices lie, and touch nothing beside."""

import numpy as np
import pytest

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.codegen.views import Layout
from nnspec.errors import NnspecError
from nnspec.ir.types import DType, TensorType
from nnspec.ops.matmul import MatMul
from nnspec_numpy.kernels import KERNELS, gemm, matmul
from nnspec_numpy.llvm.cpu import chosen
from nnspec_numpy.team import TEAM

SIZES = (1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 48, 64, 100)
MARK = np.float32(12345.0)


@pytest.fixture(params=["", "avx2", "baseline", "none"])
def cpu(request, monkeypatch):
    """As if the processor were that."""
    monkeypatch.setenv("NNSPEC_CPU", request.param)
    try:
        chosen()
    except NnspecError:
        pytest.skip("this processor has less")


@pytest.fixture
def ours(monkeypatch):
    """No product is left to OpenBLAS that a kernel takes."""
    monkeypatch.setattr(gemm, "_library", lambda *_: float("inf"))


def inside(rng, shape, turned, gap, dtype=np.float32):
    """An array in the middle of marks, its last two axes exchanged in memory where it is ``turned``, ``gap`` numbers between lines."""
    *batch, m, n = shape
    lines, run = (n, m) if turned else (m, n)
    room = np.full((*batch, lines + 2, run + gap + 2), MARK, dtype)
    x = room[..., 1:-1, 1 : 1 + run]
    x = x.swapaxes(-1, -2) if turned else x
    x[...] = rng.standard_normal(shape)
    return x, room


def space(op, *arrays):
    types = [TensorType(tuple(a.shape), DType(a.dtype.name)) for a in arrays]
    kernel = KERNELS[MatMul]
    kept = [f.type for f in kernel.forms(op, types[:2], types[2:])]
    layouts = [Layout(0, a.shape, tuple(s // a.itemsize for s in a.strides)) for a in arrays]
    return [np.full(t.shape, np.nan, t.dtype.numpy) for t in (*matmul.room(op, types[:2], types[2:], layouts), *kept)]


PLAIN = MatMul()


def product(a, b, y, op=PLAIN):
    """Runs the kernel; what is kept of ``b`` is made before."""
    room = space(op, a, b, y)
    types = [TensorType(tuple(x.shape), DType(x.dtype.name)) for x in (a, b, y)]
    forms = KERNELS[MatMul].forms(op, types[:2], types[2:])
    for form, kept in zip(forms, room[len(room) - len(forms) :], strict=True):
        for step in form.fill(b, kept):
            step()
    KERNELS[MatMul].bind(op, [a, b], [y], room)()


def near(y, a, b):
    expected = a.astype(np.float64) @ b.astype(np.float64)
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    return bool((np.abs(y - expected) <= 1e-6 * scale).all())


@pytest.mark.parametrize("seed", range(12))
def test_products_of_any_shape_are_those_of_float64_and_nothing_beside_is_written(cpu, ours, seed):
    rng = np.random.default_rng(seed)
    for case in range(6):
        m, k, n = (int(x) for x in rng.choice(SIZES, 3))
        k = int(rng.choice([1030, 2500])) if case == 5 else k
        (a, a_room), (b, b_room) = inside(rng, (m, k), rng.integers(2), rng.integers(4)), inside(rng, (k, n), rng.integers(2), rng.integers(4))
        y, room = inside(rng, (m, n), False, rng.integers(4))
        others = a_room.copy(), b_room.copy()
        product(a, b, y)
        assert near(y, a, b), (m, k, n)
        y[...] = MARK
        assert (room == MARK).all() and all(np.array_equal(*pair) for pair in zip(others, (a_room, b_room), strict=True)), (m, k, n)


@pytest.mark.parametrize("how", ["rows", "columns"])
def test_a_kept_matrix_multiplies_as_it_does_where_it_lies(cpu, ours, how, monkeypatch):
    monkeypatch.setattr(gemm, "keeps", lambda *_: gemm.lanes() > 0)
    monkeypatch.setattr(matmul, "keeps", lambda *_: gemm.lanes() > 0)
    rng = np.random.default_rng(0)
    for m, k, n in ((1, 17, 33), (5, 64, 16), (64, 100, 70), (40, 1100, 130), (300, 300, 400)):
        a, b, y = rng.standard_normal((m, k), np.float32), inside(rng, (k, n), how == "columns", 0)[0], np.empty((m, n), np.float32)
        product(a, b, y, MatMul(kept=how))
        plain = np.empty_like(y)
        product(a, b, plain)
        assert near(y, a, b) and np.array_equal(y, plain), (m, k, n)


BATCHES = [((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (1, 3)), ((4,), ()), ((), (4,)), ((2, 1), (3,)), ((2, 3, 2), (2, 1, 2)), ((1,), (5,))]


@pytest.mark.parametrize(("left", "right"), BATCHES)
def test_products_side_by_side_broadcast_as_numpy_does(cpu, ours, left, right):
    rng = np.random.default_rng(1)
    for m, k, n in ((5, 9, 17), (16, 8, 16), (1, 20, 3), (33, 40, 20)):
        for turn in range(4):
            a, b = inside(rng, (*left, m, k), turn % 2, 1)[0], inside(rng, (*right, k, n), turn // 2, turn)[0]
            shape = (*np.broadcast_shapes(left, right), m, n)
            y, room = inside(rng, shape, False, turn)
            product(a, b, y)
            assert near(y, a, b), (m, k, n, turn)
            y[...] = MARK
            assert (room == MARK).all()


def test_heads_of_attention_are_multiplied_where_they_lie(cpu, ours):
    rng = np.random.default_rng(2)
    q, keys = (rng.standard_normal((2, 11, 3, 8), np.float32).transpose(0, 2, 1, 3) for _ in range(2))
    y = np.empty((2, 3, 11, 11), np.float32)
    product(q, keys.swapaxes(-1, -2), y)
    assert near(y, q, keys.swapaxes(-1, -2))


@pytest.mark.parametrize(("m", "k", "n", "batch"), [(700, 300, 300, ()), (64, 900, 1100, ()), (200, 200, 130, (16,)), (128, 1200, 512, ())])
def test_no_number_of_threads_changes_a_bit(ours, m, k, n, batch):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((*batch, m, k), np.float32), rng.standard_normal((*batch, k, n), np.float32)
    found = []
    for threads in (1, 2, 4):
        before, TEAM.threads = TEAM.threads, threads
        try:
            for right in (b, np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)):
                y = np.empty((*batch, m, n), np.float32)
                product(a, right, y)
                found.append(y)
        finally:
            TEAM.threads = before
    assert near(found[0], a, b) and all(np.array_equal(found[0], y) for y in found) or chosen() is None


def test_what_is_no_number_spreads_as_in_numpy(cpu, ours):
    rng = np.random.default_rng(4)
    for m, k, n in ((5, 9, 20), (30, 64, 48)):
        a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
        a[1, 2], a[3, 4], b[5, 6], b[0, 1], a[2, 0] = np.nan, np.inf, -np.inf, np.nan, 0.0
        b[4, 7] = 0.0  # infinity times nothing
        y = np.empty((m, n), np.float32)
        with np.errstate(all="ignore"):
            product(a, b, y)
            expected = a @ b
        assert np.array_equal(np.isnan(y), np.isnan(expected)) and np.array_equal(np.isposinf(y), np.isposinf(expected))


def test_empty_matrices_and_double_precision_are_left_to_numpy(ours):
    for m, k, n in ((0, 3, 4), (3, 0, 4), (3, 4, 0)):
        y = np.full((m, n), MARK)
        product(np.ones((m, k), np.float32), np.ones((k, n), np.float32), y)
        assert not y.any()
    y = np.empty((3, 3))
    product(np.eye(3), np.full((3, 3), 2.0), y)
    assert (y == 2).all()


def test_the_way_follows_from_shapes_and_the_processor_alone_and_names_its_reason():
    for m in (1, 8, 64, 512):
        for k, n in ((10, 32), (784, 256), (1024, 1024)):
            for turned in (False, True):
                ways = [gemm.way(1, m, k, n, False, turned, (k, k if turned else n, n), False) for _ in range(2)]
                assert ways[0] == ways[1] and ways[0].name and ways[0].why


def test_a_row_is_multiplied_alike_in_every_batch(ours):
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((70, 1500), np.float32), rng.standard_normal((1500, 90), np.float32)
    whole = np.empty((70, 90), np.float32)
    product(x, w, whole)
    for rows in (1, 2, 13, 40) if gemm.lanes() else ():
        y = np.empty((rows, 90), np.float32)
        product(x[:rows], w, y)
        assert np.array_equal(y, whole[:rows])
