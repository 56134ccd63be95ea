"""From a cold process, as a user feels it: ``python -m tests.bench.cold [--repeats N] [--threads N]``.

Wall time and peak memory of ``nnspec run`` on the digits (digits.yaml) beside the same in a PyTorch script (digits.py), in turns; from the start
of a process to the end of the first training step of LeNet-5 and of ResNet-18, with programs and object code on disk and never seen; of
commands that train nothing; and of ``nnspec check`` on networks of 500 layers with mistakes in them, and on large networks of the zoo. Byte code is on disk for all, as where a package is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.bench.mistakes import mistakes
from tests.bench.turns import environment, pin

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
DIGITS = ROOT / "nnspec" / "data" / "shipped" / "digits.npz"
FIRST = """
import numpy as np, nnspec
model = nnspec.compile(nnspec.load("specs/zoo/{spec}.yaml"))
model.train_batch({{"image": np.zeros({shape}, np.float32), "target": np.zeros({shape}[0], int)}})
"""
TWIN = """
import torch
from tests.bench.twins import {spec}
net = {spec}()
step = torch.optim.{optimizer}
torch.nn.functional.cross_entropy(net(torch.zeros({shape}).permute(0, 3, 1, 2)), torch.zeros({shape}[0], dtype=torch.int64)).backward()
step.step()
"""
WORKS = (
    {"spec": "lenet5", "shape": (64, 28, 28, 1), "optimizer": "Adam(net.parameters(), 1e-3)", "target": "0.7 s cached, 3 s never seen"},
    {"spec": "resnet18_cifar", "shape": (32, 32, 32, 3), "optimizer": "SGD(net.parameters(), 0.1, momentum=0.9)", "target": "none"},
)
COMMANDS = {"--help": ["--help"], **{what: [what, "specs/zoo/lenet5.yaml"] for what in ("check", "summary", "graph", "plan")}}
LARGE = {
    "NASNet large": ["nasnet.yaml", "filters=168", "cells=6", "stem=96", "side=331", "behind=before"],
    "InceptionResNetV2": ["inception_resnet_v2.yaml"],
    "EfficientNet B7": ["efficientnet.yaml", "variant=7"],
}
Took = tuple[float, float]  # seconds, and megabytes at the peak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cold", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of each, pinned to as many cores; without it what each takes by itself")
    parser.add_argument("--check", action="store_true", help="nnspec check alone")
    given = parser.parse_args()
    if given.threads:
        pin(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checks(folder, given.repeats, given.threads)
        if given.check:
            return
        runs = {"nnspec run digits.yaml": ours(folder, given.threads), "python digits.py (PyTorch)": [sys.executable, str(HERE / "digits.py"), str(DIGITS)]}
        show("20 epochs of a convolutional network on the digits", runs, folder, given.repeats, given.threads, "at most 0.4 of the time, 0.5 of the memory")
        for work in WORKS:
            ways = {"nnspec, cached": FIRST, "nnspec, never seen": FIRST, "PyTorch": TWIN}
            first = {way: [sys.executable, "-c", code.format(**work)] for way, code in ways.items()}
            show(f"from nothing to the end of the first step of {work['spec']}", first, folder, given.repeats, given.threads, str(work["target"]))
        commands = {f"nnspec {name}": [sys.executable, "-m", "nnspec", *words] for name, words in COMMANDS.items()}
        show("commands, LeNet-5", commands, folder, given.repeats, given.threads, "none")


def checks(folder: Path, repeats: int, threads: int | None) -> None:
    """``nnspec check`` as a user calls it, with the start of the interpreter."""
    check = [sys.executable, "-m", "nnspec", "check"]
    specs: dict[str, list[str]] = {}
    for name, text in mistakes().items():
        path = folder / f"{name}.yaml"
        path.write_text(text)
        specs[name] = [*check, str(path)]
    show("nnspec check, 500 layers", specs, folder, repeats, threads, "1 s")
    zoo = {name: [*check, f"specs/zoo/{file}", *(word for v in variables for word in ("--set", f"vars.{v}"))] for name, (file, *variables) in LARGE.items()}
    show("nnspec check, the zoo", zoo, folder, repeats, threads, "3 s")


def ours(folder: Path, threads: int | None) -> list[str]:
    out = ["--out", str(folder / "run"), *(["--threads", str(threads)] if threads else [])]
    return [sys.executable, "-m", "nnspec", "run", str(HERE / "digits.yaml"), *out]


def show(title: str, runs: dict[str, list[str]], folder: Path, repeats: int, threads: int | None, target: str) -> None:
    found: dict[str, list[Took]] = {name: [] for name in runs}
    for turn in range(repeats + 1):  # the first one fills caches, and is not counted
        for name, command in runs.items():
            took = once(command, folder, threads, fresh="never seen" in name)
            if turn:
                found[name].append(took)
    print(f"{title} (target: {target})")
    last = [median(column) for column in zip(*list(found.values())[-1], strict=True)]
    for name, each in found.items():
        seconds, megabytes = (median(column) for column in zip(*each, strict=True))
        beside = f"   {seconds / last[0]:.2f} of the time, {megabytes / last[1]:.2f} of the memory" if "PyTorch" in list(runs)[-1] else ""
        print(f"   {name:<28} {seconds:6.2f} s, at best {min(each)[0]:.2f} {megabytes:6.0f} MB{beside}", flush=True)


def once(command: Sequence[str], folder: Path, threads: int | None, fresh: bool) -> Took:
    """One cold process."""
    env = {**environment(threads), "PYTHONPYCACHEPREFIX": str(folder / "code"), "NNSPEC_CACHE": tempfile.mkdtemp(dir=folder) if fresh else str(folder / "cache")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(["rm", "-rf", str(folder / "run")], check=True)
    start = perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 2 if "check" in command else 0):
        raise SystemExit(f"{' '.join(command)[:200]}\n{said.decode()[-2000:]}")
    return perf_counter() - start, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
