"""What a training step costs within a budget of memory, in time and in bytes that the process holds: ``python -m tests.bench.budget``.

Each work of the zoo with no ``memory:`` and with shares of what its plan then takes (a share that cannot be reached becomes the least
that can). Steps are timed in turns in one process, peaks are those of a process each, beside what it holds before the model is made.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.sides import ours
from tests.bench.targets import WORKS, Work
from tests.bench.turns import Call, environment, medians, pin
from tests.bench.works import peak

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("vgg_small", "resnet18_cifar", "unet_small", "mobilenet_v2")


def main() -> None:
    given = arguments()
    if given.child:
        print(json.dumps(child(given)))
        return
    for name in given.names or NAMES:
        free = plan(WORKS[name], None)
        budgets = [plan(WORKS[name], int(share * free)) for share in given.shares]
        every = list(dict.fromkeys((free, *budgets)))
        times = called(given, name, "times", every)
        print(f"{name}, a training step of {WORKS[name].batch} rows on one thread")
        for budget, seconds in zip(every, times, strict=True):
            (held,) = called(given, name, "peak", [budget])
            said = "no budget" if budget == free else f"{100 * budget / free:.0f} %"
            print(f"   {said:<10} plan {budget / 1e6:7.1f} MB   process {held / 1e6:7.1f} MB   {1e3 * seconds:7.1f} ms   {seconds / times[0]:.3f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.budget", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*WORKS, []], metavar="NAME", help=", ".join(WORKS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.85, 0.7, 0.0], help="of what the plan takes without a budget")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn, about")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def called(given: argparse.Namespace, name: str, what: str, budgets: list[int]) -> list[float]:
    """What a process of its own answers."""
    command = [sys.executable, "-m", "tests.bench.budget", name, "--repeats", str(given.repeats), "--seconds", str(given.seconds),
               "--child", what, *map(str, budgets)]  # fmt: skip
    result: list[float] = json.loads(subprocess.run(command, cwd=ROOT, env=environment(1), check=True, capture_output=True, text=True).stdout)
    return result


def child(given: argparse.Namespace) -> list[float]:
    pin(1)
    (name,), (what, *budgets) = given.names, given.child
    before = peak(lambda: None)
    runs = {budget: step(WORKS[name], int(budget)) for budget in budgets}
    if what == "peak":
        return [peak(run) - before for run in runs.values()]
    return list(medians(runs, given.repeats, given.seconds).values())


def step(work: Work, budget: int) -> Call:
    """A training step within so many bytes."""
    return ours("train", Within(work, budget), 1)


class Within(Work):
    """A work with a budget."""

    def __init__(self, work: Work, budget: int | None) -> None:
        super().__init__(work.spec, work.batch, work.optimizer, work.train, work.infer, work.vars)
        object.__setattr__(self, "budget", budget)

    @property
    def settings(self) -> dict[str, Any]:
        own: int | None = vars(self)["budget"]
        return {**super().settings, **({} if own is None else {"memory": own})}


def plan(work: Work, budget: int | None) -> int:
    """What the plan of a step takes within a budget, or at least where it cannot keep to it."""
    import nnspec
    from nnspec.cli.traced import kept, passed, trace
    from nnspec.codegen.backend import load_backend
    from nnspec.errors import ResourceError

    settings, device = Within(work, None if budget is None else max(budget, 1)).settings, load_backend("numpy")
    spec = nnspec.load(ROOT / "specs" / "zoo" / f"{work.spec}.yaml", set=settings)
    try:
        return kept(spec, list(passed(trace(spec, work.batch, {}), device)), device).program.peak
    except ResourceError as e:
        return int(re.findall(r"([\d,]+) bytes at best", str(e))[0].replace(",", ""))


if __name__ == "__main__":
    main()
