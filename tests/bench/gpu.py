"""All that needs a GPU, within ten minutes: ``python -m tests.bench.gpu [--seconds 560] [--json FILE] [--only tests parity captured steps tuned compiled]``.

In this order, each as far as the time goes, and written to the file as soon as it is known: the suite on CuPy; parity of every quickstart spec with
NumPy over 20 steps (``math: strict``); captured steps equal to those that are not, bit for bit; time per training step beside PyTorch eager; what
``nnspec tune`` gains; steps beside ``torch.compile(mode="max-autotune")`` last, since that takes minutes. Times are medians of turns between CUDA events, taken in one process a work,
with batches that lie on the GPU (``nnspec``, ``eager``, ``compile``) and with batches that come from the host (``... fed``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from tests.bench.targets import ADAM, MOMENTUM, ZOO, Work

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "specs" / "quickstart"
WORKS = {"mlp": Work("mlp", 64, ("adam", ADAM)), "lenet5": Work("lenet5", 64, ("adam", ADAM)), "vgg_small": Work("vgg_small", 256, ("sgd", MOMENTUM)),
         "resnet50": Work("resnet50", 64, ("sgd", MOMENTUM))}  # fmt: skip
MATHS = {"mlp": ("exact",), "lenet5": ("exact",), "vgg_small": ("exact", "tf32", "mixed"), "resnet50": ("exact", "tf32", "mixed")}
SET: dict[str, dict[str, str]] = {"exact": {}, "tf32": {"math": "tf32"}, "mixed": {"precision": "mixed_bfloat16"}}
SIDES = ("nnspec", "nnspec fed", "eager", "eager fed", "compile", "compile fed", "numpy")
SIZE = 4096  # of matrices
WITHOUT_CUDNN = {**os.environ, "NNSPEC_CUDNN": "none"}
TURNS, TURN = 9, 0.15  # how many, and about how long in seconds
PARTS = ("tests", "parity", "captured", "steps", "tuned", "compiled")
SUITE = ("tests/test_backends.py", "tests/test_cuda_ops.py", "tests/test_cuda_nests.py", "tests/test_cuda_libraries.py", "tests/test_cuda_compile.py")


@dataclass(frozen=True)
class Side:
    """A step that is enqueued; ``mark`` is a point in time on the device, ``between`` the seconds from one to another once both are passed."""

    step: Callable[[], object]
    mark: Callable[[], Any]
    between: Callable[[Any, Any], float]


def refusal() -> str:
    """Why nothing can be measured here; nothing where it can be."""
    from nnspec.codegen.backend import load_backend
    from nnspec.errors import NnspecError

    try:
        load_backend("cupy").status()
    except NnspecError as error:
        return f"this needs a GPU, and cannot run here: {error}"
    return ""


def main() -> None:
    given = arguments()
    if why := refusal():
        print(why, file=sys.stderr)
        sys.exit(1)
    if given.child:
        print(json.dumps(timed(*given.child)), flush=True)
        return
    report = Report(given.json, perf_counter() + given.seconds)
    report.put("machine", machine())
    for part in given.only:
        try:
            RUN[part](report)
        except Exception as error:  # what breaks one part is told, and the others are run
            report.put(f"{part} broke", f"{type(error).__name__}: {error}"[:2000])
    print(table(report.found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=560, help="for all of it")
    parser.add_argument("--json", metavar="FILE", default="gpu.json", help="what is found, as soon as it is")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--child", nargs=3, metavar=("WORK", "MATH", "SIDES"), help=argparse.SUPPRESS)
    return parser.parse_args()


class Report:
    """What was found so far, on disk as well."""

    def __init__(self, path: str, end: float) -> None:
        self.path, self.end, self.found = Path(path), end, dict[str, Any]()

    def left(self) -> float:
        return self.end - perf_counter()

    def put(self, name: str, content: Any) -> None:
        self.found[name] = content
        self.path.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        print(f"[{self.left():.0f} s left] {name}: {json.dumps(content)[:600]}", flush=True)


def machine() -> dict[str, str]:
    from nnspec.codegen.backend import load_backend

    backend = load_backend("cupy")
    found = {**backend.machine(), "status": backend.status(), "python": sys.version.split()[0]}
    for name in ("torch", "cupy", "numpy", "cudnn"):
        try:
            found[name] = __import__(name).__version__
        except (ImportError, AttributeError) as error:
            found[name] = str(error)
    return found


# Is it right?

def tests(report: Report) -> None:
    """The suite, with the GPU as one more backend."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *SUITE]
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, "NNSPEC_GPU": "test"}, capture_output=True, text=True, timeout=min(200, report.left()))
    except subprocess.TimeoutExpired as error:
        report.put("tests", {"status": "out of time", "end": str(error.stdout or "")[-3000:]})
        return
    report.put("tests", {"status": done.returncode, "end": (done.stdout + done.stderr)[-6000:]})


