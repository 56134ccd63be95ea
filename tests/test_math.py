"""``math``: drawn formulas beside PyTorch in float64, gradients at kinks, names in sight, one clear error each, whole compiled steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnspec.autodiff import gradients
from nnspec.compiler import loads
from nnspec.errors import SpecError
from nnspec.ir.graph import abstract, constant
from nnspec.ir.interpret import evaluate
from nnspec.ir.types import DType, TensorType
from nnspec.layers.layer import Entry, Mode, Values
from nnspec.ops.reduce import sum_
from nnspec.runtime.session import compile
from nnspec.spec.grammar import parse
from nnspec.spec.tensor_formulas import names_of, read
from tests.test_layers_sayable import learn_alike
from tests.test_layers_small import close

torch = pytest.importorskip("torch", reason="PyTorch is the reference; install the extra 'test'")


def wrapped(*templates: str) -> st.SearchStrategy[str]:
    return st.sampled_from(templates)


LEAVES = st.sampled_from(["x", "y", "z", "2", "0.5", "-1.5"])
ONE = wrapped("exp(sin({a}))", "log(abs({a}) + 1)", "sqrt(abs({a}) + 0.5)", "cos({a})", "tanh({a})", "cosh(tanh({a}))", "sigmoid({a})", "erf({a})", "abs({a})",
              "sign({a}) * x", "-({a})", "({a}) ** 2", "({a}) ** 3", "(abs({a}) + 0.3) ** -0.5", "2 ** tanh({a})", "sum({a} * x, axis=-1, keep=true)",
              "mean({a} + x, axis=0, keep=true)", "max({a} * x, axis=[0, 1], keep=true)", "min({a} + x, axis=-2, keep=true)", "({a} > 0.1) * y",
              "mean({a} * x) + sum({a} * x) * 0.1 + z * 0")
TWO = wrapped("({a}) + ({b})", "({a}) - ({b})", "({a}) * tanh({b})", "({a}) / (1 + ({b}) ** 2)", "minimum({a}, {b})", "maximum({a}, {b}, y)",
              "where({a} > {b}, {a}, {b} * 2)", "({a} if {a} < {b} else x)", "(x + {a}) % (abs({b}) + 0.7)", "(y + {a}) // (abs({b}) + 0.7) + x",
              "(abs({a}) + 0.2) ** tanh({b})", "where(x > {a} and not (y <= {b} or z == 0), x, {a})", "(-1 < x <= {a}) * {b}")
FORMULAS = st.recursive(LEAVES, lambda inner: st.one_of(st.builds(lambda t, a: t.format(a=a), ONE, inner),
                                                        st.builds(lambda t, a, b: t.format(a=a, b=b), TWO, inner, inner)), max_leaves=5)


class Theirs:
    """The same formula in PyTorch: the text read by Python over tensors, rows first."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def along(self, f: Any) -> Any:
        def go(x: Any, axis: Any = None, keep: bool = False) -> Any:
            axes = list(range(1, x.ndim)) if axis is None else [a + 1 if a >= 0 else a for a in (axis if isinstance(axis, list) else [axis])]
            y = f(x, axes, keep)
            return y.reshape(len(x), 1, 1) if axis is None and not keep else y  # to broadcast, the batch apart

        return go

    def value(self, text: str) -> Any:
        def tensor(v: Any) -> Any:
            return v if isinstance(v, torch.Tensor) else torch.tensor(float(v), dtype=torch.float64)

        functions = {n: (lambda f: lambda v: f(tensor(v)))(getattr(torch, n)) for n in
                     ("exp", "log", "sqrt", "sin", "cos", "tanh", "cosh", "sigmoid", "erf", "abs", "sign")}
        functions["minimum"] = lambda *v: tensor(v[0]) if len(v) == 1 else functions["minimum"](torch.minimum(tensor(v[0]), tensor(v[1])), *v[2:])
        functions["maximum"] = lambda *v: tensor(v[0]) if len(v) == 1 else functions["maximum"](torch.maximum(tensor(v[0]), tensor(v[1])), *v[2:])
        functions["where"] = lambda c, a, b: torch.where(tensor(c) != 0, tensor(a), tensor(b))
        functions |= {"sum": self.along(lambda x, a, k: x.sum(a, keepdim=k)), "mean": self.along(lambda x, a, k: x.mean(a, keepdim=k)),
                      "max": self.along(lambda x, a, k: x.amax(a, keepdim=k)), "min": self.along(lambda x, a, k: x.amin(a, keepdim=k))}
        return self.walk(read(text, None), functions)  # type: ignore[arg-type]  # the place is for errors alone

    def walk(self, e: Any, functions: dict[str, Any]) -> Any:
        match type(e).__name__:
            case "Number" | "Constant":
                return e.value
            case "Name":
                return self.names[e.name]
            case "ListLiteral":
                return [self.walk(i, functions) for i in e.items]
            case "Unary":
                v = self.walk(e.operand, functions)
                return -v if e.operator == "-" else ~v if e.operator == "not" else v
            case "Binary":
                a, b = self.walk(e.left, functions), self.walk(e.right, functions)
                return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b, "%": lambda: a % b, "**": lambda: a**b,
                        "//": lambda: torch.div(a, b, rounding_mode="floor"), "and": lambda: a & b, "or": lambda: a | b}[e.operator]()
            case "Compare":
                values = [self.walk(v, functions) for v in (e.first, *e.rest)]
                signs = {"<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b, "==": lambda a, b: a == b}
                parts = [signs[s](a, b) for s, a, b in zip(e.operators, values, values[1:], strict=False)]
                return parts[0] if len(parts) == 1 else parts[0] & parts[1]
            case "Conditional":
                return functions["where"](self.walk(e.condition, functions), self.walk(e.value, functions), self.walk(e.other, functions))
            case _:
                return functions[e.function](*(self.walk(a, functions) for a in e.arguments), **{k: self.walk(v, functions) for k, v in e.keywords})


def ours(text: str, held: dict[str, Any], batched: dict[str, bool]) -> tuple[Any, dict[str, Any]]:
    """The value, and the gradients of a random weighing of it."""
    names = list(names_of(read(text, None)))  # type: ignore[arg-type]  # the place is for errors alone
    x = {n: abstract(TensorType(held[n].shape, DType.float64), n) for n in names}
    mode = Mode(batch=3, batched=tuple(batched[n] for n in names), dtype=DType.float64)
    y = Entry.registry["math"](formula=text).apply(tuple(x.values()), Values({}), mode).y
    fed = {v: held[n] for n, v in x.items()}
    if not y.dtype.is_float:
        return evaluate([y], fed)[y], {}
    found = gradients(sum_(y * constant(weights(y.shape), DType.float64)), list(x.values()))
    values = evaluate([y, *(g for g in found if g is not None)], fed)
    return values[y], {n: np.zeros(held[n].shape) if g is None else values[g] for n, g in zip(names, found, strict=True)}


def weights(shape: Any) -> Any:
    return np.random.default_rng(4).standard_normal(shape)


def check(text: str, held: dict[str, Any], batched: dict[str, bool]) -> None:
    value, grads = ours(text, held, batched)
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in held.items()}
    theirs = Theirs(tensors).value(text)
    rank = theirs.ndim
    theirs = theirs.reshape(value.shape) if rank == value.ndim + 2 or theirs.numel() == value.size else theirs
    close(value.astype(float), theirs.detach().numpy().astype(float))
    if not grads:
        return
    if theirs.requires_grad:
        (theirs * torch.tensor(weights(value.shape))).sum().backward()
    for n, g in grads.items():
        close(g, np.zeros(g.shape) if tensors[n].grad is None else tensors[n].grad.numpy())


