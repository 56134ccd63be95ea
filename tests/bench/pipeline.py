"""How long the step waits for its batches on a folder of 5,000 small PNGs: ``python -m tests.bench.pipeline [workers] [rows] [size]``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import nnspec
from nnspec.data import epochs as made
from nnspec.runtime import session

SPEC = """nnspec: 1
data:
  image_folder: {{path: images, size: {size}}}
  split: {{train: 0.9, validation: 0.1}}
{prepare}  augment: [flip: horizontal, crop: {{padding: 2}}, brightness: 0.1{more}]{workers}
layers:
  - conv2d: {{filters: 16, kernel: 3, padding: same, activation: relu}}
  - max_pool2d: 2
  - conv2d: {{filters: 32, kernel: 3, padding: same, activation: relu}}
  - max_pool2d: 2
  - conv2d: {{filters: 32, kernel: 3, padding: same, activation: relu}}
  - global_avg_pool2d
  - dense: 4
loss: cross_entropy
metrics: [accuracy]
optimizer: {{adam: {{learning_rate: 1e-3}}}}
epochs: 2
batch_size: 64
"""
PLANS = (("", ""), ("  prepare: [standardize: image]\n", ""), ("  prepare: [standardize: image]\n", ", rotate: 10, noise: 0.05"))


def draw(folder: Path, rows: int, size: int) -> None:
    """PNGs of four classes, one in each quarter that is bright."""
    rng = np.random.default_rng(0)
    for i in range(rows):
        kind, x = i % 4, rng.integers(0, 160, (size, size, 3), dtype=np.uint8)
        top, left = (kind // 2) * size // 2, (kind % 2) * size // 2
        x[top : top + size // 2, left : left + size // 2] += 80
        (folder / "images" / f"class_{kind}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(x).save(folder / "images" / f"class_{kind}" / f"{i:05}.png")


@contextmanager
def clocks() -> Iterator[dict[str, list[float]]]:
    """The seconds spent in taking batches and in steps, by batch."""
    found: dict[str, list[float]] = {"wait": [], "step": []}
    batches, step = made.Epochs.batches, session.Model.train_step

    def taken(self: Any, epoch: int, start: int = 0) -> Any:
        inside = batches(self, epoch, start)
        try:
            while True:
                began = time.perf_counter()
                try:
                    batch = next(inside)
                except StopIteration:
                    return
                found["wait"].append(time.perf_counter() - began)
                yield batch
        finally:
            inside.close()

    def timed(self: Any, *args: Any, **fields: Any) -> Any:
        began = time.perf_counter()
        result = step(self, *args, **fields)
        found["step"].append(time.perf_counter() - began)
        return result

    made.Epochs.batches, session.Model.train_step = taken, timed  # type: ignore[assignment, method-assign]  # for the clock
    try:
        yield found
    finally:
        made.Epochs.batches, session.Model.train_step = batches, step  # type: ignore[method-assign]


def main(workers: str = "", rows: str = "5000", size: str = "32") -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder, int(rows), int(size))
        print(f"{rows} PNGs of {size} x {size}")
        for count in [workers] if workers else ["0", "1", "2"]:
            for prepare, noise in PLANS:
                threads = f"\n  workers: {count}"
                (folder / "s.yaml").write_text(SPEC.format(size=size, workers=threads, prepare=prepare, more=noise))
                with clocks() as found:
                    began = time.perf_counter()
                    nnspec.compile(nnspec.load(folder / "s.yaml")).fit()
                    whole = time.perf_counter() - began
                half = len(found["wait"]) // 2
                steps = [sum(found["step"][:half]), sum(found["step"][half:])]
                waits = [sum(found["wait"][:half]), sum(found["wait"][half:])]
                shares = ", ".join(f"epoch {i + 1} steps {s:5.2f} s, waited {w:5.2f} s ({100 * w / (s + w):4.1f} %, first batch {f * 1e3:3.0f} ms)"
                                   for i, (s, w, f) in enumerate(zip(steps, waits, (found["wait"][0], found["wait"][half]), strict=True)))  # fmt: skip
                what = ("rotate, noise and " if noise else "") + ("decoded before to standardize" if prepare else "decoded in epoch 1")
                print(f"workers {count}, {what}: {shares}, whole run {whole:.1f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