def parities(report: Report) -> None:
    """Losses of every quickstart spec within 1e-5 of NumPy's over 20 steps."""
    import nnspec
    from nnspec.errors import NnspecError
    from nnspec.runtime.parity import parity

    end, found = perf_counter() + min(120, report.left() / 3), dict[str, Any]()
    for path in sorted(QUICKSTART.glob("*.yaml")):
        if perf_counter() > end:
            found[path.stem] = "out of time"
            continue
        try:
            p = parity(nnspec.load(path).with_(math="strict"), ("numpy", "cupy"), 20, 1e-5, {})
            worst = max(p.found, key=lambda d: d.relative / p.allowed(d.kind))
            found[path.stem] = {"passed": p.passed, "loss": max(d.relative for d in p.found if d.kind == "loss"), "worst": str(worst)}
        except (NnspecError, OSError) as error:
            found[path.stem] = f"not run: {str(error).splitlines()[0]}"
        except Exception as error:  # what breaks in one spec is told beside the others
            found[path.stem] = f"BROKE: {type(error).__name__}: {str(error)[:300]}"
    report.put("parity", found)
    if any("cuDNN" in str(v) for v in found.values()) and os.environ.get("NNSPEC_CUDNN") != "none":
        beside = report.path.with_suffix(".without_cudnn.json")
        command = [sys.executable, "-m", "tests.bench.gpu", "--only", "parity", "--json", str(beside), "--seconds", "90"]
        subprocess.run(command, cwd=ROOT, env=WITHOUT_CUDNN, capture_output=True, timeout=max(1, min(150, report.left())), check=False)
        report.put("parity without cuDNN", json.loads(beside.read_text()).get("parity", "not run"))


def captured(report: Report) -> None:
    """Steps of a graph, and the same kernels launched one by one."""
    report.put("captured", {name: alike(QUICKSTART / f"{name}.yaml") for name in ("digits_mlp", "digits_cnn", "residual")})


def alike(path: Path, steps: int = 5) -> str:
    import nnspec
    from nnspec.runtime.bench import rows

    states = []
    for graph in (True, False):
        model = nnspec.compile(nnspec.load(path), backend="cupy")
        device: Any = model.memory.device  # type: ignore[union-attr]
        arrays = rows(model, {})
        before = device.capture
        if not graph:
            device.capture = lambda work: work
        try:
            for _ in range(steps):
                model.train_step(arrays, model.rate(model.step), len(next(iter(arrays.values()))))
        finally:
            device.capture = before
        states.append(model.state())
    apart = [name for name, a in states[0].items() if a.tobytes() != states[1][name].tobytes()]
    return f"differ in {', '.join(apart)}" if apart else "equal bit for bit"


# How fast is it?

def steps(report: Report) -> None:
    """Everything but the compiler, which takes minutes."""
    sides = [s for s in SIDES if not s.startswith("compile")]
    report.put("products", called(report, "products", "exact", ["nnspec", "eager"], 60))
    for name in WORKS:
        for math in MATHS[name]:
            found = called(report, name, math, [s for s in sides if s != "numpy" or math == "exact"], 90)
            report.put(f"step {name} {math}", found)
            if "cuDNN" in str(found.get("missing")):
                report.put(f"step {name} {math} without cuDNN", called(report, name, math, ["nnspec", "nnspec fed", "eager"], 60, WITHOUT_CUDNN))


