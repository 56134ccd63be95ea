"""How far single precision strays from double over a training: ``python -m tests.bench.drift [names] [--steps 200] [--batch 8]``.

The same batches, from the same weights, by the interpreter in double and in single precision and by the compiled step in single. A row tells how
far weights and statistics of both are from the double ones, relative to their norm, and how many times as far the compiled step is as the interpreter.
A jump by orders of magnitude is a unit moved over the edge of its relu, or a pool's maximum to its neighbour; that happens to either now and then.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import nnspec
from nnspec.runtime import bench
from nnspec.runtime.session import Model
from tests.bench.targets import WORKS, ZOO

BATCHES = 4  # that are taken in turns
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Strayed(NamedTuple):
    """After a step: the distance of the interpreter's and of the compiled weights from the double ones."""

    step: int
    interpreted: float
    compiled: float

    @property
    def ratio(self) -> float:
        return self.compiled / self.interpreted if self.interpreted else float("inf") if self.compiled else 1.0


def strayed(path: Any, settings: dict[str, Any], steps: int) -> Iterator[Strayed]:
    """Step by step."""
    kinds = (("interpret", "float64"), ("interpret", "float32"), ("numpy", "float32"))
    double, single, compiled = models = [nnspec.compile(nnspec.load(path, set={**settings, "precision": p}), backend=b) for b, p in kinds]
    start = {key: x.astype(np.float32) for key, x in double.state().items()}
    for m in models:
        m.restore({key: x.astype(m.segments.dtype.numpy) for key, x in start.items()})
    batches = [drawn(double, k) for k in range(BATCHES)]
    for step in range(1, steps + 1):
        for m in models:
            m.train_batch(batches[step % BATCHES])
        wanted = double.state()
        norm = sum(float((x**2).sum()) for x in wanted.values()) ** 0.5
        yield Strayed(step, *(sum(float(((x - wanted[key]) ** 2).sum()) for key, x in m.state().items()) ** 0.5 / norm for m in (single, compiled)))


def drawn(model: Model, number: int) -> dict[str, Any]:
    """A batch of its own."""
    seed, model.seed = model.seed, number
    try:
        return {name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in bench.rows(model, {}).items()}
    finally:
        model.seed = seed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["mlp_sgd", "mlp_adam", "lenet5"], metavar="NAME", help=", ".join(WORKS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    for name in given.names:
        worst = Strayed(0, 1.0, 0.0)
        for row in strayed(ZOO / f"{WORKS[name].spec}.yaml", WORKS[name].settings | {"batch_size": given.batch}, given.steps):
            worst = max(worst, row, key=lambda r: r.ratio)
            if row.step in SHOWN or row.step == given.steps:
                print(f"{name:<15} step {row.step:>4}: interpreter {row.interpreted:.2e}, compiled {row.compiled:.2e}, ratio {row.ratio:.2f}", flush=True)
        print(f"{name:<15} at most {worst.ratio:.2f}, at step {worst.step} (target 3)")


if __name__ == "__main__":
    main()
