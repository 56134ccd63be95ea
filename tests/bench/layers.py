"""Times every layer, loss, metric and optimizer against PyTorch, one thread: ``python -m tests.bench.layers [word ...]``.

For each the microseconds of a call, forward alone and with all gradients, the best of several turns; PyTorch in the better of its two
layouts of memory, divided by ours: above 1 is faster. ``rest`` is the part of our time in NumPy statements and in kernels of NumPy calls, and
which ops they are: what neither a loop nest nor a compiled kernel takes. ``--below 1`` prints only what is slower than PyTorch.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # read when NumPy is loaded
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np  # noqa: E402
import torch  # noqa: E402

from nnspec.autodiff import gradients  # noqa: E402
from nnspec.compiler import loads  # noqa: E402
from nnspec.ir.graph import Graph, Value, abstract  # noqa: E402
from nnspec.ir.types import DType, TensorType  # noqa: E402
from nnspec.layers.layer import Entry, Mode, Values  # noqa: E402
from nnspec.ops.fused import Fused  # noqa: E402
from nnspec.ops.random import RandomBits  # noqa: E402
from nnspec.passes import run_pipeline  # noqa: E402
from nnspec.runtime import bench  # noqa: E402
from nnspec.runtime.session import compile  # noqa: E402
from nnspec.training.losses import Loss  # noqa: E402
from nnspec.training.metrics import Metric, Reading  # noqa: E402
from nnspec_numpy import BACKEND  # noqa: E402
from nnspec_numpy.kernels import KERNELS  # noqa: E402
from nnspec_numpy.kernels.index import INDEX  # noqa: E402
from nnspec_numpy.kernels.resample import RESAMPLE  # noqa: E402
from nnspec_numpy.kernels.rows import ROWS  # noqa: E402
from nnspec_numpy.llvm import philox  # noqa: E402
from tests.bench.layer_cases import LAYERS, LOSSES, METRICS, OPTIMIZERS, Case, LossCase  # noqa: E402

BY_NUMPY = {*INDEX, *RESAMPLE, *ROWS}  # kernels that are calls of NumPy, unless they are compiled after all
Call = Callable[[], object]


class Ours:
    """A compiled graph over numbers of its own, and the time of each of its steps."""

    def __init__(self, outputs: Sequence[Value], whole: int = 2, positive: bool = False) -> None:
        graph = run_pipeline(Graph({f"y{i}": v for i, v in enumerate(outputs)}), BACKEND.claims, BACKEND.loops())
        self.program = BACKEND.plan(graph, "layer")
        self.seconds = np.zeros(len(self.program.steps))
        memory = BACKEND.memory({label: a.type for label, a in self.program.state.items()})
        plain, self.clocked = BACKEND.bind(self.program, memory), BACKEND.bind(self.program, memory, self.seconds)
        self.run = plain.run
        rng = np.random.default_rng(0)
        for run in (plain, self.clocked):
            for a in run.inputs.values():
                a[...] = rng.integers(0, max(2, whole), a.shape) if a.dtype.kind in "iu" else rng.random(a.shape) + 0.1 if positive else rng.standard_normal(a.shape)

    def rest(self) -> tuple[float, Counter[str]]:
        """Seconds in NumPy, and those of each op."""
        runs = []
        for _ in range(7):
            self.clocked.run()
            runs.append(self.seconds.copy())
        found: Counter[str] = Counter()
        for step, each in zip(self.program.steps, np.median(runs[2:], axis=0), strict=True):
            op = step.call.op
            if not isinstance(op, Fused) and (type(op) not in KERNELS or type(op) in BY_NUMPY) and not (isinstance(op, RandomBits) and philox.takes(op)):
                found[op.name] += float(each)  # type: ignore[assignment]  # seconds
        return sum(found.values()), found


def scalars() -> dict[str, Value]:
    return {"seed": abstract(TensorType((), DType.uint32), "seed"), "step": abstract(TensorType((), DType.int64), "step")}


def layer(case: Case) -> tuple[Ours, Ours]:
    """The layer as it answers, and as it learns: with the gradients in its inputs and parameters."""
    entry: Any = Entry.registry[case.kind](**case.fields)
    kind = DType.int64 if case.whole else DType.float32
    made = []
    for training in (False, True):
        x = tuple(abstract(TensorType(s, kind), f"x{i}") for i, s in enumerate(case.shapes))
        values = {p.name: abstract(TensorType(p.shape, DType.float32), p.name, "parameter") for p in entry.parameters(x)}
        mode = Mode(training=training, path="l", batched=case.batched or (True,) * len(x), batch=case.shapes[0][0], dtype=DType.float32, **scalars())
        y = entry.apply(x, Values(values), mode).y
        outputs = [y]
        if training and y.dtype.is_float:
            g = abstract(y.type, "g")
            wrt = [v for v in (*x, *values.values()) if v.dtype.is_float and "moving" not in v.op.label]
            outputs += [d for d in _with(y, g, wrt) if d is not None]
        made.append(Ours(outputs, case.whole, case.positive))
    return made[0], made[1]


def _with(y: Value, g: Value, wrt: list[Value]) -> list[Value | None]:
    from nnspec.ops.reduce import sum_

    return list(gradients(sum_(y * g), wrt))


def layouts(shape: tuple[int, ...], whole: int, positive: bool) -> Iterator[torch.Tensor]:
    """Channels last in memory, and where there are places also channels first, under the same axes."""
    if whole:
        yield torch.randint(0, whole, shape)
        return
    x = torch.rand(shape) + 0.1 if positive else torch.randn(shape)
    yield x
    if len(shape) > 3:
        yield x.movedim(-1, 1).contiguous().movedim(1, -1)


def theirs(case: Case) -> tuple[list[Call], list[Call]]:
    """PyTorch's answers and steps, one a layout."""
    entry: Any = Entry.registry[case.kind](**case.fields)
    x = tuple(abstract(TensorType(s, DType.int64 if case.whole else DType.float32), "x") for s in case.shapes)
    p = {q.name: torch.rand(tuple(q.shape)) + 0.5 for q in entry.parameters(x)}
    infer, train = [], []
    for tensors in zip(*(layouts(s, case.whole, case.positive) for s in case.shapes), strict=True):
        f = case.torch
        assert f is not None

        def answer(f: Any = f, tensors: Any = tensors) -> None:
            with torch.inference_mode():
                f(*tensors, **p)

        learnt = [t.clone().requires_grad_() if t.dtype.is_floating_point else t for t in tensors]
        own = {n: t.clone().requires_grad_("moving" not in n) for n, t in p.items()}
        with torch.enable_grad():
            y = f(*learnt, **own)
        wrt = [t for t in (*learnt, *own.values()) if t.requires_grad]
        g = torch.randn_like(y) if y.dtype.is_floating_point else None

        def step(f: Any = f, learnt: Any = learnt, own: Any = own, wrt: Any = wrt, g: Any = g) -> None:
            y = f(*learnt, **own)
            if y.requires_grad:
                torch.autograd.grad(y, wrt, g, allow_unused=True)

        infer.append(answer)
        train.append(step)
    return infer, train