def compiled(report: Report) -> None:
    """The same again beside ``torch.compile``."""
    for name in WORKS:
        for math in MATHS[name]:
            report.put(f"compiled {name} {math}", called(report, name, math, ["nnspec", "nnspec fed", "eager", "compile", "compile fed"], 240))


def tuned(report: Report) -> None:
    """What candidates of cublasLt gain in whole steps; files that a run takes."""
    found: dict[str, Any] = {}
    for name in ("mlp", "mlp_wide"):
        path = report.path.with_suffix(f".{name}.tune.yaml")
        command = [sys.executable, "-m", "nnspec", "tune", str(ZOO / f"{name}.yaml"), "--backend", "gpu", "--only", "train", "-o", str(path), "--json"]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(1, min(60, report.left())))
            found[name] = json.loads(done.stdout)["programs"] if not done.returncode else done.stderr[-1000:]
        except subprocess.TimeoutExpired:
            found[name] = "out of time"
    report.put("tuned", found)


RUN = dict(zip(PARTS, (tests, parities, captured, steps, tuned, compiled), strict=True))


def called(report: Report, name: str, math: str, sides: list[str], most: float, env: dict[str, str] | None = None) -> dict[str, Any]:
    """What a process of its own answers, in at most so many seconds."""
    left = min(most, report.left() - 5)
    if left < 10:
        return {"missing": "out of time"}
    try:
        command = [sys.executable, "-m", "tests.bench.gpu", "--child", name, math, ",".join(sides)]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=left)
    except subprocess.TimeoutExpired:
        return {"missing": f"took more than {left:.0f} s"}
    if done.returncode:
        return {"missing": (done.stderr.strip() or f"status {done.returncode}")[-1500:]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def timed(name: str, math: str, wanted: str) -> dict[str, Any]:
    """Milliseconds of a step by side: the median of turns, which change places; and why a side is missing."""
    runs: dict[str, Side] = {}
    missing: dict[str, str] = {}
    for side in wanted.split(","):
        try:
            runs[side] = products(side) if name == "products" else made(side, WORKS[name], math)
            for _ in range(3):
                runs[side].step()
            runs[side].between(*(runs[side].mark() for _ in range(2)))
        except Exception as error:  # a side that does not work is told and left out
            runs.pop(side, None)
            missing[side] = f"{type(error).__name__}: {str(error)[:500]}"
    return {"milliseconds": {side: 1e3 * value for side, value in medians(runs).items()}, "missing": missing}


def medians(runs: dict[str, Side], turns: int = TURNS, seconds: float = TURN) -> dict[str, float]:
    """Seconds a step."""
    times = {name: max(1, int(seconds / max(1e-6, turn(side, 3)))) for name, side in runs.items()}
    found: dict[str, list[float]] = {name: [] for name in runs}
    for n in range(turns):
        for name in list(runs)[:: -1 if n % 2 else 1]:
            if name != "numpy" or n < 3:
                found[name].append(turn(runs[name], min(times[name], 1000)))
    return {name: median(values) for name, values in found.items()}


def turn(side: Side, times: int) -> float:
    first = side.mark()
    for _ in range(times):
        side.step()
    return side.between(first, side.mark()) / times


def made(side: str, work: Work, math: str) -> Side:
    """A side of a work's training step."""
    kind, fed = side.split()[0], side.endswith("fed")
    if kind in ("nnspec", "numpy"):
        return ours(work, "cupy" if kind == "nnspec" else "numpy", fed, math)
    return theirs(work, fed, kind == "compile", math)


def ours(work: Work, backend: str, fed: bool, math: str) -> Side:
    import nnspec

    spec = nnspec.load(ZOO / f"{work.spec}.yaml", set={**work.settings, **SET[math]})
    model = nnspec.compile(spec, backend=backend)
    arrays = batch(model, work)
    rate, factors, tally = work.optimizer[1]["lr"], model.factors(0), model.tally()
    if backend == "numpy":
        return Side(lambda: model.train_step(arrays, rate, work.batch), perf_counter, lambda a, b: b - a)
    device: Any = model.memory.device  # type: ignore[union-attr]
    begun: list[Any] = []

    def step() -> None:
        begun.append(model.begin_step(arrays, rate, work.batch, factors, 0))
        if len(begun) > 1:
            model.end_step(begun.pop(0), tally)

    def between(a: Any, b: Any) -> float:
        device.wait(b)
        return float(device.seconds(a, b))

    step()
    replay: Any = begun[0].ready.run
    return Side(step if fed else replay._step, device.mark, between)


def batch(model: Any, work: Work) -> dict[str, Any]:
    """Rows drawn, all of the first class."""
    (entry, type), = model.spec.inputs.items()
    x = np.random.default_rng(0).standard_normal((work.batch, *type.shape), np.float32)
    (target,) = model.spec.built.losses
    arrays, _ = model.feeds({entry: x, target.feed: np.zeros(work.batch, np.int64)})
    return dict(arrays)


def theirs(work: Work, fed: bool, compiled: bool, math: str) -> Side:
    """PyTorch: channels last, a fused optimizer, and what it rounds is what ours rounds."""
    import torch

    from tests.bench.sides import last, twin

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = math == "tf32"
    torch.backends.cudnn.benchmark = True
    net, x, t = twin(work)
    net, x = last(net.cuda(), x)
    kind, fields = work.optimizer
    optimizer: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind]
    move = optimizer(net.parameters(), **fields, fused=True)
    answer = torch.compile(net, mode="max-autotune") if compiled else net
    held, classes = (a.pin_memory() if fed else a.cuda() for a in (x, t))

    def step() -> None:
        move.zero_grad(set_to_none=True)
        a, b = (held.cuda(non_blocking=True), classes.cuda(non_blocking=True)) if fed else (held, classes)
        with torch.autocast("cuda", torch.bfloat16, enabled=math == "mixed"):
            loss = torch.nn.functional.cross_entropy(answer(a), b)
        loss.backward()
        move.step()

    return Side(step, _event, _elapsed)


