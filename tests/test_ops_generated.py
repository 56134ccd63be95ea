"""Ops on shapes that Hypothesis makes up: against central differences, and against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.ir.op import REGISTRY, Array, Op
from nnspec.ops.activation import Gelu, Softplus
from nnspec.ops.conv import Conv, ConvInputGrad, ConvKernelGrad
from nnspec.ops.elementwise import Add, Divide, Elementwise, Erf, Maximum, Multiply, Subtract
from nnspec.ops.matmul import MatMul
from nnspec.ops.normalization import BatchNorm, LayerNorm
from nnspec.ops.pool import AvgPool, MaxPool
from nnspec.ops.reduce import Max, Min, Sum
from nnspec.ops.softmax import LogSoftmax, SigmoidCrossEntropy, Softmax, SoftmaxCrossEntropy
from tests.differences import applied, check_gradient, draws, run, weighted

SIDES = st.integers(1, 4)
SHAPES = st.lists(SIDES, min_size=0, max_size=4).map(tuple)


def apart(seed: int, shape: tuple[int, ...]) -> Array:
    """Numbers of which no two are close."""
    n = int(np.prod(shape, dtype=int))
    return np.random.default_rng(seed).permutation(n).reshape(shape) / 7.0 - n / 14.0


def check(op: Op, *arrays: Array) -> None:
    inputs, outputs = applied(op, arrays)
    check_gradient(weighted(outputs[:1]), inputs, arrays)


@st.composite
def broadcastable(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast, ranks and axes of length 1 in all combinations."""
    common = draw(SHAPES)

    def part() -> tuple[int, ...]:
        return tuple(1 if draw(st.booleans()) else d for d in common)[draw(st.integers(0, len(common))) :]

    return part(), part()


