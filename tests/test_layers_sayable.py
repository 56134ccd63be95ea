"""The small layers that make the rest sayable: beside PyTorch and NumPy, as statistics, and in whole compiled steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.ir.graph import abstract
from nnspec.ir.interpret import evaluate
from nnspec.ir.types import DType, TensorType
from nnspec.layers.layer import Entry, Mode, Values, applied
from nnspec.ops.reduce import sum_
from nnspec.runtime.session import Model, compile
from tests.test_layers import Sample, built
from tests.test_layers_small import same_as_torch

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")


@st.composite
def equations(draw: Any) -> tuple[str, list[tuple[int, ...]], tuple[bool, ...], str]:
    """An equation without the batch, shapes, which inputs have rows, and the equation with the batch."""
    lengths = {c: draw(st.integers(1, 4)) for c in "ijkl"}
    terms = [draw(st.text("ijkl", max_size=3)) for _ in range(draw(st.integers(1, 3)))]
    used = sorted(set("".join(terms)))
    output = "".join(draw(st.permutations([c for c in used if draw(st.booleans())])))
    batched = (True, *(draw(st.booleans()) for _ in terms[1:]))
    shapes = [(2,) * b + tuple(lengths[c] for c in term) for term, b in zip(terms, batched, strict=True)]
    whole = ",".join("b" * b + term for term, b in zip(terms, batched, strict=True)) + "->b" + output
    return ",".join(terms) + "->" + output, shapes, batched, whole


@given(equations())
def test_einsum_equals_pytorch(drawn: tuple[str, list[tuple[int, ...]], tuple[bool, ...], str]) -> None:
    equation, shapes, batched, whole = drawn
    sample = Sample({}, tuple(shapes), lambda *x: torch.einsum(whole, *x), batched=batched)
    same_as_torch(Entry.registry["einsum"](equation=equation), sample)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3), st.data())
def test_slice_equals_numpy(shape: list[int], data: Any) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    start, stop = data.draw(st.integers(-n, n - 1)), data.draw(st.none() | st.integers(-n, n))
    step = data.draw(st.integers(1, 3))
    assume(len(range(n)[start:stop]))
    at = (slice(None),) * (axis + 1) + (slice(start, stop, step),)
    entry = Entry.registry["slice"](start=start, stop=stop, step=step, axes=axis)
    same_as_torch(entry, Sample({}, ((2, *shape),), lambda x: x[at]))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.lists(st.integers(1, 3), max_size=2), st.booleans(), st.booleans(), st.data())
def test_gather_equals_numpys_take(shape: list[int], chosen: list[int], own_rows: bool, own_numbers: bool, data: Any) -> None:
    """Of tensors with rows and of tables without them, by numbers with rows and without, at any axis; gradients add up."""
    axis, n = data.draw(st.integers(0, len(shape) - 1)), 2
    assume(own_rows or own_numbers)
    x = abstract(TensorType((n,) * own_rows + tuple(shape), DType.float64), "x")
    ids = abstract(TensorType((n,) * own_numbers + tuple(chosen), DType.int64), "ids")
    mode = Mode(batch=n, batched=(own_rows, own_numbers), dtype=DType.float64)
    y = applied(Entry.registry["gather"](axis=axis), (x, ids), Values({}), mode).y
    (g,) = gradients(sum_(y * y), [x])
    rng = np.random.default_rng(0)
    held, numbers = rng.standard_normal(x.shape), rng.integers(-2, shape[axis] + 2, ids.shape)  # beyond the ends too
    assert g is not None
    found = evaluate([y, g], {x: held, ids: numbers})
    clipped = numbers.clip(0, shape[axis] - 1)
    tensor = torch.tensor(held, requires_grad=True)
    rows = [tensor[i] if own_rows else tensor for i in range(n)]
    picks = [clipped[i] if own_numbers else clipped for i in range(n)]
    theirs = torch.stack([r.index_select(axis, torch.tensor(p.reshape(-1))).reshape((*shape[:axis], *chosen, *shape[axis + 1 :]))
                          for r, p in zip(rows, picks, strict=True)])
    np.testing.assert_array_equal(found[y], theirs.detach().numpy())
    (theirs * theirs).sum().backward()
    np.testing.assert_allclose(found[g], tensor.grad.numpy(), rtol=1e-12, atol=1e-12)


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, float("inf"), float("-inf")]), min_size=1, max_size=7), st.data())
def test_the_largest_are_taken_in_order_and_of_equals_the_first(row: list[float], data: Any) -> None:
    k = data.draw(st.integers(1, len(row)))
    text = f"nnspec: 1\nprecision: float64\ninputs: {{x: {{shape: [{len(row)}]}}}}\nlayers: [top_k: {{k: {k}, name: t}}]\noutputs: [t.values, t.indices]\n"
    order = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
    for backend in ("numpy", "interpret"):
        found = compile(loads(text), backend=backend).predict(np.array([row, row[::-1]]), raw=True)
        np.testing.assert_array_equal(found["t.values"][0], [row[i] for i in order])
        np.testing.assert_array_equal(found["t.indices"][0], order)


def test_not_a_number_counts_as_the_largest_as_in_pytorch() -> None:
    entry, x = Entry.registry["top_k"](k=3), abstract(TensorType((1, 4), DType.float64))
    y = entry.apply((x,), Values({}), Mode()).outputs["indices"]
    held = np.array([[1.0, -np.nan, np.inf, np.nan]])
    assert evaluate([y], {x: held})[y].tolist() == [[1, 3, 2]]


def test_one_hot_and_its_refusals() -> None:
    text = "nnspec: 1\ninputs: {x: {shape: [2], dtype: int64}}\nlayers: [one_hot: 3]\n"
    np.testing.assert_array_equal(compile(loads(text)).predict(np.array([[0, 2]]), raw=True), [[[1, 0, 0], [0, 0, 1]]])
    with pytest.raises(SpecError, match="one_hot asks for whole numbers"):
        loads(text.replace(", dtype: int64", ""))


def test_no_gradient_flows_through_stop_gradient() -> None:
    x, _, y, fed = built(Entry.registry["stop_gradient"](), Sample({}, ((2, 3),)))
    (g,) = gradients(sum_(y * x[0]), list(x))
    assert g is not None
    found = evaluate([y, g], fed)
    np.testing.assert_array_equal(found[y], fed[x[0]])
    np.testing.assert_array_equal(found[g], fed[x[0]])  # not twice as much


N = 50_000


def many(kind: str, seed: int = 1, step: int = 0, rows: int = N // 5, **fields: Any) -> Any:
    seeds, steps = abstract(TensorType((), DType.uint32)), abstract(TensorType((), DType.int64))
    mode = Mode(batch=rows, seed=seeds, step=steps, path="z", batched=(), dtype=DType.float64)
    y = Entry.registry[kind](shape=(5,), **fields).apply((), Values({}), mode).y
    return evaluate([y], {seeds: np.array(seed, np.uint32), steps: np.array(step)})[y]


def test_normal_numbers_are_normal() -> None:
    y = (many("normal", mean=3.0, deviation=2.0) - 3.0) / 2.0
    assert abs(y.mean()) < 4 / N**0.5
    assert abs(y.var() - 1) < 4 * (2 / N) ** 0.5
    inside = [0.6826894921, 0.9544997361, 0.9973002039]
    for k, share in enumerate(inside, 1):
        assert abs((abs(y) < k).mean() - share) < 4 * (share * (1 - share) / N) ** 0.5


def test_uniform_numbers_are_even() -> None:
    y = many("uniform", minimum=-1.0, maximum=3.0)
    assert y.min() >= -1 and y.max() < 3
    counts = np.histogram(y, 16, (-1, 3))[0]
    assert ((counts - N / 16) ** 2 / (N / 16)).sum() < 37.7  # chi-square of 15 degrees, one in a thousand


def test_bernoulli_numbers_are_one_with_their_probability() -> None:
    y = many("bernoulli", probability=0.3)
    assert set(np.unique(y)) == {0.0, 1.0}
    assert abs(y.mean() - 0.3) < 4 * (0.3 * 0.7 / N) ** 0.5
    assert many("bernoulli", probability=1.0).all() and not many("bernoulli", probability=0.0).any()


@pytest.mark.parametrize("kind", ["normal", "uniform", "bernoulli"])
def test_a_draw_depends_on_seed_step_and_row_alone(kind: str) -> None:
    first = many(kind, rows=50)
    np.testing.assert_array_equal(first, many(kind, rows=50))
    np.testing.assert_array_equal(first[:20], many(kind, rows=20))
    assert (first != many(kind, seed=2, rows=50)).any()
    assert (first != many(kind, step=1, rows=50)).any()


def test_single_precision_draws_stay_below_the_maximum() -> None:
    seeds, steps = abstract(TensorType((), DType.uint32)), abstract(TensorType((), DType.int64))
    mode = Mode(batch=200, seed=seeds, step=steps, path="z", batched=())
    y = Entry.registry["uniform"](shape=(500,)).apply((), Values({}), mode).y
    z = Entry.registry["normal"](shape=(500,)).apply((), Values({}), mode).y
    found = evaluate([y, z], {seeds: np.array(1, np.uint32), steps: np.array(0)})
    assert found[y].dtype == found[z].dtype == np.float32
    assert found[y].min() >= 0 and found[y].max() < 1 and np.isfinite(found[z]).all()


HEAD = "nnspec: 1\nprecision: float64\ninputs: {x: {shape: [4, 6]}}\nlayers:\n"
TAIL = "  - flatten\n  - dense: 3\nloss: cross_entropy\noptimizer: {sgd: 0.1}\n"
SPECS = {
    "class token": "  - parameter: {shape: [1, 6], init: normal, name: cls}\n  - concat: {from: [cls, x], axis: 0}\n  - gather: 0\n",
    "variational": "  - dense: 8\n  - split: {parts: 2, name: s}\n  - sample_normal: {from: s}\n",
    "variational by roles": "  - dense: 8\n  - split: {parts: 2, name: s}\n  - sample_normal: {from: {mean: s.0, log_variance: s.1}}\n",
    "scale": "  - parameter: {shape: 6, init: {normal: {mean: 1, deviation: 0.1}}, name: g}\n  - multiply: {from: [x, g]}\n",
    "layer over a parameter": "  - parameter: {shape: [6, 6], name: g}\n  - tanh: {name: t}\n  - matmul: {from: [x, t]}\n",
    "parameter times rows": "  - parameter: {shape: [3, 4], name: g}\n  - matmul: {from: [g, x]}\n",
    "top": "  - top_k: {k: 2, name: t}\n  - gather: {from: [x, t.indices], axis: 1, name: g}\n  - flatten\n  - flatten: {from: t, name: f}\n"
           "  - concat: {from: [f, flatten_1]}\n",
    "noise": "  - normal: {shape: [4, 6], name: z}\n  - bernoulli: {shape: [4, 1], name: b}\n  - uniform: {shape: [6], minimum: -1, name: u}\n"
             "  - multiply: {from: [z, b, u], name: m}\n  - add: {from: [x, m]}\n",
    "where": "  - constant: {value: [1, 0, 1, 0, 0, 1], dtype: bool, name: c}\n  - constant: {value: 0.5, name: h}\n"
             "  - where: {from: {condition: c, then: x, otherwise: h}}\n",
    "einsum": "  - parameter: {shape: [6, 2, 3], name: q}\n  - einsum: {from: [x, q], equation: \"tc,chd->htd\"}\n",
    "table": "  - parameter: {shape: [5, 3], name: table}\n  - top_k: {k: 2, name: t, from: x}\n  - gather: {from: [table, t.indices]}\n",
    "parts": "  - split: {sizes: [1, 2, 3], name: s}\n  - dense: {from: s.1, units: 3, name: d}\n  - add: {from: [d, s.2], name: e}\n"
             "  - concat: {from: [s.0, e]}\n",
    "cast": "  - cast: {dtype: bool, name: c}\n  - cast: {dtype: float32, name: f}\n  - multiply: {from: [x, f]}\n",
    "slice": "  - slice: {axes: [0, 1], start: [1, -3], step: [2, 1]}\n",
    "stack": "  - reduce_mean: {axes: 0, name: m}\n  - reduce_max: {from: x, axes: 0, name: n}\n  - stack: {from: [m, n], axis: 1}\n",
}


def learn_alike(text: str, feeds: dict[str, Any]) -> tuple[Model, ...]:
    """The same spec compiled, interpreted, and compiled for padded batches, after three steps that were alike."""
    models = compile(loads(text)), compile(loads(text), backend="interpret"), compile(loads(text + "batch_size: 7\n"))
    for _ in range(3):
        losses = [m.train_batch(feeds)["loss"] for m in models]
        assert losses == pytest.approx([losses[0]] * 3, rel=1e-11)
    for path in models[0].parameters:
        for other in models[1:]:
            np.testing.assert_allclose(models[0].read(path), other.read(path), rtol=1e-9, atol=1e-12)
    return models


@pytest.mark.parametrize("name", SPECS)
def test_compiled_steps_equal_interpreted_ones_and_padding_is_not_seen(name: str) -> None:
    text, rng = HEAD + SPECS[name] + TAIL, np.random.default_rng(0)
    feeds = {"x": rng.standard_normal((5, 4, 6)), "target": rng.integers(0, 3, 5)}
    models = learn_alike(text, feeds)
    first, *others = [m.predict(feeds["x"], raw=True) for m in models]
    for other in others:
        np.testing.assert_allclose(first, other, rtol=1e-9, atol=1e-12)


def test_symbolic_axes_pass_through() -> None:
    text = """nnspec: 1
