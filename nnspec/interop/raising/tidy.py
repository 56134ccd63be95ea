"""Layers brought together that a person would write as one: biases, gates, activations, means, formulas."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod

import numpy as np

from nnspec.interop.raising.draft import Draft, Entry
from nnspec.interop.raising.moves import alone, blended, compact, moved_twice, narrow, resized_twice, transposed_factor
from nnspec.ir.op import Array
from nnspec.layers.activations import Activation
from nnspec.layers.layer import Entry as Layer

KERNELS = re.compile(r"(conv\dd|depthwise_conv\dd|conv_transpose\dd|dense)\Z")
EPSILON = 2.0**-10  # of a batch norm whose statistics are known: 1 less it is a number of single precision
LONGEST = 200  # characters of a formula


def tidy(draft: Draft) -> None:
    """Every rule over every layer, in the order of the list."""
    for rule in RULES:
        for entry in list(draft.entries):
            rule(draft, entry)
        draft.drop_dead()


def absorb(draft: Draft, e: Entry) -> None:
    """Numbers a channel behind a layer that has such numbers: ``dense, add: parameter`` is ``dense`` with a bias."""
    if e.kind not in ("add", "multiply", "subtract") or len(e.inputs) != 2:
        return
    first, second = e.inputs if e.inputs[1].entry.kind == "parameter" else e.inputs[::-1]
    x, c = first.entry, second.entry
    if c.kind != "parameter" or (e.kind == "subtract" and second is not e.inputs[1]) or not (KERNELS.match(x.kind) or x.kind == "batch_norm"):
        return
    values = c.weights["value"]
    channels = x.shape[-1]
    if "activation" in x.fields or values.size != channels or values.shape[-1] != channels or not alone(draft, first, e):
        return
    values = values.reshape(-1)
    if e.kind == "multiply" and x.kind.startswith("conv_transpose") and "groups" in x.fields:
        return
    if e.kind == "multiply":
        scale(x, values)
    else:
        shift(x, values if e.kind == "add" else -values)
    draft.replace(e.main, first)


def scale(x: Entry, values: Array) -> None:
    """A factor a channel, into the weights."""
    if x.kind == "batch_norm":
        x.weights["gamma"] = x.weights["gamma"] * values
        x.weights["beta"] = x.weights["beta"] * values
        return
    kernel = x.weights["kernel"]
    if x.kind.startswith("depthwise"):
        x.weights["kernel"] = kernel * values.reshape(kernel.shape[-2:])
    elif x.kind.startswith("conv_transpose"):
        x.weights["kernel"] = kernel * values[:, None]
    else:
        x.weights["kernel"] = kernel * values
    if "bias" in x.weights:
        x.weights["bias"] = x.weights["bias"] * values


def shift(x: Entry, values: Array) -> None:
    """A summand a channel, into the bias."""
    key = "beta" if x.kind == "batch_norm" else "bias"
    x.weights[key] = x.weights[key] + values if key in x.weights else np.array(values)
    if key == "bias":
        x.fields.pop("bias", None)


def gated(draft: Draft, e: Entry) -> None:
    """``x * sigmoid(x)`` is silu, and its kin."""
    if e.kind != "multiply" or len(e.inputs) != 2:
        return
    for x, gate in (e.inputs, e.inputs[::-1]):
        kinds = {"sigmoid": "silu", "hard_sigmoid": "hard_silu"}
        if gate.entry.kind in kinds and gate.entry.inputs == [x] and alone(draft, gate, e):
            e.kind, e.inputs = kinds[gate.entry.kind], [x]
            return


HALF = re.compile(r"\{0\} \* 0\.5|0\.5 \* \{0\}")
BELL = re.compile(r"(?:erf\(\{0\} / 1\.41421\d*\) \+ 1(?:\.0)?|1(?:\.0)? \+ erf\(\{0\} / 1\.41421\d*\))")


def bell(draft: Draft, e: Entry) -> None:
    """``x * (erf(x / sqrt(2)) + 1) * 0.5`` is gelu."""
    if e.kind != "math" or len(e.inputs) != 1 or not HALF.fullmatch(e.fields["formula"]):
        return
    product = e.inputs[0].entry
    if product.kind != "multiply" or len(product.inputs) != 2 or not alone(draft, e.inputs[0], e):
        return
    for x, share in (product.inputs, product.inputs[::-1]):
        inner = share.entry
        if inner.kind == "math" and inner.inputs == [x] and BELL.fullmatch(inner.fields["formula"]) and alone(draft, share, product):
            e.kind, e.fields, e.inputs = "gelu", {}, [x]
            return


def inline(draft: Draft, e: Entry) -> None:
    """A formula that one formula reads stands in it."""
    if e.kind != "math":
        return
    for i, s in enumerate(e.inputs):
        inner = s.entry
        if inner.kind != "math" or not alone(draft, s, e) or e.inputs.count(s) > 1 or e.fields["formula"].count(f"{{{i}}}") > 1:
            continue
        if len(e.fields["formula"]) + len(inner.fields["formula"]) > LONGEST:
            continue
        together = list(dict.fromkeys([*e.inputs[:i], *inner.inputs, *e.inputs[i + 1 :]]))
        own = filled(inner.fields["formula"], [f"{{{together.index(v)}}}" for v in inner.inputs])
        e.fields["formula"] = filled(e.fields["formula"], [own if v == s else f"{{{together.index(v)}}}" for v in e.inputs])
        e.inputs = together
        return inline(draft, e)


def filled(formula: str, texts: list[str]) -> str:
    """A formula with texts in place of its marks, in parentheses where they bind less than a name."""

    def put(m: re.Match[str]) -> str:
        text = texts[int(m[1])]
        whole = formula[: m.start()].endswith(("(", ", ")) and formula[m.end() :].startswith((")", ","))
        return text if whole or formula == m[0] or re.fullmatch(r"\w+\([^()]*\)|\{\d+\}", text) else f"({text})"

    return re.sub(r"\{(\d+)\}", put, formula)


def normal(draft: Draft, e: Entry) -> None:
    """A factor and then a summand a channel, which no layer before takes: a batch norm whose statistics are in its weights.

    Its variance is 1 less epsilon, so that what it divides by is 1.
    """
    if e.kind != "add" or len(e.inputs) != 2:
        return
    product, shift = e.inputs if e.inputs[1].entry.kind == "parameter" else e.inputs[::-1]
    x = product.entry
    if shift.entry.kind != "parameter" or x.kind != "multiply" or len(x.inputs) != 2 or not alone(draft, product, e):
        return
    source, factor = x.inputs if x.inputs[1].entry.kind == "parameter" else x.inputs[::-1]
    if factor.entry.kind != "parameter" or source.entry.kind == "parameter" or source.output or not source.entry.shape:
        return
    channels = source.entry.shape[-1]
    a, b = (s.entry.weights["value"].reshape(-1) for s in (factor, shift))
    if any(s.entry.shape[-1:] != (channels,) for s in (factor, shift)) or a.size != channels or b.size != channels or a.dtype != np.float32:
        return
    still = {"moving_mean": np.zeros(channels, a.dtype), "moving_variance": np.full(channels, 1 - EPSILON, a.dtype)}
    e.kind, e.fields, e.inputs, e.weights = "batch_norm", {"epsilon": EPSILON}, [source], {"gamma": a, "beta": b, **still}


NAMED = {"minimum(maximum(({0} * 0.16666667) + 0.5, 0.0), 1.0)": "hard_sigmoid", "maximum({0}, 0.0)": "relu", "exp({0})": "exponential"}


def named(draft: Draft, e: Entry) -> None:
    """A formula that has a name."""
    if e.kind == "math" and e.fields["formula"] in NAMED:
        e.kind, e.fields = NAMED[e.fields["formula"]], {}


def leaky(draft: Draft, e: Entry) -> None:
    """``where(0 < x, x, a * x)``: a slope for all, or learned ones a channel."""
    found = re.fullmatch(r"where\((?:0(?:\.0)? < \{(\d)\}|\{(\d)\} > 0(?:\.0)?), \{(\d)\}, (.*)\)", e.fields.get("formula", ""))
    if not found or e.inputs[int(found[1] or found[2])] != (x := e.inputs[int(found[3])]):
        return
    times = re.fullmatch(r"\{(\d)\} \* \(?(-?[0-9.e-]+)\)?", found[4])
    if times and e.inputs[int(times[1])] == x:
        e.kind, e.fields, e.inputs = "leaky_relu", {"slope": float(times[2])}, [x]
        return
    other = e.inputs[int(found[4][1:-1])] if re.fullmatch(r"\{\d\}", found[4]) else x
    product = other.entry
    slopes = [s.entry for s in product.inputs if s != x]
    if product.kind != "multiply" or len(slopes) != 1 or slopes[0].kind != "parameter" or not alone(draft, other, e):
        return
    alpha = slopes[0].weights["value"]
    if not x.output and alpha.size == alpha.shape[-1] == (x.entry.shape or (0,))[-1]:
        e.kind, e.fields, e.inputs, e.weights = "prelu", {}, [x], {"alpha": alpha.reshape(-1)}


def averaged(draft: Draft, e: Entry) -> None:
    """A sum divided by how many there are: a mean, over all places a global pool."""
    found = re.fullmatch(r"\{0\} (\*|/) ([0-9.e-]+)", e.fields.get("formula", "")) if e.kind == "math" else None
    x = e.inputs[0].entry if found else e
    if not found or x.kind != "reduce_sum" or not alone(draft, e.inputs[0], e):
        return
    axes = x.fields["axes"] if isinstance(x.fields["axes"], list) else [x.fields["axes"]]
    shape = x.inputs[0].entry.shape
    if x.inputs[0].output or not shape:
        return
    n, factor = prod(shape[a] for a in axes), float(found[2])
    if abs((factor if found[1] == "*" else 1 / max(factor, 1e-30)) * n - 1) > 1e-6:
        return
    places = len(shape) - 1
    if axes == list(range(places)) and 1 <= places <= 3:
        e.kind, e.fields = f"global_avg_pool{places}d", ({"keep": True} if x.fields.get("keep") else {})
    else:
        e.kind, e.fields = "reduce_mean", dict(x.fields)
    e.inputs = list(x.inputs)


def activate(draft: Draft, e: Entry) -> None:
    """An activation behind a layer that takes one."""
    if e.kind not in Activation.activations or len(e.inputs) != 1 or e.kind == "identity":
        return
    x = e.inputs[0].entry
    if x.kind not in Layer.registry or "activation" not in Layer.registry[x.kind].model_fields or x.kind == "activation" or "activation" in x.fields:
        return
    if e.inputs[0].output or not alone(draft, e.inputs[0], e) or len(e.fields) > 1 or (e.kind == "softmax" and KERNELS.match(x.kind) is None):
        return
    primary = Activation.activations[e.kind].primary
    if e.fields and primary not in e.fields:
        return
    x.fields["activation"] = {e.kind: e.fields[primary]} if e.fields and primary else e.kind
    x.weights |= e.weights
    draft.replace(e.main, e.inputs[0])


RULES: tuple[Callable[[Draft, Entry], None], ...] = (
    absorb, blended, normal, averaged, inline, named, leaky, gated, bell, moved_twice, narrow, moved_twice, resized_twice, resized_twice, compact,
    transposed_factor, activate,
)  # fmt: skip