def loss(case: LossCase) -> tuple[Ours, list[Call]]:
    """A loss with the gradient in its output."""
    classes = case.target == "classes"
    y = abstract(TensorType(case.shape, DType.float32), "y")
    t = abstract(TensorType(case.shape[:-1] if classes else case.shape, DType.int64 if classes else DType.float32), "t")
    entry: Any = Loss.registry[case.kind](**case.fields)
    value = entry.part(y, t).value
    ours = Ours([value, *(g for g in gradients(value, [y]) if g is not None)], case.shape[-1])
    rng = np.random.default_rng(0)
    numbers = {"classes": lambda: rng.integers(0, case.shape[-1], case.shape[:-1]), "bits": lambda: rng.integers(0, 2, case.shape).astype(np.float32),
               "numbers": lambda: rng.standard_normal(case.shape, np.float32), "shares": lambda: rng.dirichlet(np.ones(case.shape[-1]), case.shape[:-1]).astype(np.float32)}
    target = numbers[case.target]()
    ours.clocked.inputs["t"][...] = target
    tt = torch.from_numpy(target)
    calls: list[Call] = []
    for ty in layouts(case.shape, 0, False):
        ty = ty.requires_grad_()
        calls.append(lambda ty=ty: torch.autograd.grad(case.torch(ty, tt, **case.fields), ty))  # type: ignore[misc]  # its own tensor
    return ours, calls


def least(runs: Sequence[Call], seconds: float, turns: int = 5) -> list[float]:
    """Microseconds a call, the best of several turns in each of which everybody runs."""
    times = []
    for run in runs:
        run()
        start = perf_counter()
        run()
        times.append(max(1, int(seconds / (perf_counter() - start))))
    best = [float("inf")] * len(runs)
    for _ in range(turns):
        for i, run in enumerate(runs):
            start = perf_counter()
            for _ in range(times[i]):
                run()
            best[i] = min(best[i], (perf_counter() - start) / times[i] * 1e6)
    return best


