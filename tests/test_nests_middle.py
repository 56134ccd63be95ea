"""Loop nests that reduce axes in the middle: whatever axes, lengths and lies of operands, they give what the calls give one by one."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite")
from nnspec.autodiff import gradients
from nnspec.codegen.check_plan import check_plan
from nnspec.ir.graph import Graph, Value
from nnspec.ops import elementwise as e
from nnspec.ops.movement import broadcast_to, concat, reshape, transpose
from nnspec.ops.normalization import GroupNorm, LayerNorm
from nnspec.ops.reduce import all_finite, max_, mean, min_, sum_
from nnspec.passes import run_pipeline
from nnspec_numpy import BACKEND
from nnspec_numpy.llvm import render
from nnspec_numpy.llvm.blocks import Blocks
from nnspec_numpy.team import TEAM
from tests.program_graphs import fed
from tests.test_nests import cpu, fused, nests, value  # noqa: F401  # a fixture
from tests.test_numpy_backend import bound, check_equal

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")
F = torch.nn.functional
EXAMPLES = 200 if os.environ.get("NNSPEC_FULL") else 25


def blocks(graph: Graph) -> int:
    """How many of a graph's nests walk blocks."""
    return sum(render.kind(n) is Blocks for n in nests(graph))


def check(graph: Graph, tolerance: float = 3e-5) -> Graph:
    after = fused(graph)
    check_plan(after, BACKEND.plan(after, "t"))
    check_equal(after, fed(graph), tolerance)
    return after


def normal(x: Value, axes: tuple[int, ...]) -> Value:
    centred = x - mean(x, axes, keep=True)
    return centred / e.sqrt(mean(e.square(centred), axes, keep=True) + 0.1)


SHAPES = st.lists(st.sampled_from([1, 2, 3, 5, 8, 16, 17, 33, 70]), min_size=2, max_size=5).filter(lambda s: np.prod(s) < 20000)


@settings(max_examples=EXAMPLES, deadline=None)
@given(SHAPES.map(tuple), st.data())
def test_any_axes_of_any_shape(shape: tuple[int, ...], data: Any) -> None:
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    x, g = value(*shape), value(*shape, label="g")
    some = tuple(n if data.draw(st.booleans()) else 1 for n in shape)
    scale = value(*some, label="scale")
    y = normal(x * scale, axes)
    p = e.exp(x - max_(x, axes, keep=True))
    p = p / sum_(p, axes, keep=True)
    graph = Graph({"y": e.relu(y), "p": p, "least": min_(x * g, axes), "sum": sum_(y * g, axes), "kept": sum_(e.square(x) * 0.5, axes, keep=True) * 2.0,
                   "columns": sum_(p * g, tuple(range(len(shape) - 1))), "rows": sum_(y, 0), "all": sum_(p * g), "fine": all_finite(y * g)})
    check(graph)


@pytest.mark.parametrize(("shape", "axes"), [((2, 9, 20), (1,)), ((2, 150, 3), (1,)), ((3, 2, 5, 6, 4), (1, 2)), ((2, 7, 4, 8), (1, 3)), ((2, 3, 40), (1, 2)),
                                             ((1, 70, 33), (1,)), ((2, 5, 3, 4, 17), (2, 4)), ((2, 130, 6, 1), (1, 3)), ((4, 3, 300), (1,))])
def test_what_is_normalised_over_axes_in_the_middle_is_one_nest(shape: tuple[int, ...], axes: tuple[int, ...], cpu: str) -> None:  # noqa: F811
    x = value(*shape)
    after = check(Graph({"y": e.exp(normal(x, axes) * 0.5), "largest": max_(x * 2.0, axes)}))
    assert len(nests(after)) == blocks(after) == 1
    assert all(c.op.name in ("Fused", "Input") for c in after.calls)