RNG = np.random.default_rng(11)
HELD = {"x": RNG.uniform(-2, 2, (3, 4, 2)), "y": RNG.uniform(-2, 2, (3, 1, 2)), "z": RNG.uniform(-2, 2, (4, 1))}
ROWS = {"x": True, "y": True, "z": False}


@settings(max_examples=150)
@given(FORMULAS.filter(lambda t: not {"x", "y"}.isdisjoint(names_of(parse(t, None)))))
def test_drawn_formulas_equal_pytorch(text: str) -> None:
    check(text, HELD, ROWS)


KINKS = ["abs(x)", "maximum(x, 0)", "minimum(x, y)", "max(x)", "min(x, axis=0)", "sign(x) * x", "x ** 0", "x ** 1", "x ** 2", "where(x > 0, x, 0.1 * x)",
         "x if x >= 0 else -x", "abs(x) ** y", "x ** 3", "x % 1", "sqrt(abs(x) + 1)", "maximum(x, y, 0)"]


@pytest.mark.parametrize("text", KINKS)
def test_gradients_at_kinks_are_those_of_pytorch(text: str) -> None:
    x = np.array([[0.0, 1.0, 1.0], [-1.0, 0.0, 0.0], [2.0, 2.0, 2.0]])
    check(text, {"x": x, "y": np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])}, {"x": True, "y": True})


