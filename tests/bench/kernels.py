"""Times the NumPy kernels against PyTorch, both on one thread, in the same run: ``python tests/bench/kernels.py [word]``.

Prints microseconds a call of the thread's own time (what others do meanwhile does not count), the median of several rounds taken in
turns, and their ratio: below 1 is faster. PyTorch runs in the better of its two layouts. With a word, only the lines whose name holds it.
OPENBLAS_CORETYPE, where a shell sets it, is taken away: PyTorch's kernels know of no such bound.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # read when NumPy is loaded
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "backends")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

import nnspec.ops  # noqa: E402, F401  # registers the ops
from nnspec.ir.op import Array, Op  # noqa: E402
from nnspec.ir.types import DType, TensorType, known  # noqa: E402
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad  # noqa: E402
from nnspec.ops.elementwise import Erf, Sigmoid  # noqa: E402
from nnspec.ops.index import ScatterAdd  # noqa: E402
from nnspec.ops.pool import AvgPool, AvgPoolGrad, MaxPool, MaxPoolGrad  # noqa: E402
from nnspec.ops.random import RandomBits  # noqa: E402
from nnspec_numpy.kernels import KERNELS  # noqa: E402
from nnspec_numpy.memory import zeroed  # noqa: E402

ROUNDS = 9
SECONDS = 0.02  # a round, about
ATEN = torch.ops.aten
Call = Callable[[], object]
Line = tuple[str, Call, list[Call]]

# name: images, height and width (or each length), channels, filters, kernel, stride, border, groups, dilation
CONVOLUTIONS = {
    "LeNet conv 1, 28x28x1 > 6, 5x5, batch 64": (64, 28, 1, 6, 5, 1, 2, 1),
    "LeNet conv 2, 14x14x6 > 16, 5x5, batch 64": (64, 14, 6, 16, 5, 1, 0, 1),
    "8x8x32 > 64, 3x3, batch 64": (64, 8, 32, 64, 3, 1, 1, 1),
    "32x32x64 > 64, 3x3, batch 16": (16, 32, 64, 64, 3, 1, 1, 1),
    "32x32x64 > 64, 3x3, stride 2, batch 16": (16, 32, 64, 64, 3, 2, 1, 1),
    "32x32x64 > 64, 1x1, batch 16": (16, 32, 64, 64, 1, 1, 0, 1),
    "32x32x64 > 64, 3x3, 4 groups, batch 16": (16, 32, 64, 64, 3, 1, 1, 4),
    "32x32x64, depthwise 3x3, batch 16": (16, 32, 64, 64, 3, 1, 1, 64),
    "96x96x3 > 16, 3x3, stride 2, batch 8": (8, 96, 3, 16, 3, 2, 1, 1),
    "16x16x128 > 128, 3x3, batch 32": (32, 16, 128, 128, 3, 1, 1, 1),
    "4x4x512 > 512, 3x3, batch 32": (32, 4, 512, 512, 3, 1, 1, 1),
    "24x24x144, depthwise 3x3, stride 2, batch 16": (16, 24, 144, 144, 3, 2, 1, 144),
    "first 28x28x1 > 8, 3x3, batch 64": (64, 28, 1, 8, 3, 1, 1, 1),
    "first 28x28x1 > 32, 3x3, batch 64": (64, 28, 1, 32, 3, 1, 0, 1),
    "first 8x8x1 > 32, 3x3, batch 64": (64, 8, 1, 32, 3, 1, 1, 1),
    "first 32x32x3 > 8, 3x3, batch 64": (64, 32, 3, 8, 3, 1, 1, 1),
    "first 32x32x3 > 16, 3x3, batch 64": (64, 32, 3, 16, 3, 1, 1, 1),
    "first 32x32x3 > 32, 3x3, batch 64": (64, 32, 3, 32, 3, 1, 1, 1),
    "first 224x224x3 > 64, 7x7, stride 2, batch 1": (1, 224, 3, 64, 7, 2, 3, 1),
    "first 227x227x3 > 96, 11x11, stride 4, batch 1": (1, 227, 3, 96, 11, 4, 0, 1),
    "small 14x14x8 > 16, 3x3, batch 64": (64, 14, 8, 16, 3, 1, 1, 1),
    "small 28x28x12 > 12, 3x3, batch 32": (32, 28, 12, 12, 3, 1, 1, 1),
    "small 16x16x17 > 17, 3x3, batch 32": (32, 16, 17, 17, 3, 1, 1, 1),
    "small 16x16x48 > 48, 5x5, batch 32": (32, 16, 48, 48, 5, 1, 2, 1),
    "small 64x64x16 > 3, 3x3, batch 8": (8, 64, 16, 3, 3, 1, 1, 1),
    "small 64x64x16 > 1, 1x1, batch 8": (8, 64, 16, 1, 1, 1, 0, 1),
    "small 4x4x64 > 64, 3x3, batch 1": (1, 4, 64, 64, 3, 1, 1, 1),
    "big 512x512x16 > 16, 3x3, batch 1": (1, 512, 16, 16, 3, 1, 1, 1),
    "big 224x224x64 > 64, 3x3, batch 1": (1, 224, 64, 64, 3, 1, 1, 1),
    "wide 14x14x256 > 256, 3x3, batch 1": (1, 14, 256, 256, 3, 1, 1, 1),
    "dilated 32x32x32 > 32, 3x3, batch 8": (8, 32, 32, 32, 3, 1, 2, 1, 2),
    "grouped 16x16x48 > 48, 3x3, 3 groups, batch 16": (16, 16, 48, 48, 3, 1, 1, 3),
    "1-d 1024x1 > 16, 9, batch 32": (32, (1024,), 1, 16, 9, 1, 4, 1),
    "1-d 256x64 > 64, 3, batch 32": (32, (256,), 64, 64, 3, 1, 1, 1),
    "1-d 512x32 > 64, 5, stride 2, batch 16": (16, (512,), 32, 64, 5, 2, 2, 1),
    "1-d 512x32 > 32, 3, dilated by 8, batch 16": (16, (512,), 32, 32, 3, 1, 8, 1, 8),
    "3-d 16x16x16x1 > 8, 3x3x3, batch 8": (8, (16, 16, 16), 1, 8, 3, 1, 1, 1),
    "3-d 16x16x16x16 > 16, 3x3x3, batch 8": (8, (16, 16, 16), 16, 16, 3, 1, 1, 1),
    "3-d 8x8x8x32 > 64, 3x3x3, stride 2, batch 8": (8, (8, 8, 8), 32, 64, 3, 2, 1, 1),
    "depthwise 56x56x64, 3x3, batch 4": (4, 56, 64, 64, 3, 1, 1, 64),
    "depthwise 48x48x96, 3x3, stride 2, batch 16": (16, 48, 96, 96, 3, 2, 1, 96),
    "depthwise 12x12x192, 3x3, batch 16": (16, 12, 192, 192, 3, 1, 1, 192),
    "depthwise 6x6x576, 3x3, stride 2, batch 16": (16, 6, 576, 576, 3, 2, 1, 576),
    "depthwise 14x14x120, 5x5, batch 8": (8, 14, 120, 120, 5, 1, 2, 120),
    "depthwise 14x14x96, 7x7, batch 8": (8, 14, 96, 96, 7, 1, 3, 96),
}
# name: images, height and width, channels, window, stride, border
POOLS = {
    "28x28x6, 2x2, batch 64": (64, 28, 6, 2, 2, 0),
    "32x32x64, 2x2, batch 16": (16, 32, 64, 2, 2, 0),
    "32x32x64, 3x3, stride 2, batch 16": (16, 32, 64, 3, 2, 1),
}


def kernel(op: Op, *x: Array) -> Call:
    """The op's kernel over memory that begins where a plan's does."""
    types = [TensorType(tuple(a.shape), DType(a.dtype.name)) for a in x]
    outputs = op.types(*types)
    y, space = ([placed(t) for t in kind] for kind in (outputs, KERNELS[type(op)].workspace(op, types, outputs)))
    inputs = [placed(t) for t in types]
    for a, b in zip(inputs, x, strict=True):
        a[...] = b
    return KERNELS[type(op)].bind(op, inputs, y, space)


def placed(t: TensorType) -> Array:
    return zeroed(prod(known(t.shape)) * t.dtype.size).view(t.dtype.numpy).reshape(known(t.shape))


def normal(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def layouts(x: Array) -> list[torch.Tensor]:
    t = torch.from_numpy(x).movedim(-1, 1)
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(t.ndim)
    return [t.contiguous(), *([t.contiguous(memory_format=last)] if last else [])]


def convolutions(word: str) -> Iterator[Line]:
    for name, (n, side, channels, filters, k, stride, pad, groups, *more) in CONVOLUTIONS.items():
        if word not in f"conv {name}":
            continue
        spatial: Any = side if isinstance(side, tuple) else (side, side)
        rank, dilation = len(spatial), more[0] if more else 1
        size, steps, borders, holes = [k] * rank, [stride] * rank, [pad] * rank, [dilation] * rank
        x, w = normal(n, *spatial, channels), normal(*size, channels // groups, filters)
        fields: Any = (tuple(steps), ((pad, pad),) * rank, tuple(holes), groups)
        g = normal(n, *((s + 2 * pad - (k - 1) * dilation - 1) // stride + 1 for s in spatial), filters)
        at, of_torch = (steps, borders, holes, groups), {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[rank]
        forward, data, weights = [], [], []
        for tx, tg, tk in zip(layouts(x), layouts(g), layouts(np.moveaxis(w, -1, 0)), strict=True):
            def back(mask: list[bool], x: Any = tx, g: Any = tg, w: Any = tk, at: Any = at) -> Call:
                return lambda: ATEN.convolution_backward(g, x, w, None, *at[:3], False, [0] * len(at[0]), at[3], mask)

            forward.append(lambda x=tx, w=tk, at=at, call=of_torch: call(x, w, None, *at))
            data.append(back([True, False, False]))
            weights.append(back([False, True, False]))
        yield f"conv {name}", kernel(Conv(*fields), x, w), forward
        yield "  gradient in the input", kernel(ConvInputGrad(*fields, spatial), g, w), data
        yield "  gradient in the kernel", kernel(ConvKernelGrad(*fields, tuple(size)), x, g), weights


def pools(word: str) -> Iterator[Line]:
    for name, (n, side, channels, k, stride, pad) in POOLS.items():
        x = normal(n, side, side, channels)
        fields: Any = ((k, k), (stride, stride), ((pad, pad), (pad, pad)))
        op = MaxPool(*fields)
        y, index = op.reference(x)
        xs, gs = layouts(x), layouts(y)
        places = [functional.max_pool2d(t, k, stride, pad, return_indices=True)[1] for t in xs]
        at = ([k, k], [stride, stride], [pad, pad])
        yield f"max pool {name}", kernel(op, x), [lambda t=t, at=at: ATEN.max_pool2d_with_indices(t, *at) for t in xs]
        yield ("  gradient", kernel(MaxPoolGrad(*fields, (side, side)), y, index),
               [lambda t=t, g=g, i=i, at=at: ATEN.max_pool2d_with_indices_backward(g, t, *at, [1, 1], False, i)
                for t, g, i in zip(xs, gs, places, strict=True)])
        yield f"mean pool {name}", kernel(AvgPool(*fields), x), [lambda t=t, at=at: ATEN.avg_pool2d(t, *at, False, False) for t in xs]
        yield ("  gradient", kernel(AvgPoolGrad(*fields, (side, side)), y),
               [lambda t=t, g=g, at=at: ATEN.avg_pool2d_backward(g, t, *at, False, False, None) for t, g in zip(xs, gs, strict=True)])


def others(word: str) -> Iterator[Line]:
    seed, step = np.array(7, np.uint32), np.array(3, np.int64)
    for shape in ((64, 256), (64, 12544)):
        t = torch.empty(shape)
        yield f"dropout bits {shape}", kernel(RandomBits(shape, 5), seed, step), [lambda t=t: t.bernoulli_(0.5)]
    x = normal(256, 1024)
    tx = torch.from_numpy(x)
    yield "sigmoid (256, 1024)", kernel(Sigmoid(), x), [lambda: torch.sigmoid(tx)]
    yield "erf (256, 1024)", kernel(Erf(), x), [lambda: torch.erf(tx)]
    for rows, width in ((65, 128), (8000, 256), (8000, 768)):
        ids = np.random.default_rng(0).integers(0, rows, 2048)
        g = normal(2048, width)
        ti, tg = torch.from_numpy(ids), torch.from_numpy(g)
        yield (f"embedding gradient, 2048 of {rows} rows of {width}", kernel(ScatterAdd(rows), g, ids),
               [lambda i=ti, g=tg, n=rows: ATEN.embedding_dense_backward(g, i, n, -1, False)])


def timed(runs: Sequence[Call]) -> list[float]:
    """The median over rounds of the mean time of a call, for each run, in microseconds."""
    times = []
    for run in runs:
        run()
        start = thread_time()
        run()
        times.append(max(1, int(SECONDS / (thread_time() - start))))
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS):
        for i, run in enumerate(runs):
            start = thread_time()
            for _ in range(times[i]):
                run()
            found[i].append((thread_time() - start) / times[i] * 1e6)
    return [median(each) for each in found]


def main() -> None:
    torch.set_num_threads(1)
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    shown = False
    with torch.no_grad(), np.errstate(all="ignore"):
        for lines in (convolutions, pools, others):
            for name, mine, theirs in lines(word):
                shown = word in name if not name.startswith(" ") else shown
                if shown:
                    own, *other = timed([mine, *theirs])
                    print(f"{name:<50} {own:8.0f} us  torch {min(other):8.0f} us  ratio {own / min(other):5.2f}", flush=True)


if __name__ == "__main__":
    main()
