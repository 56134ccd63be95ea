"""Times the works of issue 4 beside PyTorch: ``python -m tests.bench.works [names] [--threads 1] [--repeats N] [--without compile]``.

For each work and number of threads a process of its own runs nnspec and every variant of PyTorch in turns, pinned to as many cores; medians
are printed, and how many times as fast as PyTorch's best nnspec is, beside its target. The peak memory of a training step is that of
a process for each side, from its third step on. Variants that are not installed, or fail, are named in a line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.sides import INFER, OURS, TRAIN, side
from tests.bench.targets import WORKS, Target
from tests.bench.turns import FORCED, environment, medians, pin

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"train": TRAIN, "infer": INFER}
MEGABYTE = 1 << 20


def main() -> None:
    given = arguments()
    if given.child:
        print(json.dumps(child(given)), flush=True)
        return
    if forced := [name for name in FORCED if name in os.environ]:
        print(f"{', '.join(forced)}: set here, and taken away from what is timed", file=sys.stderr)
    rows = []
    for name in given.names or WORKS:
        for threads in given.threads:
            for kind in KINDS:
                if getattr(WORKS[name], kind) is not None and kind in given.kinds:
                    rows.append(measured(name, kind, threads, given))
                    print(line(rows[-1]), file=sys.stderr, flush=True)
    Console(width=None if sys.stdout.isatty() else 180).print(table(rows))
    if given.json:
        Path(given.json).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.works", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*WORKS, []], metavar="NAME", help=", ".join(WORKS))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=7, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn, about")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--without", nargs="+", default=[], choices=sorted({*TRAIN, *INFER} - {OURS}), help="variants that are left out")
    parser.add_argument("--no-memory", action="store_true", help="no peak memory")
    parser.add_argument("--json", metavar="FILE", help="the rows as well")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "SIDE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measured(name: str, kind: str, threads: int, given: argparse.Namespace) -> dict[str, Any]:
    """The times of all sides, and the memory that each takes for itself."""
    sides = [s for s in KINDS[kind] if s not in given.without]
    row = {"work": name, "kind": kind, "threads": threads, **called(name, kind, threads, given, "times", ",".join(sides))}
    if kind == "train" and not given.no_memory:
        peaks = {s: called(name, kind, threads, given, "peak", s) for s in sides if s in row["seconds"] and s != "compile"}
        row["peak"] = {s: p["peak"] for s, p in peaks.items() if "peak" in p}
    return row


def called(name: str, kind: str, threads: int, given: argparse.Namespace, what: str, side: str) -> dict[str, Any]:
    """What a process of its own answers."""
    command = [sys.executable, "-m", "tests.bench.works", name, "--threads", str(threads), "--kinds", kind, "--repeats", str(given.repeats),
               "--seconds", str(given.seconds), "--child", what, side]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=environment(threads), capture_output=True, text=True)
    if done.returncode:
        return {"seconds": {}, "missing": {what: (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def child(given: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: times of several sides in turns, or the peak memory of one."""
    (name,), (threads,), (kind,), (what, sides) = given.names, given.threads, given.kinds, given.child
    pin(threads)
    runs, missing = {}, {}
    for s in sides.split(","):
        try:
            runs[s] = side(s, kind, WORKS[name], threads)
            runs[s]()
        except Exception as e:  # a variant that is not there, or does not work here, is told and left out
            runs.pop(s, None)
            missing[s] = f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"[:200]
    if what == "peak":
        return {"peak": peak(runs[sides])}
    return {"seconds": medians(runs, given.repeats, given.seconds), "missing": missing}


def peak(run: Any) -> int:
    """The most bytes that this process holds during two steps, after two."""
    run()
    run()
    with suppress(OSError):  # then it is the most of the whole process
        Path("/proc/self/clear_refs").write_text("5")  # the most so far is forgotten
    run()
    run()
    held = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM:"))
    return int(held.split()[1]) * 1024


def ratios(row: dict[str, Any]) -> tuple[float | None, float | None]:
    """How many times as fast as PyTorch's best variant nnspec is, and as onnxruntime."""
    seconds: dict[str, float] = row["seconds"]
    mine = seconds.get(OURS)
    best = min((v for n, v in seconds.items() if n not in (OURS, "onnxruntime")), default=None)
    other = seconds.get("onnxruntime")
    return best / mine if best and mine else None, other / mine if other and mine else None


def line(row: dict[str, Any]) -> str:
    """A row as it comes in."""
    words = [row["work"], row["kind"], f"{row['threads']} thread{'s' if row['threads'] > 1 else ''}:"]
    words.append(", ".join(f"{name} {1e3 * value:.3g} ms" for name, value in row["seconds"].items()))
    return " ".join([*words, *(f"(no {n}: {why})" for n, why in row.get("missing", {}).items())])


def table(rows: list[dict[str, Any]]) -> Table:
    """Milliseconds of every side, ratios beside their targets, and the memory of a training step."""
    shown = Table("work", "", "threads", *(n for n in dict.fromkeys([*TRAIN, *INFER])), "ratio", "target", "of ort", "peak MB: ours", "torch")
    for row in rows:
        target: Target = getattr(WORKS[row["work"]], row["kind"])
        first, second = ratios(row)
        peaks = {n: f"{p / MEGABYTE:.0f}" for n, p in row.get("peak", {}).items()}
        times = [f"{1e3 * row['seconds'][n]:.3g}" if n in row["seconds"] else "" for n in dict.fromkeys([*TRAIN, *INFER])]
        least = min((p for n, p in row.get("peak", {}).items() if n != OURS), default=0)
        shown.add_row(row["work"], row["kind"], str(row["threads"]), *times, f"{first:.2f}" if first else "", str(target),
                      f"{second:.2f}" if second else "", peaks.get(OURS, ""), f"{least / MEGABYTE:.0f}" if least else "")  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