inputs: {x: {shape: [time, 6]}}
layers:
  - parameter: {shape: [1, 6], name: cls}
  - concat: {from: [cls, x], axis: 0}
  - slice: {start: -3, stop: -1, name: end}
  - gather: {from: concat_1, indices: -1, name: last}
  - einsum: {from: [concat_1, last], equation: "tc,c->t", name: scores}
  - normal: {shape: [2], name: z}
  - gaussian_noise: {deviation: 0.1, from: concat_1}
  - group_norm: 3
  - reduce_mean: {axes: 0, name: m}
outputs: [end, last, scores, z, m]
"""
    found = compile(loads(text)).predict(np.ones((2, 5, 6), np.float32), raw=True)
    assert {k: v.shape for k, v in found.items()} == {"end": (2, 2, 6), "last": (2, 6), "scores": (2, 6), "z": (2, 2), "m": (2, 6)}


BAD = [
    ("slice: {start: 4}", "start 4 of (batch, 4, 6)"), ("slice: {stop: 5}", "stop 5"), ("slice: {start: 2, stop: 1}", "a start before the stop"),
    ("slice: {start: [0, 1]}", "2 numbers for 1 axes"), ("slice: {axes: [0, 0]}", "names an axis twice"), ("slice: {step: 0}", "at least 1"),
    ("split", "split' does not say how"), ("split: {parts: 2, sizes: [3, 3]}", "parts and sizes"), ("split: 4", "4 parts of 6"),
    ("split: {sizes: [2, 2]}", "sizes that add up to 6"), ("split: {sizes: [5, 2]}", "sizes that add up to 6"),
    ("gather", "neither indices nor a second input"), ("gather: 4", "4 of 4: (batch, 4, 6)"), ("gather: 0.5", "whole numbers"),
    ("gather: {from: [x, x]}", "dtype: int64 for 'x'"), ("gather: {indices: [[0], [0, 1]]}", "lists of numbers"),
    ("top_k: 7", "7 of 6"), ("top_k: {k: 0}", "at least 1"), ("reduce_sum: 2", "reduce_sum has no such axis"),
    ("einsum: 'ij'", "'->' before the output"), ("einsum: 'ij->ii'", "names each axis once"), ("einsum: 'ij->k'", "'k' in one of the inputs"),
    ("einsum: '...i->i'", "the batch is implied"), ("einsum: 'i->i'", "2 letters"), ("einsum: 'ij,jk->ik'", "2 inputs"), ("einsum: 'ii->i'", "two lengths"),
    ("cast: float8", "float32"), ("constant: {value: [[1], [2, 3]]}", "each of one length"), ("constant: text", "a number, or lists"),
    ("parameter: {shape: [0]}", "at least 1"), ("parameter: {shape: 2, init: nothing}", "no initialiser is called 'nothing'"),
    ("parameter: {shape: 2, init: [1, 2, 3]}", "shape (3,)"), ("bernoulli: {shape: 2, probability: 2}", "at most 1"), ("normal: {from: x, shape: 2}", "takes no input"),
    ("where: {from: [x, x]}", "takes 3 inputs"), ("where: {from: {condition: x, then: x}}", "needs 'otherwise'"), ("stack: {from: [x, s]}", "one shape"),
    ("concat: {from: [x, ids]}", "dtypes differ"), ("stack: {from: [x, ids]}", "dtypes differ"), ("where: {from: [x, x, ids]}", "dtypes differ"),
    ("transpose: 0", "a list"), ("sample_normal", "takes 2 inputs"), ("mean: 0", "in nnspec this is 'reduce_mean'"), ("topk: 1", "in nnspec this is 'top_k'"),
]


@pytest.mark.parametrize(("layer", "said"), BAD)
def test_what_does_not_fit_is_one_clear_error(layer: str, said: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{HEAD}  - dense: {{units: 2, name: s}}\n  - cast: {{from: x, dtype: int64, name: ids}}\n  - identity: {{from: x}}\n  - {layer}\n")
    (problem,) = e.value.problems
    assert said in str(e.value)
    assert problem.place is not None and problem.place.line == 8


@pytest.mark.parametrize("layer", ["tanh", "dropout: 0.5", "gaussian_noise: 0.1", "rms_norm", "local_response_norm: 3", "average: {from: [x, x]}", "exponential",
                                   "dot: {from: [x, x], normalize: true}", "reduce_mean", "top_k: 1", "sample_normal: {from: [x, x]}", "sigmoid"])
def test_whole_numbers_where_floats_are_wanted_are_one_clear_error(layer: str) -> None:
    with pytest.raises(SpecError, match="floats|dtypes differ") as e:
        loads(f"nnspec: 1\ninputs: {{x: {{shape: [4], dtype: int64}}}}\nlayers:\n  - {layer}\n")
    (problem,) = e.value.problems
    assert problem.place is not None and problem.place.line == 4


@pytest.mark.parametrize(("constant", "said"), [
    ("{value: 3.7, dtype: int64}", "3.7"), ("{value: [1, 3000000000], dtype: int32}", "3e.09"), ("{value: 1e300}", "1e.300"), ("{value: 2, dtype: bool}", "0 or 1"),
])
def test_a_constant_that_its_element_type_cannot_hold_is_refused(constant: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        loads(f"nnspec: 1\ninputs: {{x: {{shape: [4]}}}}\nlayers:\n  - constant: {constant}\n")


def test_what_a_length_refuses_once_it_is_known_is_one_clear_error() -> None:
    for layer in ("slice: {stop: 10}", "slice: {start: -8}", "gather: 7", "split: {parts: 2, axis: 0}", "split: {sizes: [3, 4], axis: 0}"):
        model = compile(loads(f"nnspec: 1\ninputs: {{x: {{shape: [time, 6]}}}}\nlayers:\n  - {layer}\n"))
        with pytest.raises(SpecError, match="5"):
            model.predict(np.ones((2, 5, 6), np.float32))


@pytest.mark.parametrize(("layers", "most"), [
    ("  - parameter: {shape: [6, 2], name: table}\n  - gather: {from: [table, ids]}\n", 5), ("  - gather: {from: [x, ids]}\n", 3), ("  - one_hot: {from: ids, classes: 7}\n", 6),
    ("  - math: {from: ids, formula: \"minimum(maximum(x, 0), 3)\", name: near}\n  - gather: {from: [x, near]}\n", None),
])
def test_fed_numbers_that_choose_nothing_are_one_clear_error(layers: str, most: int | None) -> None:
    head = "nnspec: 1\ninputs: {x: {shape: [4, 2]}, ids: {shape: [3], dtype: int64}}\nlayers:\n  - identity: {from: x, name: same}\n"
    name = layers.strip().rsplit("- ", 1)[1].split(":")[0] + "_1"
    model = compile(loads(f"{head}{layers}outputs: [same, {name}]\n"))
    feed = {"x": np.ones((2, 4, 2), np.float32), "ids": np.full((2, 3), 3)}
    model.predict(feed)
    if most is None:
        model.predict({**feed, "ids": np.full((2, 3), 99)})
        return
    for wrong in (most + 1, -1):
        with pytest.raises(SpecError, match=f"wanted  0 to {most}"):
            model.predict({**feed, "ids": np.full((2, 3), wrong)})