def metric(kind: str, call: Any) -> tuple[Ours, list[Call]]:
    """What a batch of scores of 1000 classes adds to a measure."""
    name, _, k = kind.partition(": ")
    y, t = abstract(TensorType((256, 1000), DType.float32), "y"), abstract(TensorType((256,), DType.int64), "t")
    entry: Any = Metric.registry[name](**({"k": int(k)} if k else {}))
    ty, tt = torch.randn(256, 1000), torch.randint(0, 1000, (256,))
    return Ours(list(entry.counts(Reading(y, t)).values()), 1000), [] if call is None else [lambda: call(ty, tt)]


def optimizer(text: str, make: Any, given: argparse.Namespace) -> str:
    """The update of four matrices of 512 by 512: the steps of that stage under the clock, beside ``step()``."""
    layers = ", ".join(["dense: {units: 512, bias: false}"] * 4)
    model = compile(loads(f"nnspec: 1\ninputs: {{x: {{shape: [512]}}}}\nlayers: [{layers}]\nloss: mse\noptimizer: {{{text}}}\nbatch_size: 4\n"), threads=1)
    costs = [c for c in bench.measure(model, "train", bench.rows(model, {}), 5, given.seconds).costs if c.stage == "update"]
    own = 1e6 * sum(c.seconds for c in costs)
    rest = {c.op: 1e6 * c.seconds for c in costs if c.op != "Fused"}
    others = []
    if make is not None:
        p = [torch.randn(512, 512, requires_grad=True) for _ in range(4)]
        for each in p:
            each.grad = torch.randn(512, 512)
        others = least([make(p).step], given.seconds)
    ratio = min(others, default=float("nan")) / own
    return shown(f"optimizer {text}", "train", own, others, sum(rest.values()), rest) if not given.below or ratio < given.below else ""


def shown(name: str, kind: str, own: float, others: Sequence[float], rest: float, ops: Mapping[str, float]) -> str:
    """A row, all in microseconds."""
    words = ", ".join(f"{op} {each:.0f}" for op, each in sorted(ops.items(), key=lambda item: -item[1])[:4])
    best = min(others, default=float("nan"))
    return f"{name:<58} {kind:<6} {own:9.0f} us  torch {best:9.0f} us  ratio {best / own:6.2f}  rest {rest:8.0f}  {words}"


def line(name: str, kind: str, mine: Ours, calls: Sequence[Call], given: argparse.Namespace) -> None:
    own, *others = least([mine.run, *calls], given.seconds)
    rest, ops = mine.rest()
    ratio = min(others) / own if others else float("nan")
    if given.below and ratio >= given.below:
        return
    print(shown(name, kind, own, others, 1e6 * rest, {op: 1e6 * each for op, each in ops.items()}), flush=True)


def named(kind: str, fields: dict[str, Any], shape: tuple[int, ...]) -> str:
    told = ", ".join(f"{k}={v if len(str(v)) < 30 else '…'}" for k, v in fields.items())
    return f"{kind}{f'({told})' if told else ''} {'x'.join(map(str, shape))}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.layers", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only what has one of these in its name")
    parser.add_argument("--below", type=float, default=0.0, metavar="RATIO", help="only what is slower than so many times PyTorch's speed")
    parser.add_argument("--seconds", type=float, default=0.01, help="of a turn, about")
    given = parser.parse_args()
    torch.set_num_threads(1)
    wanted = [w.lower() for w in given.words]
    for case in LAYERS:
        name = named(case.kind, case.fields, case.shapes[0])
        if not wanted or any(w in name for w in wanted):
            try:
                infer, train = layer(case)
                others = theirs(case)
                line(name, "infer", infer, others[0], given)
                line(name, "train", train, others[1], given)
            except Exception as e:
                print(f"{name}: {type(e).__name__}: {e}", flush=True)
    for each in LOSSES:
        name = "loss " + named(each.kind, {"target": each.target, **each.fields}, each.shape)
        if not wanted or any(w in name for w in wanted):
            line(name, "train", *loss(each), given)
    for kind, call in METRICS.items():
        if not wanted or any(w in f"metric {kind}" for w in wanted):
            line(f"metric {kind}", "infer", *metric(kind, call), given)
    for text, make in OPTIMIZERS.items():
        if (not wanted or any(w in f"optimizer {text}" for w in wanted)) and (row := optimizer(text, make, given)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
