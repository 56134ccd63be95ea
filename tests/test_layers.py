"""Every layer: gradients against central differences, values and gradients against PyTorch, in float64.

A new activation is tested by itself; another layer needs a row in ``SAMPLES``, and a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.ir.graph import Value, abstract, constant
from nnspec.ir.interpret import evaluate
from nnspec.ir.types import DType, TensorType
from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry, Mode, Values
from nnspec.ops.reduce import sum_
from tests.differences import moved
from tests.spatial_twins import SPATIAL, twin

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional


@dataclass(frozen=True)
class Sample:
    """Fields and input shapes of a layer, the batch included, and the same in PyTorch."""

    fields: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ((3, 4),)
    torch: Callable[..., Any] | None = None
    training: bool = False
    batched: tuple[bool, ...] | None = None  # where an input has no rows


def nchw(f: Callable[..., Any]) -> Callable[..., Any]:
    """A PyTorch function of images with channels first, for ours with channels last."""
    return lambda x, **p: f(x.permute(0, 3, 1, 2), **p).permute(0, 2, 3, 1)


def conv(**options: Any) -> Callable[..., Any]:
    return nchw(lambda x, kernel, bias=None: F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, **options))


def depthwise(multiplier: int, **options: Any) -> Callable[..., Any]:
    def f(x: Any, kernel: Any, bias: Any) -> Any:
        h, w, c, m = kernel.shape
        return F.conv2d(x, kernel.permute(2, 3, 0, 1).reshape(c * m, 1, h, w), bias, groups=c, **options)

    return nchw(f)


def batch_norm(x: Any, gamma: Any, beta: Any, moving_mean: Any, moving_variance: Any, training: bool) -> Any:
    y = F.batch_norm(x.movedim(-1, 1), moving_mean.detach().clone(), moving_variance.detach().clone(), gamma, beta, training, 0.01, 1e-3)
    return y.movedim(1, -1)


def sparse(matrix: Any, x: Any, rows: int | None = None) -> Any:
    """A list of (row, column, value) times x, as PyTorch multiplies sparse matrices; numbers beyond an end stand for that end."""
    ends = torch.tensor([(rows or x.shape[1]) - 1, x.shape[1] - 1])
    places = matrix[..., :2].detach().trunc().long().clamp(min=torch.zeros(2, dtype=torch.int64), max=ends)
    size = tuple((ends + 1).tolist())
    return torch.stack([(torch.sparse_coo_tensor(at.T, m[:, 2], size, dtype=x.dtype, check_invariants=True).to_dense() @ row.flatten(1)).reshape(-1, *row.shape[1:])
                        for at, m, row in zip(places, matrix, x, strict=True)])


def channels_first(f: Callable[..., Any], x: Any, *rest: Any, **options: Any) -> Any:
    return f(x.movedim(-1, 1), *rest, **options).movedim(1, -1)


IMAGE = ((2, 6, 5, 4),)
SAMPLES: dict[str, list[Sample]] = {
    "dense": [Sample({"units": 3}, ((4, 5),), lambda x, kernel, bias: x @ kernel + bias),
              Sample({"units": 2, "bias": False, "activation": {"leaky_relu": 0.2}}, ((2, 3, 5),), lambda x, kernel: F.leaky_relu(x @ kernel, 0.2)),
              Sample({"units": 3, "activation": "prelu"}, ((4, 5),), lambda x, kernel, bias, alpha: F.prelu(x @ kernel + bias, alpha)),
              Sample({"units": 3, "activation": {"prelu": {"shared": True}}}, ((4, 5),), lambda x, kernel, bias, alpha: F.prelu(x @ kernel + bias, alpha))],
    "activation": [Sample({"of": "tanh"}, ((2, 3),), torch.tanh)],
    "dropout": [Sample({"rate": 0.5}, ((4, 6),), lambda x: x), Sample({"rate": 0.3}, ((64, 32),), None, training=True)],
    "flatten": [Sample({}, ((2, 3, 4),), lambda x: x.flatten(1))],
    "reshape": [Sample({"shape": (3, -1)}, ((2, 6),), lambda x: x.reshape(2, 3, 2))],
    "permute": [Sample({"axes": (1, 0)}, ((2, 3, 4),), lambda x: x.permute(0, 2, 1))],
    "conv2d": [Sample({"filters": 3}, IMAGE, conv()), Sample({"filters": 4, "kernel": (3, 2), "stride": 2, "padding": 1, "groups": 2}, IMAGE,
                                                             conv(stride=2, padding=1, groups=2)),
               Sample({"filters": 2, "kernel": 2, "dilation": 2, "bias": False}, IMAGE, conv(dilation=2)),
               Sample({"filters": 2, "kernel": 3, "padding": "same", "stride": 2}, ((1, 7, 7, 1),), conv(stride=2, padding=1)),
               Sample({"filters": 2, "kernel": 2, "activation": "tanh"}, ((2, 3, 4, 5, 1),),
                      lambda x, **p: torch.stack([conv()(row, **p).tanh() for row in x]))],
    "depthwise_conv2d": [Sample({"kernel": 3, "multiplier": 2, "padding": 1}, IMAGE, depthwise(2, padding=1)),
                         Sample({"kernel": 2, "stride": 2}, IMAGE, depthwise(1, stride=2))],
    "max_pool2d": [Sample({"size": 2}, IMAGE, nchw(lambda x: F.max_pool2d(x, 2))),
                   Sample({"size": 3, "stride": 2, "padding": 1}, IMAGE, nchw(lambda x: F.max_pool2d(x, 3, 2, 1)))],
    "avg_pool2d": [Sample({"size": 2}, IMAGE, nchw(lambda x: F.avg_pool2d(x, 2))),
                   Sample({"size": 3, "stride": 2, "padding": 1}, IMAGE, nchw(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)))],
    "global_avg_pool2d": [Sample({}, IMAGE, lambda x: x.mean((1, 2))), Sample({"keep": True}, IMAGE, lambda x: x.mean((1, 2), keepdim=True))],
    "global_max_pool2d": [Sample({}, IMAGE, lambda x: x.amax((1, 2)))],
    "grid_sample": [Sample(f, ((2, 3, 4, 2), (2, 2, 3, 2)), twin("grid_sample", **f))
                    for f in ({}, {"padding": "border", "align": "corners"}, {"method": "nearest"}, {"method": "nearest", "padding": "border"})],
    **{kind: [Sample(fields, (shape,), twin(kind, **fields)) for fields, shape in rows] for kind, rows in SPATIAL.items()},
    "batch_norm": [Sample({}, ((6, 3),), lambda x, **p: batch_norm(x, **p, training=False)),
                   Sample({}, ((6, 3),), lambda x, **p: batch_norm(x, **p, training=True), training=True),
                   Sample({"momentum": 0.9}, ((3, 2, 4, 3),), lambda x, **p: batch_norm(x, **p, training=True), training=True)],
    "layer_norm": [Sample({}, ((4, 5),), lambda x, gamma, beta: F.layer_norm(x, (5,), gamma, beta, 1e-3)),
                   Sample({"epsilon": 1e-5, "scale": False}, ((2, 3, 5),), lambda x, beta: F.layer_norm(x, (5,), None, beta, 1e-5)),
                   Sample({"axes": (-1, -2)}, ((2, 3, 5),), lambda x, gamma, beta: F.layer_norm(x, (3, 5), gamma, beta, 1e-3)),
                   Sample({"axes": 0}, ((2, 3, 5),), lambda x, gamma, beta: F.layer_norm(x.mT, (3,), gamma, beta, 1e-3).mT)],
    "group_norm": [Sample({"groups": 2}, IMAGE, lambda x, gamma, beta: channels_first(F.group_norm, x, 2, gamma, beta, 1e-3)),
                   Sample({"groups": 3, "epsilon": 1e-5, "center": False}, ((4, 6),), lambda x, gamma: F.group_norm(x, 3, gamma, None, 1e-5))],
    "instance_norm": [Sample({}, IMAGE, lambda x, gamma, beta: channels_first(F.group_norm, x, 4, gamma, beta, 1e-3)),
                      Sample({"scale": False, "center": False}, ((2, 5, 3),), lambda x: channels_first(F.instance_norm, x, eps=1e-3))],
    "rms_norm": [Sample({}, ((4, 5),), lambda x, gamma: F.rms_norm(x, (5,), gamma, 1e-6)),
                 Sample({"scale": False, "epsilon": 0.1}, ((2, 3, 5),), lambda x: F.rms_norm(x, (5,), None, 0.1))],
    "local_response_norm": [Sample({"size": 3, "alpha": 0.5}, ((2, 3, 3, 7),), lambda x: channels_first(F.local_response_norm, x, 3, 0.5)),
                            Sample({"size": 4, "alpha": 1.0, "beta": 0.5, "k": 2.0}, ((2, 3, 6),), lambda x: channels_first(F.local_response_norm, x, 4, 1, 0.5, 2)),
                            Sample({"size": 9, "alpha": 1.0}, ((2, 1, 3),), lambda x: channels_first(F.local_response_norm, x, 9, 1.0))],
    "spatial_dropout": [Sample({"rate": 0.5}, ((4, 3, 6),), lambda x: x), Sample({"rate": 0.3}, ((16, 2, 3, 32),), None, training=True)],
    "drop_path": [Sample({"rate": 0.5}, ((4, 6),), lambda x: x), Sample({"rate": 0.3}, ((16, 2, 3),), None, training=True)],
    "gaussian_noise": [Sample({"deviation": 0.5}, ((4, 6),), lambda x: x), Sample({"deviation": 0.5}, ((4, 3, 3),), None, training=True)],
    "squeeze": [Sample({}, ((2, 1, 3, 1),), lambda x: x.reshape(2, 3)), Sample({"axes": -1}, ((2, 1, 3, 1),), lambda x: x.squeeze(-1))],
    "unsqueeze": [Sample({"axes": 0}, ((2, 3),), lambda x: x[:, None]), Sample({"axes": (0, -1)}, ((2, 3),), lambda x: x[:, None, :, None])],
    "minimum": [Sample({}, ((2, 3), (2, 3)), torch.minimum)],
    "dot": [Sample({}, ((3, 4), (3, 4)), lambda a, b: (a * b).sum(-1, keepdim=True)),
            Sample({"normalize": True}, ((2, 3, 4), (2, 5, 4)), lambda a, b: F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT),
            Sample({"axes": (0, 1)}, ((2, 3, 4), (2, 5, 3)), lambda a, b: torch.einsum("bij,bki->bjk", a, b))],
    "transpose": [Sample({}, ((2, 3, 4, 5),), lambda x: x.mT), Sample({"axes": (0, 2)}, ((2, 3, 4, 5),), lambda x: x.transpose(1, 3))],
    "reduce_sum": [Sample({}, ((2, 3, 4),), lambda x: x.sum((1, 2))), Sample({"axes": 0, "keep": True}, ((2, 3, 4),), lambda x: x.sum(1, keepdim=True))],
    "reduce_mean": [Sample({"axes": -1}, ((2, 3, 4),), lambda x: x.mean(-1)), Sample({"axes": (0, 2)}, ((2, 3, 4, 5),), lambda x: x.mean((1, 3)))],
    "reduce_max": [Sample({}, ((2, 3, 4),), lambda x: x.amax((1, 2))), Sample({"axes": 1}, ((2, 3, 4),), lambda x: x.amax(2))],
    "reduce_min": [Sample({}, ((2, 3, 4),), lambda x: x.amin((1, 2))), Sample({"axes": 1, "keep": True}, ((2, 3, 4),), lambda x: x.amin(2, keepdim=True))],
    "slice": [Sample({"start": 1}, ((2, 4, 3),), lambda x: x[:, 1:]),
              Sample({"axes": (0, -1), "start": (0, -3), "stop": (-1, None), "step": (2, 1)}, ((2, 6, 4),), lambda x: x[:, :-1:2, -3:])],
    "split": [Sample({"parts": 2}, ((2, 3, 6),), lambda x: x.chunk(2, -1)[0]), Sample({"sizes": (1, 3), "axis": 0}, ((2, 4, 3),), lambda x: x[:, :1])],
    "stack": [Sample({}, ((2, 3), (2, 3), (2, 3)), lambda *x: torch.stack(x, 1)), Sample({"axis": -1}, ((2, 3, 4), (3, 4)),
              lambda a, b: torch.stack([a, b.expand(2, 3, 4)], -1), batched=(True, False))],
    "gather": [Sample({"indices": -1}, ((2, 4, 3),), lambda x: x[:, -1]), Sample({"indices": ((0, -1), (2, 0)), "axis": 1}, ((2, 4, 3),),
                                                                                 lambda x: x[:, :, [[0, -1], [2, 0]]])],
    "sparse_matmul": [Sample({}, ((2, 7, 3), (2, 3, 4)), sparse), Sample({"rows": 5}, ((2, 7, 3), (2, 3, 2, 2)), lambda m, x: sparse(m, x, 5)),
                      Sample({}, ((7, 3), (2, 3, 4)), lambda m, x: sparse(m.expand(2, 7, 3), x), batched=(False, True))],
    "graph_dense": [Sample({"units": 4}, ((2, 3, 5), (2, 7, 3)), lambda x, m, kernel, bias: sparse(m, x @ kernel) + bias),
                   Sample({"units": 2, "bias": False, "activation": "tanh"}, ((1, 3, 5), (1, 4, 3)), lambda x, m, kernel: sparse(m, x @ kernel).tanh())],
    "top_k": [Sample({"k": 2}, ((2, 4, 5),), lambda x: x.topk(2).values), Sample({"k": 4}, ((3, 4),), lambda x: x.topk(4).values)],
    "where": [Sample({}, ((3, 4), (3, 4), (4,)), lambda c, a, b: torch.where(c != 0, a, b), batched=(True, True, False))],
    "einsum": [Sample({"equation": "ij, jk -> ik"}, ((2, 3, 4), (2, 4, 5)), lambda a, b: a @ b),
               Sample({"equation": "tc,cd,d->td"}, ((2, 3, 4), (4, 5), (5,)), lambda a, b, c: (a @ b) * c, batched=(True, False, False)),
               Sample({"equation": "iij->j"}, ((2, 3, 3, 2),), lambda x: torch.einsum("biij->bj", x))],
    "cast": [Sample({"dtype": "float32"}, ((2, 3),), lambda x: x)],
    "math": [Sample({"formula": "x * sigmoid(1.5 * x)"}, ((2, 3),), lambda x: x * torch.sigmoid(1.5 * x)),
             Sample({"formula": "mean(log(cosh(a - b)))"}, ((2, 3, 4), (2, 3, 4)), lambda a, b: (a - b).cosh().log().mean((1, 2)))],
    **dict.fromkeys(("anchor_boxes", "clip_boxes", "convert_boxes", "decode_boxes", "decode_distances", "default_boxes", "grid_points",
                     "multiscale_roi_align", "non_max_suppression", "best_boxes", "roi_align"), []),  # judged/boxes.py, test_boxes.py
    "stop_gradient": [], "one_hot": [],  # no gradients: test_layers_small.py
    "parameter": [Sample({"shape": (2, 3)}, (), lambda value: value)],
    "constant": [Sample({"value": ((1, 2), (3, 4.5))}, (), lambda: torch.tensor([[1, 2], [3, 4.5]], dtype=torch.float64))],
    "normal": [Sample({"shape": (2, 3)}, ())], "uniform": [Sample({"shape": (2, 3)}, ())], "bernoulli": [Sample({"shape": (4,)}, ())],
    "sample_normal": [Sample({}, ((3, 4), (3, 4)))],
    "embedding": [],  # whole numbers go in: test_embedding_picks_rows
    "add": [Sample({}, ((2, 3), (2, 3), (2, 3)), lambda a, b, c: a + b + c), Sample({}, ((2, 4), (2, 3, 4)), lambda a, b: a[:, None] + b)],
    "subtract": [Sample({}, ((2, 3), (2, 3)), lambda a, b: a - b)],
    "multiply": [Sample({}, ((2, 3), (2, 3)), lambda a, b: a * b), Sample({}, ((2, 1, 1, 4), (2, 3, 2, 4)), lambda a, b: a * b)],
    "average": [Sample({}, ((2, 3), (2, 3), (2, 3)), lambda a, b, c: (a + b + c) / 3)],
    "maximum": [Sample({}, ((2, 3), (2, 3)), torch.maximum)],
    "concat": [Sample({}, ((2, 3), (2, 1)), lambda a, b: torch.cat([a, b], 1)), Sample({"axis": 0}, ((2, 3, 4), (2, 2, 4)), lambda a, b: torch.cat([a, b], 1))],
    "matmul": [Sample({}, ((2, 3, 4), (2, 4, 5)), lambda a, b: a @ b), Sample({"transpose": True}, ((2, 3, 4), (2, 5, 4)), lambda a, b: a @ b.mT)],
}
# F.hardsigmoid and F.hardswish hold 1/6 in single precision: their gradients are written out here.
TORCH_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda x: x, "sigmoid": torch.sigmoid, "hard_sigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1), "log_sigmoid": F.logsigmoid, "tanh": torch.tanh,
    "hard_tanh": F.hardtanh, "arctan": torch.arctan, "softsign": F.softsign, "relu": torch.relu, "relu6": F.relu6, "leaky_relu": F.leaky_relu,
    "prelu": lambda x, alpha: F.prelu(x.movedim(-1, 1), alpha).movedim(1, -1), "elu": F.elu, "celu": F.celu, "selu": F.selu, "gelu": F.gelu,
    "silu": F.silu, "hard_silu": lambda x: x * (x / 6 + 0.5).clamp(0, 1), "mish": F.mish, "softplus": F.softplus, "exponential": torch.exp, "soft_shrink": F.softshrink,
    "hard_shrink": F.hardshrink, "tanh_shrink": F.tanhshrink, "softmax": lambda x: x.softmax(-1), "log_softmax": lambda x: x.log_softmax(-1),
}


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Lists as the reader of specs gives them."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def cases() -> list[Any]:
    out = [pytest.param(Entry.registry[k](**plain(s.fields)), s, id=f"{k}-{i}") for k, samples in SAMPLES.items() for i, s in enumerate(samples)]
    for kind, cls in Activation.activations.items():
        needed = [n for n, f in cls.model_fields.items() if f.is_required()]
        assert not needed, f"{kind} needs {needed}: give them defaults"
        out += [pytest.param(cls(), Sample({}, shape, TORCH_ACTIVATIONS.get(kind)), id=f"{kind}-{len(shape[0])}") for shape in (((3, 4),), ((2, 3, 5),))]
    return out


def built(entry: Entry, sample: Sample) -> tuple[tuple[Value, ...], dict[str, Value], Value, dict[Value, Any]]:
    rng = np.random.default_rng(3)
    x = tuple(abstract(TensorType(s, DType.float64), f"x{i}") for i, s in enumerate(sample.shapes))
    params = {p.name: p for p in entry.parameters(x)}
    values = {n: abstract(TensorType(p.shape, DType.float64), n, "parameter") for n, p in params.items()}
    scalars = {"seed": abstract(TensorType((), DType.uint32), "seed"), "step": abstract(TensorType((), DType.int64), "step")}
    mode = Mode(training=sample.training, path="l", batched=sample.batched or (True,) * len(x), batch=sample.shapes[0][0] if sample.shapes else 3,
                dtype=DType.float64, **scalars)
    fed: dict[Value, Any] = {v: rng.uniform(-2.2, 2.2, v.shape) for v in x}
    fed |= {v: rng.uniform(0.3, 1.5, v.shape) for v in values.values()}
    fed |= {scalars["seed"]: np.array(1, np.uint32), scalars["step"]: np.array(0)}
    return x, values, entry.apply(x, Values(values), mode).y, fed


def test_every_layer_has_a_sample() -> None:
    assert set(Entry.registry) == set(SAMPLES) | set(Activation.activations)


@pytest.mark.parametrize(("entry", "sample"), cases())
def test_gradients_equal_central_differences(entry: Entry, sample: Sample) -> None:
    x, params, y, fed = built(entry, sample)
    weight = np.random.default_rng(4).standard_normal(y.shape)
    loss = sum_(y * constant(weight, DType.float64))
    wrt = [*x, *params.values()]
    found = gradients(loss, wrt)
    exact = evaluate([g for g in found if g is not None], fed)
    rng = np.random.default_rng(5)
    for v, g in zip(wrt, found, strict=True):
        size = fed[v].size
        chosen = range(size) if size <= 40 else rng.choice(size, 40, replace=False)
        numeric = np.array([difference(loss, fed, v, i) for i in chosen])
        own = np.zeros(size) if g is None else exact[g].reshape(-1)
        scale = max(np.abs(own).max(), np.abs(numeric).max(), 1e-3)
        assert np.abs(own[list(chosen)] - numeric).max() <= 1e-6 * scale


def difference(loss: Value, fed: dict[Value, Any], v: Value, i: int, step: float = 1e-6) -> float:
    results = []
    for sign in (1, -1):
        moved = fed[v].copy()
        moved.reshape(-1)[i] += sign * step
        results.append(float(evaluate([loss], {**fed, v: moved})[loss]))
    return (results[0] - results[1]) / (2 * step)


def beside_torch(entry: Entry, sample: Sample) -> Iterator[tuple[Any, Any]]:
    """The value and every gradient of a random weighing, and PyTorch's; ours is zeros, and PyTorch's None, where there is no gradient."""
    x, params, y, fed = built(entry, sample)
    tensors = {v: torch.tensor(fed[v], requires_grad=True) for v in (*x, *params.values())}
    assert sample.torch is not None
    theirs = sample.torch(*(tensors[v] for v in x), **{n: tensors[v] for n, v in params.items()})
    weight = np.random.default_rng(4).standard_normal(y.shape)
    wrt = [*x, *params.values()]
    found = gradients(sum_(y * constant(weight, DType.float64)), wrt)
    values = evaluate([y, *(g for g in found if g is not None)], fed)
    yield values[y], theirs.detach().numpy()
    (theirs * torch.tensor(weight)).sum().backward() if theirs.requires_grad else None
    for v, g in zip(wrt, found, strict=True):
        grad = tensors[v].grad
        yield np.zeros(fed[v].shape) if g is None else values[g], None if grad is None else grad.numpy()


@pytest.mark.parametrize(("entry", "sample"), [c for c in cases() if c.values[1].torch is not None])
def test_values_and_gradients_equal_pytorch(entry: Entry, sample: Sample) -> None:
    for ours, theirs in beside_torch(entry, sample):
        if theirs is not None:
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11)


def test_step_is_one_above_zero_alone() -> None:
    entry = Entry.registry["step"]()
    x = abstract(TensorType((4,), DType.float64))
    y = entry.apply((x,), Values({}), Mode()).y
    assert evaluate([y], {x: np.array([-1.0, 0.0, 1e-9, 3.0])})[y].tolist() == [0, 0, 1, 1]


def test_embedding_picks_rows() -> None:
    entry = Entry.registry["embedding"](vocabulary=4, units=3)
    ids = abstract(TensorType((2, 2), DType.int64), "ids")
    table = abstract(TensorType((4, 3), DType.float64), "table")
    y = entry.apply((ids,), Values({"embedding": table}), Mode()).y
    (g,) = gradients(sum_(y), [table])
    rows, numbers = np.random.default_rng(0).standard_normal((4, 3)), np.array([[0, 2], [2, 3]])
    assert g is not None
    values = evaluate([y, g], {ids: numbers, table: rows})
    np.testing.assert_array_equal(values[y], rows[numbers])
    np.testing.assert_array_equal(values[g], np.array([1, 0, 2, 1])[:, None] * np.ones((4, 3)))


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    entry = Entry.registry["dropout"](rate=0.25)
    _, _, y, fed = built(entry, Sample({}, ((400, 500),), training=True))
    fed = {v: np.ones_like(a) if a.ndim == 2 else a for v, a in fed.items()}
    out = evaluate([y], fed)[y]
    assert set(np.unique(out)) == {0.0, 1 / 0.75}
    assert abs((out == 0).mean() - 0.25) < 0.005
    assert abs(out.mean() - 1) < 0.01


@st.composite
def generated(draw: Any) -> tuple[Entry, tuple[int, ...], bool]:
    """A smooth layer with drawn fields, the shape of an input that fits it, and whether it trains."""
    size, channels = draw(st.tuples(st.integers(5, 7), st.integers(5, 7))), draw(st.integers(1, 4))
    image = (draw(st.integers(2, 3)), *size, channels)
    kernel, stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    window = {"padding": draw(st.sampled_from(["valid", "same", 1, (0, 1, 1, 0)])), "stride": stride}
    activation = draw(st.sampled_from(["identity", "tanh", "gelu", "softmax"]))
    groups = draw(st.sampled_from([n for n in (1, 2, 3, 4) if channels % n == 0]))
    units = groups * draw(st.integers(1, 2))
    fields: dict[str, dict[str, Any]] = {
        "dense": {"units": units, "bias": draw(st.booleans()), "activation": activation},
        "conv2d": {"filters": units, "kernel": kernel, "groups": groups, "dilation": draw(st.integers(1, 2)), "activation": activation, **window},
        "depthwise_conv2d": {"kernel": kernel, "multiplier": draw(st.integers(1, 2)), **window},
        "avg_pool2d": {"size": (2, 2), **window},
        "batch_norm": {"scale": draw(st.booleans()), "center": draw(st.booleans())},
        "layer_norm": {"scale": draw(st.booleans())},
    }
    kind = draw(st.sampled_from(sorted(fields)))
    return Entry.registry[kind](**fields[kind]), image, draw(st.booleans())


@given(generated())
def test_gradients_over_generated_shapes_equal_central_differences(drawn: tuple[Entry, tuple[int, ...], bool]) -> None:
    entry, image, training = drawn
    x, params, y, fed = built(entry, Sample({}, (image,), training=training))
    loss = sum_(y * constant(np.random.default_rng(4).standard_normal(y.shape), DType.float64))
    wrt = [*x, *params.values()]
    found = gradients(loss, wrt)
    exact = evaluate([g for g in found if g is not None], fed)
    rng = np.random.default_rng(6)
    for v, g in zip(wrt, found, strict=True):
        own = np.zeros(fed[v].shape) if g is None else exact[g]
        for i in rng.choice(own.size, min(own.size, 6), replace=False):
            unit = np.zeros(own.size)
            unit[i] = 1.0
            numeric = moved(lambda at, v=v: float(evaluate([loss], {**fed, v: at[0]})[loss]), [fed[v]], 0, unit.reshape(own.shape))
            assert abs(own.reshape(-1)[i] - numeric) <= 1e-6 * max(np.abs(own).max(), 1e-3)
