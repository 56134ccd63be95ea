"""Networks of 500 layers with mistakes in them, for ``tests.bench.cold``: written out, nested, in branches, by repeat; early, late and many."""

from __future__ import annotations

import random
from collections.abc import Sequence

HEAD = ["nnspec: 1", "name: big", "inputs: {image: {shape: [32, 32, 16]}}"]
TAIL = ["  - global_avg_pool2d", "  - dense: 10", "loss: cross_entropy", "optimizer: {adam: {learning_rate: 1e-3}}"]
BLOCKS = [
    "blocks:", "  unit:", "    args: {filters: required}", "    layers:",
    "      - conv2d: {filters: $filters, kernel: 3, padding: same, bias: false}", "      - batch_norm", "      - relu",
    "  res:", "    args: {filters: required}", "    layers:", "      - residual:",
    "          layers: [unit: {filters: $filters}, unit: {filters: $(2 * filters // 2)}]",
]  # fmt: skip
PATH = "- conv2d: {filters: 8, kernel: 3, padding: same}\n          - batch_norm\n          - relu"


def flat(wrong: str = "", numbers: Sequence[int] = ()) -> list[str]:
    """500 layers written out, some of them wrong."""
    rng = random.Random(0)
    lines = [*HEAD, "layers:"]
    for n in range(500):
        right = (f"conv2d: {{filters: 16, kernel: 3, padding: same, name: c{n}}}", "batch_norm", "relu")[n % 3]
        word = "".join(rng.sample("abcdefghijklmnop", 8))
        lines.append("  - " + (wrong.format(n=n, word=word) if n in numbers else right))
    return [*lines, *TAIL]


def mistakes() -> dict[str, str]:
    """Specs by what is wrong with them."""
    every = range(2, 500, 3)
    found = {
        "right": flat(),
        "a shape, early": flat("conv2d: {{filters: 3, kernel: 99}}", [1]),
        "a shape, late": flat("matmul: {{from: [c3, image]}}", [499]),
        "a name, late": flat("rellu", [497]),
        "167 equal names": flat("rellu", every),
        "167 names": flat("{word}{n}: 3", every),
        "167 keys": flat("dropout: {{{word}: 3}}", every),
        "167 names in 'from'": flat("add: {{from: [c{n}, kc{n}]}}", every),
        "335 words of PyTorch": [line.replace("filters", "out_channels").replace("kernel", "kernel_size") for line in flat()],
        "nested blocks": [*HEAD, *BLOCKS, "layers:", *["  - res: {filters: 16}"] * 83, "  - dense: {unts: 3}"],
        "repeat": [*HEAD, *BLOCKS, "layers:", "  - res: {filters: 16, repeat: 60}", "  - res: {filters: 17, repeat: 23}"],
        "branches": [*HEAD, "layers:", *[f"  - branches:\n      merge: concat\n      paths:\n        - {PATH}\n        - {PATH}"] * 84,
                     "  - conv2d: {filters: 8, kernel: 99}"],
        "a torn formula": flat("dense: {{units: $(max(8, 4)), bias: false}}", [400]),
    }  # fmt: skip
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}