@st.composite
def convolutions(draw: Any) -> tuple[Conv, tuple[int, ...], tuple[int, ...]]:
    """A convolution, and shapes of an input and a kernel that fit it."""
    rank = draw(st.integers(1, 2))

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    size, stride, dilation, groups = each(1, 3), each(1, 3), each(1, 2), draw(st.integers(1, 2))
    around = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    padding = draw(st.sampled_from(["same", around]))
    spatial = tuple((k - 1) * d + 1 + extra for k, d, extra in zip(size, dilation, each(0, 3), strict=True))
    x = (draw(st.integers(1, 2)), *spatial, groups * draw(st.integers(1, 2)))
    return Conv(stride, padding, dilation, groups), x, (*size, x[-1] // groups, groups * draw(st.integers(1, 2)))


@st.composite
def pools(draw: Any, op: Any) -> tuple[Op, tuple[int, ...]]:
    rank = draw(st.integers(1, 2))
    size = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    stride = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    around = tuple((draw(st.integers(0, k // 2)),) * 2 for k in size)
    spatial = tuple(k + draw(st.integers(0, 3)) for k in size)
    return op(size, stride, draw(st.sampled_from(["same", around]))), (2, *spatial, draw(st.integers(1, 2)))


@given(st.sampled_from([Add, Subtract, Multiply]), broadcastable())
def test_gradients_through_any_broadcast(op: type[Op], shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    check(op(), draws(1, shapes[0]), draws(2, shapes[1]))


@given(broadcastable())
def test_gradients_of_quotients_and_extremes_through_any_broadcast(shapes: tuple[tuple[int, ...], ...]) -> None:
    a, b = (apart(i, s) for i, s in enumerate(shapes))
    check(Divide(), a, np.abs(b) + 0.8)
    check(Maximum(), a, b + 0.05)


@given(st.sampled_from([Sum, Max, Min]), SHAPES, st.data(), st.booleans())
def test_gradients_of_any_reduction(op: Any, shape: tuple[int, ...], data: st.DataObject, keep: bool) -> None:
    assume(shape)
    axes = data.draw(st.sets(st.sampled_from(range(len(shape))), min_size=1))
    check(op(tuple(sorted(axes)), keep), apart(3, shape))


@given(broadcastable(), SIDES, SIDES, SIDES)
def test_gradients_of_any_matrix_product(lead: tuple[tuple[int, ...], ...], m: int, k: int, n: int) -> None:
    check(MatMul(), draws(1, (*lead[0][-2:], m, k)), draws(2, (*lead[1][-2:], k, n)))


@settings(max_examples=15)
@given(convolutions())
def test_gradients_of_any_convolution(made: tuple[Conv, tuple[int, ...], tuple[int, ...]]) -> None:
    op, x, w = made
    check(op, draws(1, x), draws(2, w))


@given(pools(MaxPool))
def test_gradients_of_any_max_pool(made: tuple[Op, tuple[int, ...]]) -> None:
    check(made[0], apart(1, made[1]))


@given(pools(AvgPool))
def test_gradients_of_any_average_pool(made: tuple[Op, tuple[int, ...]]) -> None:
    check(made[0], draws(1, made[1]))


# --- against PyTorch --------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def ours(op: Op, *arrays: Array) -> tuple[Array, list[Array]]:
    """The first output, and the gradient of its weighted sum in every float."""
    inputs, outputs = applied(op, arrays)
    found = gradients(weighted(outputs[:1]), [v for v in inputs if v.dtype.is_float])
    y, *g = run([outputs[0], *(v for v in found if v is not None)], inputs, arrays)
    return y, g


def theirs(torch: Any, f: Any, *arrays: Array) -> tuple[Array, list[Array]]:
    tensors = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    y = f(*tensors)
    (y * torch.tensor(draws(0, tuple(y.shape), 0.5, 1.5))).sum().backward()
    return y.detach().numpy(), [t.grad.numpy() for t in tensors if t.grad is not None]


def agree(torch: Any, op: Op, f: Any, *arrays: Array) -> None:
    (y, gs), (z, hs) = ours(op, *arrays), theirs(torch, f, *arrays)
    assert len(gs) == len(hs)
    for a, b in zip([y, *gs], [z, *hs], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(float(np.abs(b).max(initial=0.0)), 1e-2))


def first(x: Any) -> Any:
    """Channels before space."""
    return x.movedim(-1, 1).contiguous()


def last(x: Any) -> Any:
    return x.movedim(1, -1)


def kernel(w: Any) -> Any:
    """``(*kernel, in, out)`` as PyTorch's ``(out, in, *kernel)``."""
    return w.movedim(-1, 0).movedim(-1, 1).contiguous()


def sides(around: list[tuple[int, int]]) -> list[int]:
    """The padding of an op's axes as ``torch.nn.functional.pad`` takes it: last axis first."""
    return [n for pair in reversed(around[1:-1]) for n in pair]


@settings(max_examples=60)
@given(convolutions())
def test_convolutions_and_their_gradients_are_pytorchs(torch: Any, made: tuple[Conv, Any, Any]) -> None:
    op, x, w = made
    rank = len(op.stride)
    conv = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[rank - 1]

    def f(a: Any, b: Any) -> Any:
        around = torch.nn.functional.pad(first(a), sides(op.around(x, w[:rank])))
        return last(conv(around, kernel(b), None, op.stride, 0, op.dilation, op.groups))

    agree(torch, op, f, draws(1, x), draws(2, w))


@settings(max_examples=30)
@given(convolutions())
def test_the_two_gradients_of_a_convolution_are_pytorchs_as_ops(torch: Any, made: tuple[Conv, Any, Any]) -> None:
    op, x, w = made
    rank = len(op.stride)
    conv = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[rank - 1]
    a, b = torch.tensor(draws(1, x), requires_grad=True), torch.tensor(draws(2, w), requires_grad=True)
    around = torch.nn.functional.pad(first(a), sides(op.around(x, w[:rank])))
    y = last(conv(around, kernel(b), None, op.stride, 0, op.dilation, op.groups))
    g = draws(3, tuple(y.shape))
    y.backward(torch.tensor(g))
    common = (op.stride, op.padding, op.dilation, op.groups)
    for made_of, arrays, wanted in ((ConvInputGrad(*common, x[1:-1]), (g, draws(2, w)), a.grad),
                                    (ConvKernelGrad(*common, w[:rank]), (draws(1, x), g), b.grad)):
        found = made_of.reference(*arrays)
        largest = max(float(wanted.abs().max()), 1e-2)
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-10 * largest)


@settings(max_examples=40)
@given(pools(MaxPool))
def test_max_pools_are_pytorchs(torch: Any, made: tuple[Any, tuple[int, ...]]) -> None:
    op, x = made
    pool = (torch.nn.functional.max_pool1d, torch.nn.functional.max_pool2d)[len(op.size) - 1]

    def f(a: Any) -> Any:
        around = torch.nn.functional.pad(first(a), sides(op.around(x)), value=-float("inf"))
        return last(pool(around, op.size, op.stride))

    agree(torch, op, f, apart(1, x))


@settings(max_examples=40)
@given(pools(AvgPool))
def test_average_pools_leave_padding_out_as_pytorchs_do(torch: Any, made: tuple[Any, tuple[int, ...]]) -> None:
    op, x = made
    assume(op.padding != "same")
    pool = (torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d)[len(op.size) - 1]
    around = tuple(low for low, _ in op.padding)
    agree(torch, op, lambda a: last(pool(first(a), op.size, op.stride, around, count_include_pad=False)), draws(1, x))


ROWS = st.tuples(st.integers(1, 5), st.integers(1, 6))


@given(ROWS)
def test_softmaxes_and_cross_entropies_are_pytorchs(torch: Any, shape: tuple[int, int]) -> None:
    f = torch.nn.functional
    x, ids = draws(1, shape, -30, 30), np.random.default_rng(1).integers(0, shape[1], shape[0])
    agree(torch, Softmax(), lambda a: f.softmax(a, -1), x)
    agree(torch, LogSoftmax(), lambda a: f.log_softmax(a, -1), x)
    agree(torch, SoftmaxCrossEntropy(), lambda a, t: f.cross_entropy(a, t, reduction="none"), x, ids)
    agree(torch, SigmoidCrossEntropy(), lambda a, t: f.binary_cross_entropy_with_logits(a, t, reduction="none"),
          x, draws(2, shape, 0, 1))


@given(ROWS)
def test_activations_are_pytorchs(torch: Any, shape: tuple[int, int]) -> None:
    x = draws(1, shape, -6, 6)
    agree(torch, Gelu(), torch.nn.functional.gelu, x)
    agree(torch, Gelu(True), lambda a: torch.nn.functional.gelu(a, approximate="tanh"), x)
    agree(torch, Softplus(), lambda a: torch.log1p(torch.exp(-a.abs())) + a.clamp(min=0), x)
    agree(torch, Erf(), torch.erf, x)


SAME_NAME = {"Exp": "exp", "Expm1": "expm1", "Log": "log", "Log1p": "log1p", "Sqrt": "sqrt", "Square": "square",
             "Abs": "abs", "Sign": "sign", "Sin": "sin", "Cos": "cos", "Arctan": "atan", "Tanh": "tanh",
             "Sigmoid": "sigmoid", "Relu": "relu", "Negative": "neg"}


@pytest.mark.parametrize("name", SAME_NAME)
def test_elementwise_ops_are_pytorchs(torch: Any, name: str) -> None:
    cls = REGISTRY[name]
    assert issubclass(cls, Elementwise)
    x = draws(1, (4, 7), 0.1 if name in ("Log", "Sqrt") else -0.9, 3.0)
    y, found = ours(cls(), x)
    z, wanted = theirs(torch, getattr(torch, SAME_NAME[name]), x)
    np.testing.assert_allclose(y, z, rtol=1e-12, atol=1e-14)
    for g, h in zip(found, wanted, strict=False):
        np.testing.assert_allclose(g, h, rtol=1e-10, atol=1e-12)


@given(st.tuples(st.integers(2, 5), st.integers(1, 3), st.integers(1, 4)))
def test_normalisations_are_pytorchs(torch: Any, shape: tuple[int, ...]) -> None:
    f = torch.nn.functional
    x, gamma, beta = draws(1, shape), draws(2, shape[-1:], 0.5, 2), draws(3, shape[-1:])
    agree(torch, LayerNorm(1e-3), lambda a, b, c: f.layer_norm(a, shape[-1:], b, c, 1e-3), x, gamma, beta)
    agree(torch, BatchNorm(1e-3), lambda a, b, c: last(f.batch_norm(first(a), None, None, b, c, True, 0.0, 1e-3)),
          x, gamma, beta)


def test_weighted_batch_norm_does_not_see_rows_of_weight_nothing() -> None:
    x, gamma, beta = draws(1, (3, 2, 4)), draws(2, (4,)), draws(3, (4,))
    more = np.concatenate([x, np.full((2, 2, 4), 1e3)])
    plain = BatchNorm(1e-3).reference(x, gamma, beta)
    padded = BatchNorm(1e-3).reference(more, gamma, beta, np.array([1.0, 1, 1, 0, 0]))
    for a, b in zip(plain, padded, strict=True):
        np.testing.assert_allclose(a, b[: len(a)], rtol=1e-12)
