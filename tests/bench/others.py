"""Times networks that no spec here has beside PyTorch: ``python -m tests.bench.others [names] [--threads 1] [--repeats N]``.

The table of ``strangers.py``: for each a process of its own takes nnspec and PyTorch (eager as it comes; tuned: channels last, fused or foreach
optimizer) in turns. A training step, and an answer; medians, how many times as fast nnspec is as the better of the two, and the peak memory of a
step beside what importing either takes. ``--kinds run`` times whole epochs: the loop of ``nnspec run`` over arrays beside a plain loop of PyTorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.turns import Call, environment, medians, pin
from tests.bench.works import MEGABYTE, peak

ROOT = Path(__file__).resolve().parents[2]
OURS, SIDES = "nnspec", ("nnspec", "eager", "tuned")
KINDS = ("train", "infer")
EPOCH = 64  # steps


def main() -> None:
    given = arguments()
    if given.child:
        print(json.dumps(child(given)), flush=True)
        return
    from tests.bench.strangers import STRANGERS

    if unknown := sorted({*given.names} - {*STRANGERS}):
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(STRANGERS)}")
    rows = []
    for name in given.names or STRANGERS:
        kinds = [k for k in (*KINDS, "run") if k in given.kinds]
        row = called(name, "times", ",".join(kinds), given)
        row["name"] = name
        if not given.no_memory:
            row["peak"] = {side: called(name, "peak", side, given).get("peak", 0) for side in SIDES}
        rows.append(row)
        print(line(row, kinds), file=sys.stderr, flush=True)
    Console(width=None if sys.stdout.isatty() else 180).print(table(rows, kinds))
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.others", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn, about")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=[*KINDS, "run"], help="run: whole epochs")
    parser.add_argument("--no-memory", action="store_true", help="no peak memory")
    parser.add_argument("--json", metavar="FILE", help="the rows as well")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "SIDES"), help=argparse.SUPPRESS)
    return parser.parse_args()


def called(name: str, what: str, sides: str, given: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own answers."""
    command = [sys.executable, "-m", "tests.bench.others", name, "--threads", str(given.threads), "--repeats", str(given.repeats),
               "--seconds", str(given.seconds), "--child", what, sides]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment(given.threads), capture_output=True, text=True)
    if done.returncode:
        return {"wrong": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def child(given: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: seconds of all sides in turns, or the peak memory of a training step of one."""
    (name,), (what, names) = given.names, given.child
    pin(given.threads)
    if what == "peak":
        before = held()
        return {"peak": peak(side(name, names, "train", given.threads)) - before}
    return {kind: medians({s: side(name, s, kind, given.threads) for s in SIDES}, given.repeats, given.seconds) for kind in names.split(",")}


def held() -> int:
    """What this process holds with all that either side imports: the table of strangers alone needs PyTorch."""
    for module in ("llvmlite.binding", "nnspec.runtime.trainer", "nnspec_numpy.backend", "tests.bench.strangers"):
        with suppress(ImportError):
            import_module(module)

    row = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmRSS:"))
    return int(row.split()[1]) * 1024


def side(name: str, who: str, kind: str, threads: int) -> Call:
    """The call of a side."""
    from tests.bench.strangers import STRANGERS

    stranger = STRANGERS[name]
    model = compiled(stranger, threads)
    arrays = fed(model, stranger, stranger.batch * (EPOCH if kind == "run" else 1))
    return ours(model, arrays, kind, stranger.batch) if who == OURS else theirs(model, stranger, arrays, kind, who == "tuned", threads)


def compiled(stranger: Any, threads: int = 1) -> Any:
    """The spec, compiled."""
    import nnspec
    from nnspec.compiler import loads

    return nnspec.compile(loads(f"{stranger.spec}batch_size: {stranger.batch}\n"), threads=threads)


def fed(model: Any, stranger: Any, rows: int) -> dict[str, Any]:
    """Drawn rows of all inputs and targets, as the spec has them."""
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for name, type in model.spec.inputs.items():
        shape = (rows, *type.shape)
        arrays[name] = draw.integers(0, stranger.below[name], shape) if name in stranger.below else draw.standard_normal(shape, np.float32)
    for t in model.spec.built.losses:
        if t.feed not in arrays:
            shape, classes = (rows, *t.type.shape[1:]), t.port.type.shape[-1]
            whole = not t.type.dtype.is_float or t.term.of.kind == "binary_cross_entropy"
            arrays[t.feed] = draw.integers(0, max(2, classes), shape) if whole else draw.standard_normal(shape, np.float32)
    return arrays


def ours(model: Any, arrays: dict[str, Any], kind: str, batch: int) -> Call:
    inputs = {name: arrays[name] for name in model.spec.inputs}
    if kind == "infer":
        return lambda: model.predict(inputs, raw=True)
    if kind == "run":
        return epoch(model, arrays, batch)
    ready, _ = model.feeds(arrays)
    tally = model.tally()
    return lambda: model.train_step(ready, 1e-3, batch, tally=tally)


def epoch(model: Any, arrays: dict[str, Any], batch: int) -> Call:
    """An epoch of the loop that ``nnspec run`` runs, with nothing to show and no folder."""
    from nnspec.data.epochs import Epochs
    from nnspec.data.load import Rows
    from nnspec.runtime.loop import Loop

    ready, _ = model.feeds(arrays)
    rows = Rows(ready, np.arange(len(next(iter(ready.values())))))
    loop = Loop(model, {"train": rows.arrays}, Epochs(rows, batch, 0), None, 1 << 30, [])
    loop.early = loop.best = None
    return loop._epoch


def theirs(model: Any, stranger: Any, arrays: dict[str, Any], kind: str, tuned: bool, threads: int) -> Call:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = stranger.twin()
    here, there = (sum(n) for n in ((prod(p.shape) for p in model.parameters.values() if p.trainable), (p.numel() for p in net.parameters())))
    assert here == there, f"{here} parameters here, {there} in PyTorch"
    given = {name: channels_first(torch.from_numpy(np.ascontiguousarray(x)), tuned) for name, x in arrays.items()}
    if tuned:
        for x in given.values():
            if x.ndim in FORMATS and x.is_floating_point():
                net = net.to(memory_format=FORMATS[x.ndim]())
    inputs = [given[name] for name in model.spec.inputs]
    targets = [given[t.feed] for t in model.spec.built.losses]
    if kind == "infer":
        return answer(net.eval(), inputs)
    run = step(net, stranger, tuned)
    if kind == "train":
        return lambda: run(inputs, targets)
    return lambda: loop(run, inputs, targets, stranger.batch)


def channels_first(x: Any, tuned: bool) -> Any:
    if x.ndim < 3 or not x.is_floating_point():
        return x
    x = x.movedim(-1, 1)
    return x.contiguous(memory_format=FORMATS[x.ndim]()) if tuned and x.ndim in FORMATS else x.contiguous()


def _format(name: str) -> Any:
    import torch

    return getattr(torch, name)


FORMATS = {4: lambda: _format("channels_last"), 5: lambda: _format("channels_last_3d")}


def answer(net: Any, inputs: list[Any]) -> Call:
    import torch

    def run() -> None:
        with torch.inference_mode():
            net(*inputs)

    return run


def step(net: Any, stranger: Any, tuned: bool) -> Any:
    """PyTorch's step on a batch."""
    import torch

    kind, fields = stranger.moves
    quick = {} if not tuned else {"fused": True} if kind in ("SGD", "Adam", "AdamW", "Adagrad") else {"foreach": True}
    moves = getattr(torch.optim, kind)(net.parameters(), lr=1e-3, **fields, **quick)
    kernels = [p for p in net.parameters() if p.ndim > 1]
    seen = {"right": torch.zeros((), dtype=torch.int64)}

    def run(inputs: list[Any], targets: list[Any]) -> None:
        moves.zero_grad()
        y = net(*inputs)
        loss = stranger.loss(y, *targets)
        if stranger.decay:
            loss = loss + stranger.decay * sum(p.square().sum() for p in kernels[:2])
        loss.backward()
        if stranger.clip:
            torch.nn.utils.clip_grad_norm_(net.parameters(), stranger.clip)
        moves.step()
        if stranger.counted:
            with torch.no_grad():
                seen["right"] += (y.argmax(1) == targets[0]).sum()

    return run


def loop(run: Any, inputs: list[Any], targets: list[Any], batch: int) -> None:
    import torch

    for rows in torch.randperm(len(inputs[0])).split(batch):
        run([x[rows] for x in inputs], [t[rows] for t in targets])


def ratio(row: dict[str, Any], kind: str) -> float:
    """How many times as fast as the better of PyTorch's two nnspec is."""
    seconds = row[kind]
    return float(min(v for s, v in seconds.items() if s != OURS) / seconds[OURS])


def line(row: dict[str, Any], kinds: list[str]) -> str:
    if "wrong" in row:
        return f"{row['name']}: {row['wrong']}"
    return f"{row['name']:18}" + "  ".join(f"{kind} {1e6 * row[kind][OURS]:9.1f} us {ratio(row, kind):6.2f}" for kind in kinds)


def table(rows: list[dict[str, Any]], kinds: list[str]) -> Table:
    """Microseconds of every side and ratios; megabytes at most in a training step."""
    shown = Table("network", *(h for kind in kinds for h in (f"{kind}: ours, us", "eager", "tuned", "ratio")), "peak MB: ours", "torch")
    for row in sorted(rows, key=lambda r: min((ratio(r, k) for k in kinds), default=0.0) if "wrong" not in r else 0.0):
        shown.add_row(row["name"], *cells(row, kinds))
    return shown


def cells(row: dict[str, Any], kinds: list[str]) -> Iterator[str]:
    if "wrong" in row:
        yield row["wrong"]
        return
    for kind in kinds:
        yield from (f"{1e6 * row[kind][s]:.1f}" for s in SIDES)
        yield f"{ratio(row, kind):.2f}"
    peaks = row.get("peak", {})
    yield f"{peaks[OURS] / MEGABYTE:.0f}" if peaks else ""
    yield f"{min(p for s, p in peaks.items() if s != OURS) / MEGABYTE:.0f}" if peaks else ""


if __name__ == "__main__":
    main()