def test_axes_broadcast_as_numpys_the_batch_apart() -> None:
    held = {"x": RNG.standard_normal((3, 4)), "y": RNG.standard_normal((3, 5, 4)), "z": RNG.standard_normal((5, 1))}
    value, _ = ours("x + y * z", held, ROWS)
    close(value, held["x"][:, None] + held["y"] * held["z"])
    value, _ = ours("mean(y) + sum(x)", held, ROWS)
    close(value, held["y"].mean((1, 2)) + held["x"].sum(1))


def test_whole_numbers_stay_whole_until_a_fraction_comes() -> None:
    text = "nnspec: 1\ninputs: {{n: {{shape: [4], dtype: int64}}}}\nlayers: [math: \"{}\"]\n"
    n = np.array([[-7, 3, 8, 0]])
    for formula, wanted in {"x // 2": n // 2, "x % 3": n % 3, "x ** 2 - 1": n**2 - 1, "-abs(x)": -abs(n), "maximum(x, 1)": np.maximum(n, 1)}.items():
        found = compile(loads(text.format(formula))).predict(n, raw=True)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, wanted)
    for formula, wanted in {"x / 2": n / 2, "x + 0.5": n + 0.5, "mean(x)": n.mean(1), "tanh(x)": np.tanh(n), "(x > 0) * 2": (n > 0) * 2.0}.items():
        found = compile(loads(text.format(formula))).predict(n, raw=True)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


