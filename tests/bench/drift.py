"""How far single precision strays from double over a training: ``python -m tests.bench.drift [names or specs] [--orders 4] [--fresh]``.

The same batches, from the same weights, by the interpreter in double and in single precision and by the compiled step in single. A row tells how
far weights, optimizer state and statistics of both are from the double ones, relative to their norm, and how many times as far the compiled step is
as the interpreter. A jump by orders of magnitude is a unit moved over the edge of its relu, or a pool's maximum to its neighbour: a rounding decides
when, and from then on two trainings part by themselves. Two ways to see more than that:

``--orders``: as many interpreters whose sums add their terms in another order stand beside them (``orders.py``). Where the compiled step strays no
further than one of these, its arithmetic is as good as a library's; ratios of both are told.
``--fresh``: every step begins with the double's state, so that a row tells of the roundings of one step alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import nnspec
from nnspec.ir.op import Array
from nnspec.runtime import bench
from nnspec.runtime.session import Model
from tests.bench.orders import reordered
from tests.bench.targets import WORKS, ZOO

BATCHES = 4  # that are taken in turns
SHOWN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
Batch = dict[str, Any]


class Strayed(NamedTuple):
    """After a step: the distance from the double ones of the interpreter's, of the compiled weights, and of interpreters that add in other orders."""

    step: int
    interpreted: float
    compiled: float
    orders: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        return times(self.compiled, self.interpreted)

    @property
    def others(self) -> tuple[float, ...]:
        """How many times as far as the interpreter its other orders are."""
        return tuple(times(x, self.interpreted) for x in self.orders)

    @property
    def least(self) -> float:
        """How many times as far as the farthest of all interpreters the compiled step is."""
        return times(self.compiled, max(self.interpreted, *self.orders)) if self.orders else self.ratio


def times(a: float, b: float) -> float:
    return a / b if b else float("inf") if a else 1.0


def strayed(path: Any, settings: Mapping[str, Any], steps: int, orders: int = 0, fresh: bool = False) -> Iterator[Strayed]:
    """Step by step."""
    double, *models = (made(path, settings, p, b) for b, p in (("interpret", "float64"), *[("interpret", "float32")] * (1 + orders), ("numpy", "float32")))
    batches = [drawn(double, k) for k in range(BATCHES)]
    start(double, {key: x.astype(np.float32) for key, x in double.state().items()})
    for m in models:
        start(m, double.state())
    for step in range(1, steps + 1):
        if fresh and step > 1:
            start(double, {key: x.astype(np.float32) for key, x in double.state().items()})
            for m in models:
                start(m, double.state())
        batch = batches[step % BATCHES]
        for seed, m in enumerate([double, *models]):
            with reordered(max(seed - 1, 0) if m.interpreted else 0):
                step_of(m, batch)
        interpreted, *others, compiled = distances(double.state(), [m.state() for m in models])
        yield Strayed(step, interpreted, compiled, tuple(others))


def made(path: Any, settings: Mapping[str, Any], precision: str, backend: str) -> Model:
    return nnspec.compile(nnspec.load(path, set={**settings, "precision": precision}), backend=backend)


def start(model: Model, state: Mapping[str, Array]) -> None:
    model.restore({key: x.astype(model.segments.dtype.numpy) if x.dtype.kind == "f" else x for key, x in state.items()})


def step_of(model: Model, batch: Batch) -> None:
    """On arrays as they come from the spec's data, in the model's precision."""
    arrays = {name: x.astype(model.segments.dtype.numpy) if x.dtype.kind == "f" else x for name, x in batch.items()}
    model.train_step(arrays, model.rate(model.step), len(next(iter(arrays.values()))))


def distances(wanted: Mapping[str, Array], states: list[dict[str, Array]]) -> list[float]:
    norm = sum(float((x.astype(np.float64) ** 2).sum()) for x in wanted.values()) ** 0.5
    return [sum(float(((x - wanted[key]) ** 2).sum()) for key, x in s.items()) ** 0.5 / norm for s in states]


def drawn(model: Model, number: int) -> Batch:
    """A batch of its own, of the spec's data where it has some, prepared already."""
    seed, model.seed = model.seed, number
    try:
        return {name: x.astype(np.float32) if x.dtype.kind == "f" else x for name, x in bench.rows(model, {}).items()}
    finally:
        model.seed, model.preparation = seed, None


def told(name: str, row: Strayed) -> str:
    others = f", other orders {min(row.others):.3g} to {max(row.others):.3g}" if row.orders else ""
    return f"{name:<15} step {row.step:>4}: interpreter {row.interpreted:.2e}, compiled {row.compiled:.2e}, ratio {row.ratio:.3g}{others}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.drift", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["mlp_sgd", "mlp_adam", "lenet5"], metavar="NAME", help="files of specs, or " + ", ".join(WORKS))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--orders", type=int, default=0, help="interpreters that add in other orders, beside the usual one")
    parser.add_argument("--fresh", action="store_true", help="begin every step with the double's state")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as of nnspec run, for all")
    given = parser.parse_args()
    own = dict(entry.split("=", 1) for entry in given.set)
    for name in given.names:
        work = WORKS.get(name)
        path, settings = (ZOO / f"{work.spec}.yaml", work.settings) if work else (Path(name), {})
        settings = {**settings, "batch_size": given.batch, **own}
        rows = []
        for row in strayed(path, settings, given.steps, given.orders, given.fresh):
            rows.append(row)
            if row.step in SHOWN or row.step == given.steps:
                print(told(name, row), flush=True)
        worst = max(rows, key=lambda r: r.ratio)
        beside = f"; other orders at most {', '.join(f'{max(x):.3g}' for x in zip(*(r.others for r in rows), strict=True))}" if given.orders else ""
        print(f"{name:<15} at most {worst.ratio:.3g}, at step {worst.step} (target 3){beside}")


if __name__ == "__main__":
    main()
