"""Threads: what they share is decided by shapes, so that any number of them gives the same bits; how many there are by default."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from threading import Event, current_thread
from time import sleep
from typing import Any

import numpy as np
import pytest

from nnspec.compiler import load, loads
from nnspec.ir.op import Op
from nnspec.ir.types import DType, TensorType
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.pool import AvgPool, AvgPoolGrad, MaxPool
from nnspec.runtime import cores
from nnspec.runtime.session import compile
from nnspec_numpy.kernels.bands import bands
from nnspec_numpy.kernels.filters import filters
from nnspec_numpy.kernels.lanes import lanes
from nnspec_numpy.products import product, tiles
from nnspec_numpy.team import Team
from nnspec_numpy.threads import set_threads
from tests.test_numpy_kernels import bound, check, numbers, type_of

WIDE = """nnspec: 1
inputs: {x: {shape: [512]}}
layers: [dense: {units: 512, activation: relu, repeat: 2}, dense: 10]
loss: cross_entropy
optimizer: {adam: 0.01}
"""


@pytest.fixture(autouse=True)
def one_thread_after() -> Any:
    yield
    set_threads(1)


@pytest.mark.parametrize("shape", [(256, 1024, 1024), (1024, 256, 1024), (50176, 576, 64), (700, 300, 333), (300, 700, 333), (64, 784, 256), (1, 1, 1)])
def test_tiles_cover_the_product_once(shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    rows, columns = tiles(m, k, n)
    assert 1 <= rows <= m and 1 <= columns <= n and (rows == m or columns == n)
    parts = -(-m // rows) * -(-n // columns)
    assert parts <= 4 and (parts == 1) == (m * k * n < 1 << 21)
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, min(k, 8))), rng.standard_normal((min(k, 8), n))
    out = np.full((m, n), np.nan)
    product(a, b, rows, columns, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_team_runs_every_part_once_and_raises_what_one_of_them_raised(threads: int) -> None:
    team = Team()
    team.threads = threads
    done: list[int] = []
    for _ in range(50):
        done.clear()
        team.run([partial(done.append, i) for i in range(7)])
        assert sorted(done) == list(range(7))
    with pytest.raises(ZeroDivisionError):
        team.run([lambda: None, lambda: 1 // 0, lambda: None])
    team.run([partial(done.append, 7), partial(done.append, 8)])
    assert set(done) == set(range(9)), "and goes on"


def test_where_the_system_gives_no_thread_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object) -> None:
        raise RuntimeError("can't start new thread")

    team, done = Team(), list[int]()
    team.threads = 4
    with monkeypatch.context() as patch:
        patch.setattr("nnspec_numpy.team.Thread.start", refused)
        team.run([partial(done.append, i) for i in range(7)])
    assert done == list(range(7)) and team._jobs.empty()
    team.run([partial(done.append, i) for i in range(7)])
    assert sorted(done) == sorted([*range(7)] * 2), "and has threads once there are any"


def test_whoever_interrupts_is_told_when_nobody_writes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    team, ended = Team(), Event()
    team.threads = 2
    entered, main = Event(), current_thread()
    waited = Event.wait

    def interrupted(event: Event, timeout: float | None = None) -> bool:
        if current_thread() is main and not interrupted.once:  # type: ignore[attr-defined]
            interrupted.once = True  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        return waited(event, timeout)

    interrupted.once = False  # type: ignore[attr-defined]

    def part() -> None:
        if current_thread() is main:
            waited(entered)  # the other has one as well
        else:
            entered.set()
            sleep(0.1)
            ended.set()

    team.run([lambda: None] * 2)  # the other is there now
    monkeypatch.setattr(Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        team.run([part, part])
    assert ended.is_set()


def test_a_thread_of_the_team_says_nothing_of_numbers_that_overflow() -> None:
    team = Team()
    team.threads = 2
    x = np.full((64, 64), 1e300)
    with np.errstate(all="ignore"):  # as while a program runs; a warning of the other thread would be an error here
        team.run([partial(np.matmul, x, x)] * 8)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python says that a fork leaves threads behind: that is the question
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes by fork here")
def test_a_forked_process_has_threads_of_its_own() -> None:
    set_threads(2)
    a = np.ones((256, 512), np.float32)
    b, out = np.ones((512, 512), np.float32), np.empty((256, 512), np.float32)
    product(a, b, 256, 256, out)
    child = os.fork()
    if not child:
        product(a, b, 256, 256, out)
        os._exit(0 if (out == 512).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_one_two_and_four_threads_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    batch = {"x": rng.standard_normal((256, 512), np.float32), "target": rng.integers(0, 10, 256)}
    found = []
    for threads in (1, 2, 4):
        model = compile(loads(WIDE), threads=threads)
        losses = [model.train_batch(batch)["loss"] for _ in range(3)]
        found.append((losses, model.state()))
    ready = model.programs.ready("train", model.feeds(batch)[0], 256, False)
    assert ready.program is not None
    source = model.backend.source(ready.program)
    assert "product(" in source or "blocks of" in source, "nothing was shared"
    for losses, state in found[1:]:
        assert losses == found[0][0]
        for key, x in state.items():
            np.testing.assert_array_equal(x, found[0][1][key], err_msg=key)


def test_blas_itself_runs_on_one_thread() -> None:
    controller = pytest.importorskip("threadpoolctl", reason="comes with scikit-learn")
    compile(loads(WIDE), threads=3)
    held = [library["num_threads"] for library in controller.threadpool_info() if library["internal_api"] == "openblas" and "numpy" in library["filepath"]]
    assert set(held) <= {1}


@pytest.mark.parametrize(("quota", "asked", "wanted"), [
    ("max 100000", "", 8), ("250000 100000", "", 2), ("50000 100000", "", 1), ("1600000 100000", "", 8), ("max 100000", "3", 3), ("max 100000", "64", 8),
    ("200000 100000", "4,2", 2), ("200000 100000", "0", 2), ("broken", "", 8)])  # fmt: skip
def test_threads_are_by_default_one_a_core_as_far_as_the_control_group_and_the_environment_allow(
    quota: str, asked: str, wanted: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(cores, "QUOTAS", ((tmp_path / "cpu.max",),))
    monkeypatch.setattr(cores, "allowed", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores.threads() == wanted
    assert compile(loads(WIDE), threads=5).threads == 5 and compile(loads(WIDE + "threads: 6\n")).threads == 6


def test_the_older_control_group_is_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("quota", "150000\n"), ("period", "100000\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "QUOTAS", ((tmp_path / "none",), (tmp_path / "quota", tmp_path / "period")))
    assert cores.quota() == 1.5


STRIDES: Any = ((2, 2), "same", (1, 1), 1)
POOLED: Any = ((3, 2), (2, 2), ((1, 1), (0, 0)))
X, W, G = (5, 7, 6, 4), (3, 3, 4, 8), (5, 4, 3, 8)
IN_LANES: list[tuple[Op, tuple[tuple[int, ...], ...]]] = [
    (Conv(*STRIDES), (X, W)), (Conv((1, 1), ((1, 1), (1, 1)), (1, 1), 1), (X, W)), (Conv((1, 1), "same", (1, 1), 4), (X, (3, 3, 1, 4))),
    (ConvInputGrad(*STRIDES, (7, 6)), (G, W)), (ConvKernelGrad(*STRIDES, (3, 3)), (X, G)), (MaxPool(*POOLED), (X,)), (AvgPool(*POOLED), (X,)),
    (AvgPoolGrad(*POOLED, (7, 6)), ((5, 4, 3, 4),)),
]  # fmt: skip


def right_and_the_same(op: Op, x: list[Any]) -> None:
    """A kernel gives what its reference gives, and the same bits from 1, 2 and 4 threads."""
    found = []
    for threads in (1, 2, 4):
        set_threads(threads)
        check(op, *x)
        run, y, _ = bound(op, *x)
        with np.errstate(all="ignore"):
            run()
        found.append([a.tobytes() for a in y])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize(("op", "shapes"), IN_LANES, ids=lambda value: type(value).__name__ if isinstance(value, Op) else "")
def test_a_kernel_in_lanes_gives_what_its_reference_gives_and_the_same_bits_from_any_number_of_threads(
    op: Op, shapes: tuple[tuple[int, ...], ...], parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnspec_numpy.products.PARTS", ((1, parts),))
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.LEAST", 1)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.KEPT", 1)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.MOST", parts)
    x = [numbers(shape, "float64", i) for i, shape in enumerate(shapes)]
    assert len(lanes(op, [type_of(a) for a in x], op.types(*map(type_of, x)))) == parts
    right_and_the_same(op, x)


@pytest.mark.parametrize(("x", "w", "wanted"), [
    ((64, 32, 32, 64), (3, 3, 64, 64), 2), ((8, 64, 64, 32), (3, 3, 32, 32), 2), ((32, 4, 4, 512), (3, 3, 512, 512), 1), ((64, 28, 28, 1), (5, 5, 1, 6), 2), ((2, 14, 14, 1), (5, 5, 1, 6), 1),
    ((1, 224, 224, 3), (7, 7, 3, 64), 1)])  # fmt: skip
def test_there_are_lanes_where_there_is_work_for_them_and_little_of_it_is_done_twice(x: tuple[int, ...], w: tuple[int, ...], wanted: int) -> None:
    op, types = Conv((1, 1), "same", (1, 1), 1), [TensorType(s, DType.float32) for s in (x, w)]
    bounds = lanes(op, types, op.types(*types))
    assert len(bounds) == wanted
    assert [i for rows in bounds for i in range(rows.start, rows.stop)] == list(range(x[0]))


def test_a_convolutional_network_learns_the_same_bits_from_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnspec_numpy.products.PARTS", ((1 << 14, 4), (1 << 12, 2)))
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.LEAST", 16)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.KEPT", 16)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.MOST", 4)
    text = Path(__file__).parent.parent / "specs" / "zoo" / "unet_small.yaml"
    rng = np.random.default_rng(0)
    batch = {"image": rng.standard_normal((5, 16, 16, 3)), "target": rng.integers(0, 2, (5, 16, 16))}
    model = compile(load(text, set={"vars.width": 4, "inputs.image.shape": [16, 16, 3]}))
    start, found = model.state(), []
    for threads in (1, 2, 4):
        set_threads(threads)
        model.restore(start)
        model.step = 0
        found.append([*(model.train_batch(batch)["loss"] for _ in range(2)), *(x.tobytes() for x in model.state().values())])
    assert found[0] == found[1] == found[2]


ONE = (1, 13, 11, 4)
BANDED: list[tuple[Conv, tuple[int, ...], tuple[int, ...]]] = [
    (Conv((1, 1), "same", (1, 1), 1), ONE, (3, 3, 4, 8)), (Conv((2, 2), "same", (1, 1), 1), ONE, (3, 3, 4, 8)), (Conv((2, 2), ((3, 3), (3, 3)), (1, 1), 1), ONE, (7, 7, 4, 8)),
    (Conv((1, 1), ((4, 4), (4, 4)), (4, 4), 1), ONE, (3, 3, 4, 8)), (Conv((1, 1), ((0, 0), (0, 0)), (1, 1), 1), ONE, (1, 1, 4, 8)),
    (Conv((1, 1), ((3, 0), (0, 1)), (1, 1), 2), ONE, (2, 3, 2, 8)), (Conv((1, 1), "same", (1, 1), 4), ONE, (3, 3, 1, 4)), (Conv((1,), "same", (1,), 1), (1, 40, 3), (5, 3, 16)),
    (Conv((1, 1, 1), "same", (1, 1, 1), 1), (1, 9, 5, 6, 2), (3, 3, 3, 2, 16)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("op", "x", "w"), BANDED)
def test_a_convolution_of_one_row_in_bands_gives_what_its_reference_gives_and_the_same_bits_from_any_number_of_threads(
    op: Conv, x: tuple[int, ...], w: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnspec_numpy.kernels.bands.parts_of", lambda work: 3)
    monkeypatch.setattr("nnspec_numpy.kernels.bands.UNIT", 2)
    monkeypatch.setattr("nnspec_numpy.kernels.bands.UNEVEN", 9)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.LEAST", 1)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.KEPT", 1)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.MOST", 3)
    given = [numbers(x, dtype, 0), numbers(w, dtype, 1)]
    types = [type_of(a) for a in given]
    found = bands(op, types, op.types(*types))
    assert len(found) >= 2 and [i for b in found for i in range(b.target.start, b.target.stop)] == list(range(op.types(*types)[0].shape[1]))
    right_and_the_same(op, given)


@pytest.mark.parametrize(("x", "w", "kept", "wanted"), [
    ((1, 56, 56, 64), (3, 3, 64, 64), True, 2), ((1, 14, 14, 256), (3, 3, 256, 256), True, 2), ((1, 7, 7, 512), (3, 3, 512, 512), True, 0),
    ((1, 14, 14, 256), (3, 3, 256, 256), False, 0), ((1, 8, 8, 16), (3, 3, 16, 16), True, 0), ((2, 56, 56, 64), (3, 3, 64, 64), True, 0)])  # fmt: skip
def test_one_row_is_banded_where_there_is_work_for_threads(x: tuple[int, ...], w: tuple[int, ...], kept: bool, wanted: int) -> None:
    op, types = Conv((1, 1), "same", (1, 1), 1).but(kept=kept), [TensorType(s, DType.float32) for s in (x, w)]
    assert len(bands(op, types, op.types(*types))) == wanted


def test_a_network_answers_for_one_row_alike_in_bands_of_kept_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(__file__).parent.parent / "specs" / "zoo" / "unet_small.yaml"
    model = compile(load(text, set={"vars.width": 16, "inputs.image.shape": [32, 32, 3]}))
    x = np.random.default_rng(0).standard_normal((1, 32, 32, 3)).astype(np.float32)
    whole = model.predict(x, raw=True)
    monkeypatch.setattr("nnspec_numpy.kernels.bands.parts_of", lambda work: 2)
    monkeypatch.setattr("nnspec_numpy.kernels.lanes.KEPT", 1)
    banded, found = compile(model.spec), []
    banded.restore(model.state())
    for threads in (1, 2, 4):
        set_threads(threads)
        found.append(banded.predict(x, raw=True))
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    np.testing.assert_allclose(found[0], whole, rtol=1e-3, atol=1e-5 * float(np.abs(whole).max()))


FILTERED: list[tuple[Conv, tuple[int, ...], tuple[int, ...]]] = [
    (Conv((1, 1), "same", (1, 1), 1), (3, 4, 5, 16), (3, 3, 16, 128)), (Conv((2, 2), "same", (1, 1), 1), (1, 9, 8, 16), (3, 3, 16, 160)),
    (Conv((1, 1), ((0, 0), (0, 0)), (1, 1), 1), (1, 7, 7, 32), (1, 1, 32, 200)), (Conv((2, 2), ((0, 0), (0, 0)), (1, 1), 1), (2, 6, 6, 32), (1, 1, 32, 192)),
    (Conv((1,), "same", (1,), 1), (2, 11, 8), (5, 8, 128)), (Conv((1, 1), ((4, 4), (4, 4)), (4, 4), 1), (1, 8, 7, 8), (3, 3, 8, 130)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "x", "w"), FILTERED)
def test_a_kept_kernel_in_parts_of_its_filters_gives_what_its_reference_gives_and_the_same_bits_from_any_number_of_threads(
    op: Conv, x: tuple[int, ...], w: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnspec_numpy.kernels.filters.parts_of", lambda work: 2)
    op = op.but(kept=True)
    given = [numbers(x, "float32", 0), numbers(w, "float32", 1)]
    types = [type_of(a) for a in given]
    found = filters(op, types, op.types(*types))
    assert len(found) == 2 and [i for s in found for i in range(s.start, s.stop)] == list(range(w[-1])), "all of them once"
    bits = []
    for threads in (1, 2, 4):
        set_threads(threads)
        check(op, *given)
        run, y, _ = bound(op, *given)
        run()
        bits.append([a.tobytes() for a in y])
    assert bits[0] == bits[1] == bits[2]


@pytest.mark.parametrize(("x", "w", "kept", "wanted"), [
    ((1, 7, 7, 512), (3, 3, 512, 512), True, 2), ((8, 7, 7, 512), (1, 1, 512, 2048), True, 0), ((3, 4, 4, 512), (1, 1, 512, 2048), True, 2), ((1, 7, 7, 512), (3, 3, 512, 512), False, 0),
    ((1, 56, 56, 64), (3, 3, 64, 64), True, 0), ((1, 4, 4, 64), (1, 1, 64, 64), True, 0)])  # fmt: skip
def test_filters_are_parted_where_the_kernel_is_kept_and_larger_than_the_images(x: tuple[int, ...], w: tuple[int, ...], kept: bool, wanted: int) -> None:
    op, types = Conv((1, 1), "same", (1, 1), 1).but(kept=kept), [TensorType(s, DType.float32) for s in (x, w)]
    assert len(filters(op, types, op.types(*types))) == wanted
