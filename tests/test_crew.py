"""Compiled calls in turn and shared among threads: each once, alike on any number of threads, and nobody at work when there is nothing to do."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from time import process_time, sleep

import numpy as np
import pytest

from nnspec.ir.op import Array
from nnspec_numpy import crew
from nnspec_numpy.kernels import matmul
from nnspec_numpy.kernels.gemm import lanes
from nnspec_numpy.kernels.kernel import sequence, together
from nnspec_numpy.llvm.call import Call
from nnspec_numpy.threads import set_threads

pytestmark = [pytest.mark.skipif(not lanes(), reason="no products of ours for vectors this short"), pytest.mark.skipif(sys.platform != "linux", reason="helpers of compiled code sleep as on Linux")]


@pytest.fixture(autouse=True)
def one_thread_after() -> object:
    yield
    set_threads(1)
    crew.ready()


def product(m: int, seed: int = 0, k: int = 64, n: int = 64) -> tuple[crew.Step, Array, Array]:
    """A product as a compiled call, what it writes, and what that ought to be."""
    rng = np.random.default_rng(seed)
    a, b, y = rng.standard_normal((m, k)).astype(np.float32), rng.standard_normal((k, n)).astype(np.float32), np.zeros((m, n), np.float32)
    run = matmul.multiplied(a, b, y)
    assert isinstance(run, Call)
    return run, y, (a.astype(np.float64) @ b).astype(np.float32)


def helpers(count: int) -> None:
    set_threads(count + 1)
    crew.ready()


def begun() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("nnspec-helper-")]


@pytest.mark.parametrize("threads", [1, 2, 4, 9])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 40])
def test_every_part_is_run_once_by_any_number_of_threads(threads: int, parts: int) -> None:
    found = [product(8 + i, i) for i in range(parts)]
    run = together([r for r, _, _ in found])
    helpers(threads - 1)
    for _ in range(30):
        for _, y, _ in found:
            y.fill(np.nan)
        run()
        for _, y, wanted in found:
            np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


def counted() -> tuple[crew.Step, Array]:
    """A compiled call that adds one to what it looks at: a gradient of a kernel, which is added to what is there."""
    from nnspec_numpy.kernels import direct

    x, total = np.ones((1, 1, 16), np.float32), np.zeros((1, 16, 16), np.float32)
    return direct.products("kernel_gradient", x, np.ones((1, 1, 16), np.float32), total), total


def test_no_part_is_run_twice_or_left_out_in_many_short_jobs() -> None:
    parts = [counted() for _ in range(3)]
    run = together([r for r, _ in parts])
    helpers(3)
    for _ in range(20_000):
        run()
    assert all((total == 20_000).all() for _, total in parts)


def test_many_threads_may_share_parts_at_once_and_within_parts() -> None:
    """Who finds the crew at work does all of his parts himself."""
    helpers(2)
    jobs = []
    for _ in range(4):
        parts = [counted() for _ in range(4)]
        inner = [together([r for r, _ in parts[i : i + 2]]) for i in (0, 2)]
        jobs.append((together(inner), [t for _, t in parts]))

    def work(job: int) -> None:
        for _ in range(3000):
            jobs[job][0]()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert all((t == 3000).all() for _, totals in jobs for t in totals)


def test_compiled_steps_that_follow_one_another_are_one_call() -> None:
    order: list[int] = []
    (one, y, wanted), (two, _, _), (three, _, _) = product(4), product(5), product(6)
    steps = crew.joined([one, two, lambda: order.append(int(np.isfinite(y).all())), three])
    assert len(steps) == 3 and isinstance(steps[0], Call) and steps[2] is three
    y.fill(np.nan)
    sequence([one, two, lambda: order.append(int(np.isfinite(y).all())), three])()
    assert order == [1]
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)


def test_helpers_are_as_many_as_are_wanted_and_go_when_fewer_are() -> None:
    together([product(4)[0], product(4)[0]])
    for count in (3, 1, 4, 0):
        helpers(count)
        assert len(begun()) == count


def test_helpers_sleep_when_there_is_nothing_to_do() -> None:
    run = together([product(64)[0], product(64)[0]])
    helpers(3)
    run()
    sleep(0.05)
    before = process_time()
    sleep(0.4)
    assert process_time() - before < 0.05


def test_where_the_system_gives_no_thread_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object) -> None:
        raise RuntimeError("can't start new thread")

    (one, y, wanted), (two, _, _) = product(16), product(16)
    run = together([one, two])
    helpers(0)
    with monkeypatch.context() as patch:
        patch.setattr("nnspec_numpy.crew.Thread.start", refused)
        helpers(3)
        run()
    assert not begun()
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    helpers(2)
    assert len(begun()) == 2, "and has threads once there are any"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python says that a fork leaves threads behind: that is the question
def test_a_forked_process_has_helpers_of_its_own_also_where_the_crew_was_at_work() -> None:
    parts = [product(2048, i, 256, 256) for i in range(4)]
    run = together([r for r, _, _ in parts])
    helpers(2)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            busy = pool.submit(run)  # its thread is not in the child
            child = os.fork()
            if not child:
                crew.ready()
                fine = len(begun()) == 2
                for _, y, _ in parts:
                    y.fill(0)
                run()
                os._exit(0 if fine and all(np.allclose(y, wanted, rtol=1e-3, atol=1e-3) for _, y, wanted in parts) else 1)
            busy.result()
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


ENDS = """
    import os, sys, threading
    import numpy as np
    from nnspec_numpy import crew
    from nnspec_numpy.kernels import matmul
    from nnspec_numpy.kernels.kernel import together
    from nnspec_numpy.threads import set_threads
    a = np.ones((512, 512), np.float32)
    run = together([matmul.multiplied(a, a, np.empty_like(a)) for _ in range(4)])
    set_threads(4)
    crew.ready()
    run()
    {end}
"""


@pytest.mark.parametrize("end", [
    "pass", "sys.exit(0)", "threading.Thread(target=lambda: [run() for _ in range(10**9)], daemon=True).start()",
    "import atexit; atexit.register(lambda: (crew.ready(), run()))", "threading.Thread(target=lambda: [run() for _ in range(50)]).start()"])  # fmt: skip
def test_a_process_ends_while_helpers_work_spin_or_sleep(end: str) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(ENDS).format(end=end)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_after_a_helper_has_stood_still_the_caller_does_without_for_a_while() -> None:
    """As where somebody else has its core; the clock here says that this is not over."""
    own, (one, y, wanted), (two, _, _) = crew.crew(), product(16), product(16)
    assert own is not None
    run = together([one, two])
    helpers(1)
    words, clock = own._words, 1 << 62
    words["until"][0], words["ticket"][0] = clock, 0
    try:
        run()
    finally:
        words["until"][0] = 0
    assert words["ticket"][0] == 0 and words["claimed"][0] == 0, "nothing was posted"
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    run()
    assert words["ticket"][0] != 0
