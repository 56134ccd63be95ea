"""How long the passes take: ``python tests/bench/rewrite.py [values]`` prints seconds for each, on a deep network."""

from __future__ import annotations

import sys
import time

from nnspec.autodiff import gradients
from nnspec.ir.graph import Graph, abstract, origin
from nnspec.ir.types import TensorType
from nnspec.ops.activation import gelu
from nnspec.ops.reduce import mean
from nnspec.passes import PIPELINE
from nnspec.passes.rewrite import rewrite
from nnspec.passes.schedule import schedule


def network(values: int) -> Graph:
    """Dense layers with gelu and their gradients, until there are about so many values."""
    y = abstract(TensorType((8, 16)), "x")
    weights = []
    for i in range(values // 36):
        w, b = abstract(TensorType((16, 16)), f"w{i}"), abstract(TensorType((16,)), f"b{i}")
        weights += [w, b]
        with origin(f"dense_{i}"):
            y = gelu(y @ w + b)
    loss = mean(y * y)
    found = gradients(loss, weights)
    return Graph({"loss": loss, **{str(i): g for i, g in enumerate(found) if g is not None}})


def main() -> None:
    graph = PIPELINE[0](network(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000))
    passes = [*PIPELINE[1:], schedule, lambda g: rewrite(g, lambda value, uses: None)]
    for step in passes:
        size = len(graph.calls)
        start = time.perf_counter()
        result = step(graph)
        seconds = time.perf_counter() - start
        name = step.__name__ if step.__name__ != "<lambda>" else "a rule that never fires"
        print(f"{name:<24} {size:>7} calls  {seconds:6.3f} s")
        graph = result if isinstance(result, Graph) else graph


if __name__ == "__main__":
    main()