HEAD = "nnspec: 1\nprecision: float64\ninputs: {image: {shape: [4, 3]}}\n"
TAIL = "  - flatten\n  - dense: 3\nloss: cross_entropy\noptimizer: {sgd: 0.1}\n"
LAYERS = {
    "block": ("blocks:\n  swishy: {args: {beta: 1.0}, layers: [math: \"x * sigmoid($beta * x)\"]}\n", "  - swishy: 1.5\n"),
    "activation": ("blocks:\n  swishy: {args: {beta: 1.0}, layers: [math: \"x * sigmoid($beta * x)\"]}\n", "  - dense: {units: 5, activation: {swishy: 2}}\n"),
    "learned": ("", "  - parameter: {shape: 3, init: ones, name: beta}\n  - math: {from: image, formula: \"x * sigmoid(beta * x)\"}\n"),
    "names in sight": ("", "  - dense: {units: 3, name: h}\n  - math: \"where(h > 0, h, image % 1) + max(image, axis=0)\"\n"),
    "names of one's own": ("", "  - dense: {units: 4, name: h}\n  - split: {parts: 2, name: s}\n  - math: {from: {a: s.0, b: s.1}, formula: a * sigmoid(b)}\n"),
    "statistics": ("", "  - math: (x - mean(x, axis=0)) / sqrt(mean(x ** 2, axis=0) + 0.1)\n"),
    "every function": ("", "  - math: erf(x) + cosh(x) * sin(x) - log(1 + exp(cos(x))) + sign(x) * abs(x) + x // 1 + min(x, axis=1, keep=true)\n"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_compiled_steps_equal_interpreted_ones_and_padding_is_not_seen(name: str) -> None:
    blocks, layers = LAYERS[name]
    text, rng = f"{HEAD}{blocks}layers:\n{layers}{TAIL}", np.random.default_rng(0)
    feeds = {"image": rng.standard_normal((5, 4, 3)), "target": rng.integers(0, 3, 5)}
    learn_alike(text, feeds)


def test_a_block_of_two_inputs_reads_them_by_name() -> None:
    blocks = "blocks:\n  log_cosh: {inputs: [prediction, target], layers: [math: \"mean(log(cosh(prediction - target)))\"]}\n"
    text = f"{HEAD}{blocks}layers:\n  - dense: {{units: 3, name: h}}\n  - log_cosh: {{from: [h, image]}}\noutputs: [h, log_cosh_1]\n"
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    found = compile(loads(text)).predict(x, raw=True)
    np.testing.assert_allclose(found["log_cosh_1"], np.log(np.cosh(found["h"] - x)).mean((1, 2)), rtol=1e-12)


def test_arguments_keep_their_sign_and_their_place() -> None:
    blocks = "blocks:\n  f: {args: {a: 1, f: x, axes: [0]}, layers: [math: \"$a ** 2 * $f + sum(x, axis=$axes)\"]}\n"
    x = np.random.default_rng(0).standard_normal((2, 4, 3))
    found = compile(loads(f"{HEAD}{blocks}layers: [f: {{a: -3, f: x + 1, axes: [0, 1]}}]\n")).predict(x, raw=True)
    np.testing.assert_allclose(found, 9 * (x + 1) + x.sum((1, 2))[:, None, None], rtol=1e-12)


def test_a_repeat_feeds_each_copy_with_the_one_before() -> None:
    x = np.ones((1, 4, 3))
    for entry in ("math: {formula: 2 * x + $i, repeat: 3}", "math: {from: image, formula: 2 * image + $i, repeat: 3}"):
        found = compile(loads(f"{HEAD}layers:\n  - {entry}\n")).predict(x, raw=True)
        np.testing.assert_array_equal(found, 12 * x)


BAD = [
    ("y * 2", "nothing is called 'y' here", 12), ("2 * imag", "did you mean 'image'?", 16), ("sigmod(x)", "did you mean 'sigmoid'?", 12), ("exp + x", "'exp' is a function", 12),
    ("2 + 3", "reads no input", 12), ("x + max(x, 0)", "maximum(a, b) compares two", 16), ("sum(x, dim=1)", "this is 'axis'", 12), ("x[0]", "slice and gather", 13),
    ("x + [1, 2]", "a list in a formula", 16), ("x + 'text'", "a text in a formula", 16), ("x +", "ends too early", 15), ("x & x", "write 'and'", 14),
    ("x.y.z", "'.' in a formula", 16), ("where(x, 1)", "'where' takes 3 values and got 2", 12), ("len(x)", "inside $(…)", 12), ("null * x", "'null'", 12),
    ("sum(x, axis=0, axis=1)", "stands twice", 12), ("h * 2", "stands below", 12), ("x" + " + x" * 40, "nested too deeply", 0), ("x" * 1001, "too long", 12),
    ("x / 0", "a division by zero", 5), ("true + 1 + x", "cannot work on a truth value", 5), ("sum(x, axis=2)", "'sum' has no such axis", 5), ("sum(x, axis=x)", "cannot tell its axes", 5),
    ("x + sum(x, axis=1)", "shapes do not broadcast", 5), ("1e200 * 1e200 * x", "no finite number", 5),
]


@pytest.mark.parametrize(("formula", "said", "column"), BAD)
def test_what_does_not_fit_is_one_clear_error_with_its_place(formula: str, said: str, column: int) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{HEAD}layers:\n  - math: \"{formula}\"\n  - identity: {{name: h}}\n")
    (problem,) = e.value.problems
    assert said in str(e.value)
    assert problem.place is not None and problem.place.line == 5
    assert not column or problem.place.column == column, problem.place


@pytest.mark.parametrize(("entry", "said"), [
    ("math", "needs 'formula'"), ("math: 3", "wanted  a text"), ("math: {from: [h, image], formula: h}", "does not read 'image'"),
    ("math: {from: s, formula: x}", "'s' has 2 outputs"), ("math: {from: [s.0, h], formula: h}", "from: {a: s.0}"), ("math: $nothing", "nothing is called 'nothing'"),
    ("math: {from: {a: g}, formula: a}", "called 'g'"), ("Lambda: x", "in nnspec this is 'math'"),
])
def test_wrong_entries_are_one_clear_error(entry: str, said: str) -> None:
    with pytest.raises(SpecError) as e:
        loads(f"{HEAD}layers:\n  - split: {{sizes: [1, 2], name: s}}\n  - dense: {{units: 3, name: h, from: image}}\n  - {entry}\n")
    assert said in str(e.value)
    assert len(e.value.problems) == 1


def test_x_that_could_be_two_things_is_refused() -> None:
    text = "nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers:\n  - dense: {units: 4, name: h}\n  - math: x + h\n"
    with pytest.raises(SpecError, match="could be two things"):
        loads(text)
    for said in ("x", "{x: h}", "[x, h]"):
        loads(text.replace("x + h", f"{{from: {said}, formula: x + h}}") if said != "{x: h}" else text.replace("x + h", "{from: {x: h}, formula: x + h}"))


def test_a_number_that_single_precision_cannot_hold_is_refused() -> None:
    with pytest.raises(SpecError, match="does not fit into float32"):
        loads("nnspec: 1\ninputs: {x: {shape: [4]}}\nlayers: [math: x * 1e300]\n")