@pytest.mark.parametrize(("shape", "groups"), [((2, 5, 4, 8), 2), ((2, 6, 6, 32), 8), ((3, 3, 3, 6), 6), ((2, 9, 48), 3), ((4, 12), 3)])
def test_group_norm_forth_and_back_is_pytorchs(shape: tuple[int, ...], groups: int, cpu: str) -> None:  # noqa: F811
    c = shape[-1]
    x, gamma, beta, g = value(*shape), value(c, label="gamma"), value(c, label="beta"), value(*shape, label="g")
    y = GroupNorm(groups, 1e-3).one(x, gamma, beta)
    graph = Graph({"y": y, **{f"d{i}": v for i, v in enumerate(gradients(sum_(y * g), [x, gamma, beta])) if v is not None}})
    feed = fed(graph)
    run, _ = bound(fused(graph), feed)
    run.run()
    tx, tg, tb = (torch.tensor(feed[k].astype(np.float64), requires_grad=True) for k in ("x", "gamma", "beta"))
    ty = F.group_norm(tx.movedim(-1, 1), groups, tg, tb, 1e-3).movedim(1, -1)
    (ty * torch.tensor(feed["g"].astype(np.float64))).sum().backward()
    for name, wanted in (("y", ty.detach()), ("d0", tx.grad), ("d1", tg.grad), ("d2", tb.grad)):
        wanted = wanted.numpy()
        np.testing.assert_allclose(run.outputs[name], wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize("axes", [(1, 2), (1,), (2,)])
def test_layer_norm_over_any_axes_forth_and_back(axes: tuple[int, ...], cpu: str) -> None:  # noqa: F811
    shape = (3, 6, 20)
    kept = tuple(n if i in axes else 1 for i, n in enumerate(shape) if i)
    x, gamma, beta, g = value(*shape), value(*kept, label="gamma"), value(*kept, label="beta"), value(*shape, label="g")
    y = e.relu(LayerNorm(1e-3, axes).one(x, gamma, beta))
    check(Graph({"y": y, **{f"d{i}": v for i, v in enumerate(gradients(sum_(y * g), [x, gamma, beta])) if v is not None}}), 1e-4)


def test_sums_of_many_rows_in_the_middle_lose_few_digits() -> None:
    x = value(2, 20011, 24)
    feed = {"x": np.random.default_rng(0).uniform(0.5, 1.5, (2, 20011, 24)).astype(np.float32)}
    run, _ = bound(fused(Graph({"y": sum_(x * 1.5, 1)})), feed)
    run.run()
    np.testing.assert_allclose(run.outputs["y"], 1.5 * feed["x"].astype(np.float64).sum(1), rtol=2e-6)


def test_operands_may_be_repeated_or_lie_otherwise(cpu: str) -> None:  # noqa: F811
    x, row, turned = value(2, 5, 20), value(2, 1, 20, label="row"), value(2, 20, 5, label="turned")
    y = x * broadcast_to(row, (2, 5, 20)) + transpose(turned, (0, 2, 1))
    joined = concat((sum_(y, 1), max_(y, 1)), 1)
    check(Graph({"joined": joined, "y": y / sum_(e.exp(y), 1, keep=True), "part": e.sigmoid(joined) + 1.0}))


def test_nan_in_a_block_reaches_its_columns_alone(cpu: str) -> None:  # noqa: F811
    run, _ = bound(fused(Graph({"m": max_(value(2, 70, 20) * 1.0 + 0.0, 1)})), {"x": np.ones((2, 70, 20), np.float32)})
    run.inputs["x"][1, 69, 3] = np.nan
    run.run()
    assert np.argwhere(np.isnan(run.outputs["m"])).tolist() == [[1, 3]]


def test_blocks_are_shared_by_threads_to_equal_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    x = value(9, 30, 4, 10)
    y = normal(x, (1, 3))
    graph = Graph({"y": y, "sum": sum_(y * x, (0, 1, 2)), "all": sum_(e.square(y)), "fine": all_finite(y)})
    found = []
    for parts, threads in (((1, 4), 1), ((1, 4), 2), ((1, 4), 4)):
        monkeypatch.setattr(render, "PARTS", (parts,))
        monkeypatch.setattr(TEAM, "threads", threads)
        check(graph)
        run, _ = bound(fused(graph), fed(graph))
        run.run()
        found.append({name: out.tobytes() for name, out in run.outputs.items()})
    assert found[0] == found[1] == found[2]


def test_axes_on_both_sides_of_what_is_kept_are_left_to_others() -> None:
    x = value(4, 6, 8)
    graph = Graph({"y": reshape(sum_(x, (0, 2)), (6, 1)) * 2.0})
    check_equal(run_pipeline(graph, BACKEND.claims, BACKEND.loops()), fed(graph), 1e-5)