def _event() -> Any:
    import torch

    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _elapsed(a: Any, b: Any) -> float:
    b.synchronize()
    return float(a.elapsed_time(b)) / 1e3


def products(side: str) -> Side:
    """``SIZE`` by ``SIZE`` matrices in float32."""
    if side != "nnspec":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        a, b, c = (torch.randn(SIZE, SIZE, device="cuda") for _ in range(3))
        return Side(lambda: torch.mm(a, b, out=c), _event, _elapsed)
    from nnspec.codegen.backend import load_backend
    from nnspec.ir.program import Array, row_major
    from nnspec.ir.types import DType, TensorType
    from nnspec_cupy.commands import Product

    device: Any = load_backend("cupy").device  # type: ignore[attr-defined]
    x, w, y = (Array(n, TensorType((SIZE, SIZE), DType.float32), n, 0, row_major((SIZE, SIZE))) for n in ("x", "w", "y"))
    blocks = {}
    for place in (x, w, y):
        host = device.pinned(place.bytes)
        host.view(np.float32)[...] = np.random.default_rng(0).standard_normal(SIZE * SIZE, np.float32)
        blocks[place.name] = device.allocate(place.bytes)
        device.upload(host, blocks[place.name])()
        device.synchronize()
    run = device.bind(Product(x, w, y), lambda array: blocks[array.name])

    def between(first: Any, end: Any) -> float:
        device.wait(end)
        return float(device.seconds(first, end))

    return Side(run, device.mark, between)


def table(found: dict[str, Any]) -> str:
    """What was found, for people."""
    lines = [f"{'':24}" + "".join(f"{side:>13}" for side in SIDES) + "     of eager  of numpy"]
    for name, row in found.items():
        times = row.get("milliseconds") if isinstance(row, dict) else None
        if times is None:
            continue
        cells = "".join(f"{times[s]:>10.3f} ms" if s in times else f"{'':>13}" for s in SIDES)
        ratios = [f"{times[other] / times['nnspec']:.2f} x" if times.keys() >= {other, "nnspec"} else "" for other in ("eager", "numpy")]
        lines.append(f"{name:24}{cells}{ratios[0]:>13}{ratios[1]:>10}".rstrip())
        lines += [f"    no {side}: {why[:150]}" for side, why in row.get("missing", {}).items()] if isinstance(row.get("missing"), dict) else []
    for part in ("tests", "captured", "parity"):
        if part in found:
            lines.append(f"{part}: {json.dumps(found[part], indent=1)[-2500:]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
