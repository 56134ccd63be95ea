"""Times matrix products over a grid of shapes beside OpenBLAS and PyTorch: ``python -m tests.bench.products [--core NAME] [--all]``.

For each shape and layout (NN; NT, the right side by columns; TN, the left one; KEPT, the right side a weight that stands still) GFLOP/s of what the
plan chooses, of our kernel, of OpenBLAS (with ``--core Haswell`` as it computes for that processor) and of PyTorch, on one thread, best of turns;
where the choice is wrong by more than a tenth a line says so. The end sums up: by class of shape the geometric mean of the choice over each other side.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from math import exp, log
from time import thread_time

if "--core" in sys.argv:
    os.environ["OPENBLAS_CORETYPE"] = sys.argv[sys.argv.index("--core") + 1]
else:
    os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np
import torch

import nnspec.ops  # noqa: F401  # registers the ops
from nnspec.codegen.views import Layout
from nnspec.ir.op import Array
from nnspec.ir.types import DType, TensorType
from nnspec.ops.matmul import MatMul
from nnspec_numpy.kernels import KERNELS, gemm, matmul
from nnspec_numpy.memory import zeroed
from nnspec_numpy.threads import core
from tests.bench.turns import Call

ROWS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SIZES = (10, 32, 64, 128, 256, 512, 784, 1024, 4096)
FEW = ((1, 8, 64, 256), (10, 64, 256, 784, 1024))
LAYOUTS = ("NN", "NT", "TN", "KEPT")
WRONG = 1.1


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    print(f"{core()}; GFLOP/s: chosen, ours, OpenBLAS, PyTorch")
    for m, k, n in shapes(given):
        for layout in given.layouts:
            runs, way = sides(m, k, n, layout)
            speed = {name: 2e-9 * m * k * n / t for name, t in timed(runs, given.seconds).items()}
            if "chosen" not in speed:
                speed["chosen"] = speed["OpenBLAS" if not way.right else "ours"]
            best = max(speed.get("ours", 0.0), speed["OpenBLAS"])
            wrong = "   WRONG" if best > WRONG * speed["chosen"] else ""
            print(f"{m:5} {k:5} {n:5} {layout:4} {speed['chosen']:6.0f} {speed.get('ours', 0.0):6.0f} {speed['OpenBLAS']:6.0f} {speed['torch']:6.0f}"
                  f"   {way}{wrong}", flush=True)
            for other in ("OpenBLAS", "torch"):
                sums[f"{layout} {'one row' if m == 1 else 'few rows' if m < 64 else 'many rows'}", other].append(speed["chosen"] / speed[other])
    for (name, other), ratios in sorted(sums.items()):
        print(f"{name:<16} over {other:<8}  mean {exp(sum(map(log, ratios)) / len(ratios)):5.2f}  least {min(ratios):5.2f}  of {len(ratios)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.products", description=__doc__.splitlines()[0])
    parser.add_argument("--core", help="the processor that OpenBLAS computes for")
    parser.add_argument("--all", action="store_true", help="the whole grid")
    parser.add_argument("--layouts", nargs="+", default=list(LAYOUTS), choices=LAYOUTS)
    parser.add_argument("--seconds", type=float, default=0.002, help="of a turn, about")
    return parser.parse_args()


def shapes(given: argparse.Namespace) -> Iterator[tuple[int, int, int]]:
    rows, sizes = (ROWS, SIZES) if given.all else FEW
    return ((m, k, n) for m in rows for k in sizes for n in sizes)


def normal(*shape: int) -> Array:
    x = zeroed(4 * int(np.prod(shape))).view(np.float32).reshape(shape)
    x[...] = np.random.default_rng(0).standard_normal(shape, np.float32)
    return x


def sides(m: int, k: int, n: int, layout: str) -> tuple[dict[str, Call], gemm.Way]:
    """The calls, of which ours is what the plan chooses where it chooses that."""
    a = normal(k, m).T if layout == "TN" else normal(m, k)
    b = normal(n, k).T if layout == "NT" else normal(k, n)
    y = normal(m, n)
    op = MatMul(kept="rows") if layout == "KEPT" else MatMul()
    out, ta, tb = torch.from_numpy(y), torch.from_numpy(a), torch.from_numpy(b)
    runs: dict[str, Call] = {"OpenBLAS": partial(np.matmul, a, b, y), "torch": partial(torch.mm, ta, tb, out=out)}
    way = chosen(op, a, b, y)
    library, gemm._library = gemm._library, lambda *_: float("inf")
    try:
        if gemm.lanes():
            runs["ours"] = bound(op, a, b, y)
    finally:
        gemm._library = library
    return runs, way


def layouts(*arrays: Array) -> list[Layout | None]:
    return [Layout(0, a.shape, tuple(s // 4 for s in a.strides)) for a in arrays]


def chosen(op: MatMul, *arrays: Array) -> gemm.Way:
    return matmul.chosen(op, DType.float32, [a.shape for a in arrays], [x.strides for x in layouts(*arrays) if x], True)[0]


def bound(op: MatMul, *arrays: Array) -> Call:
    types = [TensorType(tuple(a.shape), DType.float32) for a in arrays]
    space = [normal(*t.shape) for t in matmul.room(op, types[:2], types[2:], layouts(*arrays))]
    for form in KERNELS[MatMul].forms(op, types[:2], types[2:]):
        kept = normal(*form.type.shape)
        for step in form.fill(arrays[1], kept):
            step()
        space.append(kept)
    return KERNELS[MatMul].bind(op, arrays[:2], arrays[2:], space)


def timed(runs: dict[str, Call], seconds: float) -> dict[str, float]:
    """Seconds of the thread's own time a call of each: the least of turns."""
    found = dict.fromkeys(runs, 1e9)
    times = {}
    for name, run in runs.items():
        run()
        start = thread_time()
        run()
        times[name] = max(1, int(seconds / (thread_time() - start)))
    for _ in range(5):
        for name, run in runs.items():
            start = thread_time()
            for _ in range(times[name]):
                run()
            found[name] = min(found[name], (thread_time() - start) / times[name])
    return found


if __name__ == "__main__":
    main()
