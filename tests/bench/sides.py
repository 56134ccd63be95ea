"""What is timed for a work: a call that trains a step, or answers a batch, in nnspec and in each variant of PyTorch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.bench.targets import ZOO, Work
from tests.bench.turns import Call

OURS = "nnspec"
TRAIN = (OURS, "eager", "tuned", "compile")
INFER = (OURS, "eager", "tuned", "compile", "jit", "onnxruntime")


def side(name: str, kind: str, work: Work, threads: int) -> Call:
    """The call of a side; ``kind`` is train or infer. Imports nothing of the other side."""
    if name == OURS:
        return ours(kind, work, threads)
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # what exporters and compilers say of their own versions
    return SIDES[kind](name, work, threads)


def ours(kind: str, work: Work, threads: int) -> Call:
    import nnspec

    model = nnspec.compile(nnspec.load(ZOO / f"{work.spec}.yaml", set=work.settings), threads=threads)
    (entry, type), = model.spec.inputs.items()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((work.batch, *type.shape), np.float32)
    if kind == "infer":
        return lambda: model.predict(x, raw=True)
    (target,) = model.spec.built.losses
    assert target.type is not None
    arrays, _ = model.feeds({entry: x, target.feed: np.zeros((work.batch, *target.type.shape[1:]), np.int64)})  # type: ignore[call-overload]
    rate = work.optimizer[1]["lr"]
    return lambda: model.train_step(arrays, rate, work.batch)


def twin(work: Work) -> tuple[Any, Any, Any]:
    """PyTorch's network, a batch and its classes."""
    import torch

    import nnspec
    from tests.bench.twins import TWINS

    net = TWINS[work.spec](**work.vars)
    (shape,) = (t.shape for t in nnspec.load(ZOO / f"{work.spec}.yaml", set=work.settings).inputs.values())
    sizes = (work.batch, shape[-1], *shape[:-1]) if len(shape) == 3 else (work.batch, *shape)
    pixels = sizes[2:] if work.spec.startswith("unet") else ()
    return net, torch.randn(*sizes), torch.zeros(work.batch, *pixels, dtype=torch.int64)


def last(net: Any, x: Any) -> tuple[Any, Any]:
    """Both with channels last in memory, where there are channels."""
    import torch

    if x.ndim != 4:
        return net, x
    return net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)


def train(name: str, work: Work, threads: int) -> Call:
    import torch

    net, x, t = twin(work)
    tuned = name != "eager"
    if tuned:
        net, x = last(net, x)
    kind, fields = work.optimizer
    made: Any = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind]
    step = made(net.parameters(), **fields, **({"fused": True} if tuned else {}))
    cross_entropy = torch.nn.functional.cross_entropy
    answer = torch.compile(net) if name == "compile" else net

    def run() -> None:
        step.zero_grad()
        cross_entropy(answer(x), t).backward()
        step.step()

    run()
    return run


def infer(name: str, work: Work, threads: int) -> Call:
    import torch

    net, x, _ = twin(work)
    net.eval()
    if name == "onnxruntime":
        return onnx(net, x, threads)
    if name != "eager":
        net, x = last(net, x)
    with torch.no_grad():
        if name == "jit":
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))
        elif name == "compile":
            net = torch.compile(net)

        def run() -> None:
            with torch.inference_mode():
                net(x)

        run()
    return run


def onnx(net: Any, x: Any, threads: int) -> Call:
    import onnxruntime
    import torch

    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: x.numpy()}
    return lambda: session.run(None, given)


SIDES: Mapping[str, Callable[[str, Work, int], Call]] = {"train": train, "infer": infer}
