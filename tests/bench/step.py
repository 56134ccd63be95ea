"""Times training steps against PyTorch, both on one thread, in the same run: ``python tests/bench/step.py``.

Prints microseconds a step for each, the least of several rounds taken in turns, and their ratio: below 1 is faster.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # read when NumPy is loaded
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backends")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from nnspec.ir.graph import Graph  # noqa: E402
from nnspec.passes import run_pipeline  # noqa: E402
from nnspec_numpy import BACKEND  # noqa: E402
from tests.program_graphs import adam, fed, lenet, mlp, sgd  # noqa: E402

ROUNDS = 15


def ours(graph: Graph) -> Callable[[], object]:
    graph = run_pipeline(graph, BACKEND.claims)
    program = BACKEND.plan(graph, "benchmark step")
    memory = BACKEND.memory({label: a.type for label, a in program.state.items()})
    run = BACKEND.bind(program, memory)
    for label, x in fed(graph).items():
        if label in run.inputs:
            run.inputs[label][...] = x
    r = np.random.default_rng(0)
    memory.write("parameters", r.normal(0, 0.05, program.state["parameters"].shape).astype(np.float32))
    run.inputs["learning_rate"][...] = 1e-3
    return run.run


def theirs(net: torch.nn.Module, shape: Sequence[int], optimizer: str) -> Callable[[], object]:
    step = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](net.parameters(), lr=1e-3)
    x, t = torch.randn(*shape), torch.zeros(shape[0], dtype=torch.int64)

    def run() -> None:
        step.zero_grad()
        torch.nn.functional.cross_entropy(net(x), t).backward()
        step.step()

    return run


def torch_mlp(sizes: Sequence[int]) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for a, b in zip(sizes, sizes[1:], strict=False):
        layers += [torch.nn.Linear(a, b), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def torch_lenet(side: int) -> torch.nn.Module:
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear((side // 4) ** 2 * 8, 16), nn.ReLU(),
                         nn.Linear(16, 5, bias=False))


def least(runs: Sequence[Callable[[], object]], times: int) -> list[float]:
    """The shortest mean time of ``times`` steps, for each run, in microseconds."""
    best = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for i, run in enumerate(runs):
            start = perf_counter()
            for _ in range(times):
                run()
            best[i] = min(best[i], (perf_counter() - start) / times * 1e6)
    return best


def main() -> None:
    torch.set_num_threads(1)
    sizes = (784, 256, 128, 10)
    cases = {f"MLP 784-256-128-10, batch 64, {name}": (ours(mlp(sizes, 64, optimizer=move)),
                                                       theirs(torch_mlp(sizes), (64, 784), name))
             for name, move in (("sgd", sgd), ("adam", adam))}
    try:
        cases["LeNet 28x28, batch 64, adam"] = (ours(lenet(64, 28)), theirs(torch_lenet(28), (64, 1, 28, 28), "adam"))
    except NotImplementedError as missing:
        print(missing)
    for name, runs in cases.items():
        mine, other = least(runs, 20)
        print(f"{name:<36} {mine:8.0f} us  torch {other:8.0f} us  ratio {mine / other:.2f}")


if __name__ == "__main__":
    main()
