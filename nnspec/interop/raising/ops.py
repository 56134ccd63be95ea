"""Every op as a layer, for nodes that are no layer as a whole: formulas element by element, reductions, parts, products."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Source
from nnspec.interop.raising.folded import unfolded
from nnspec.interop.raising.nodes import reduction
from nnspec.interop.raising.picks import PICKS
from nnspec.interop.raising.raiser import DTYPES, Raiser, numbers
from nnspec.interop.raising.wholes import WHOLES
from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Composite, Op
from nnspec.ir.types import DType, known
from nnspec.ops import activation, conv, index, matmul, movement, pool, reduce, resample, rows, softmax
from nnspec.ops import elementwise as e
from nnspec.ops.rounding import Rounded

Rule: TypeAlias = Callable[[Raiser, Call], None]

FORMULAS: Mapping[type[Op], str] = {
    e.Add: "{} + {}", e.Subtract: "{} - {}", e.Multiply: "{} * {}", e.Divide: "{} / {}", e.FloorDivide: "{} // {}", e.Remainder: "{} % {}",
    e.Negative: "-{}", e.Abs: "abs({})", e.Sign: "sign({})", e.Floor: "{} // 1.0", e.Where: "where({}, {}, {})",
    e.Maximum: "maximum({}, {})", e.Minimum: "minimum({}, {})", e.Square: "{} ** 2", e.Sqrt: "sqrt({})", e.Raise: "{} ** {}", e.Exp: "exp({})",
    e.Expm1: "exp({0}) - 1", e.Log: "log({})", e.Log1p: "log(1 + {})", e.Sin: "sin({})", e.Cos: "cos({})", e.Cosh: "cosh({})",
    e.Sinh: "(exp({0}) - exp(-{0})) / 2", e.Tanh: "tanh({})", e.Sigmoid: "sigmoid({})", e.Erf: "erf({})", e.Less: "{} < {}",
    e.LessEqual: "{} <= {}", e.Equal: "{} == {}", e.And: "{} and {}", e.Or: "{} or {}", e.Not: "not {}",
}  # fmt: skip
MERGES: Mapping[type[Op], str] = {e.Add: "add", e.Subtract: "subtract", e.Multiply: "multiply", e.Maximum: "maximum"}
LAYERS: Mapping[type[Op], str] = {
    e.Relu: "relu", e.Step: "step", e.Arctan: "arctan", activation.Softplus: "softplus", rows.StopGradient: "stop_gradient",
}  # fmt: skip


def raise_calls(r: Raiser, outputs: tuple[Value, ...]) -> None:
    """The calls behind values, each as a layer. Raises NotImportedError where there is none."""
    for call in pending(r, outputs):
        if r.settle(call) or unfolded(r, call, raise_calls):
            continue
        op = call.op
        if type(op) in FORMULAS:
            formula(r, call, FORMULAS[type(op)])
        elif type(op) in LAYERS:
            single(r, call, LAYERS[type(op)])
        elif type(op) in OPS:
            OPS[type(op)](r, call)
        elif type(op) in PICKS:
            PICKS[type(op)](r, call)
        elif type(op) in WHOLES and WHOLES[type(op)](r, call) is not False:
            continue
        elif isinstance(op, Composite):
            built = op.build(*call.inputs)
            made = built if isinstance(built, tuple) else (built,)
            raise_calls(r, made)
            for y, value in zip(call.outputs, made, strict=True):
                r.alias(y, value)
        else:
            raise NotImportedError(f"the op {op.name} has no layer in this version")


def pending(r: Raiser, outputs: tuple[Value, ...]) -> list[Call]:
    """The calls that have not been raised, each behind what it reads."""
    found: dict[int, Call] = {}
    stack = list(outputs)
    while stack:
        v = stack.pop()
        if r.known(v) is None and v not in r.rows and v not in r.folded and v not in r.behind and v.call.serial not in found:
            found[v.call.serial] = v.call
            stack += v.inputs
    return [found[n] for n in sorted(found)]


# Element by element


def together(r: Raiser, call: Call) -> tuple[list[Any], tuple[int, ...], int]:
    """The inputs in one order of axes, the order, and which axis counts rows."""
    (y,) = call.outputs
    values = list(call.inputs)
    perm = r.agreed(values, y.rank)
    return r.operands(values, y.rank, perm), perm, r.rows[next(v for v in values if r.known(v) is None)]


def formula(r: Raiser, call: Call, text: str) -> None:
    """A formula over the inputs; single numbers stand in it."""
    if isinstance(call.op, e.Raise | e.Divide) and not call.outputs[0].dtype.is_float:
        raise NotImportedError(f"{call.op.name} of whole numbers has no layer in this version")
    parts, perm, row = together(r, call)
    y = call.outputs[0]
    if text.count("{}") == len(parts):
        places = iter(range(len(parts)))
        while "{}" in text:
            text = text.replace("{}", f"{{{next(places)}}}", 1)
    sources = [part for part in parts if isinstance(part, Source)]
    if type(call.op) in MERGES and len(sources) == 2 and y.dtype.is_float:
        return r.put(y, r.emit(MERGES[type(call.op)], *sources), perm, row)
    at = iter(range(len(sources)))
    spelled = [f"{{{next(at)}}}" if isinstance(part, Source) else literal(part) for part in parts]
    r.put(y, r.emit("math", *sources, formula=re.sub(r"\{(\d+)\}", lambda m: spelled[int(m[1])], text)), perm, row)


def literal(value: Any) -> str:
    """A number in a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not np.isfinite(value):
        raise NotImportedError("a constant with NaN or infinity")
    return f"({value!r})" if value < 0 else repr(value)


def single(r: Raiser, call: Call, kind: str, **fields: Any) -> None:
    """A layer element by element."""
    x, y = call.inputs[0], call.outputs[0]
    perm = r.agreed([x], x.rank)
    r.put(y, r.emit(kind, r.get(x, perm), **fields), perm, r.rows[x])


def rounded(r: Raiser, call: Call) -> None:
    """To the nearest whole number, of two the even one."""
    formula(r, call, "where({0} - {0} // 1.0 < 0.5, {0} // 1.0, where({0} - {0} // 1.0 > 0.5, {0} // 1.0 + 1.0, {0} // 1.0 + {0} // 1.0 % 2.0))")


def power(r: Raiser, call: Call) -> None:
    formula(r, call, f"{{0}} ** {literal(numbers(np.asarray(call.op.exponent, np.float32)))}")  # type: ignore[attr-defined]  # Power's


def clip(r: Raiser, call: Call) -> None:
    low, high = (literal(numbers(np.asarray(v, np.float32))) for v in (call.op.low, call.op.high))  # type: ignore[attr-defined]  # Clip's
    formula(r, call, f"minimum(maximum({{0}}, {low}), {high})")


def cast(r: Raiser, call: Call) -> None:
    x, y = call.inputs[0], call.outputs[0]
    if x.dtype == y.dtype or (x.dtype.is_float and y.dtype in (DType.float32, DType.float64)):
        return r.alias(y, x)
    if y.dtype not in DTYPES:
        raise NotImportedError(f"numbers as {y.dtype}")
    single(r, call, "cast", dtype=DTYPES[y.dtype])


def held(r: Raiser, call: Call) -> None:
    single(r, call, "cast", dtype=call.op.to.value)  # type: ignore[attr-defined]  # Rounded's


def last_axis(kind: str) -> Rule:
    def rule(r: Raiser, call: Call) -> None:
        x = call.inputs[0]
        perm = r.channels_last(x, x.rank - 1)
        r.put(call.outputs[0], r.emit(kind, r.get(x, perm)), perm, r.rows[x])

    return rule


def gelu(r: Raiser, call: Call) -> None:
    single(r, call, "gelu", approximate=True if call.op.approximate else None)  # type: ignore[attr-defined]  # Gelu's


# Places


def reshape(r: Raiser, call: Call) -> None:
    r.reshape(call.outputs[0], call.inputs[0])


def transpose(r: Raiser, call: Call) -> None:
    r.alias(call.outputs[0], call.inputs[0], call.op.axes)  # type: ignore[attr-defined]  # Transpose's


def expand(r: Raiser, call: Call) -> None:
    """Axes of length 1 repeated, by taking their one place as often as asked for."""
    x, y = call.inputs[0], call.outputs[0]
    old, new = (1,) * (y.rank - x.rank) + sizes(x), sizes(y)
    if old == new:
        return r.alias(y, x)
    if y.rank != x.rank or r.rows[x] >= y.rank or old[r.rows[x]] != new[r.rows[x]]:
        raise NotImportedError("rows that are repeated")
    perm = r.agreed([x], x.rank)
    source = r.get(x, perm)
    for at, axis in enumerate(perm[1:]):
        if old[axis] != new[axis]:
            source = r.emit("gather", source, indices=[0] * new[axis], axis=at)
    r.put(y, source, perm, r.rows[x])


def cut(r: Raiser, call: Call) -> None:
    x, op = call.inputs[0], call.op
    start, stop, step = known(op.start), known(op.stop), op.step  # type: ignore[attr-defined]  # Slice's
    shape = sizes(x)
    perm = r.agreed([x], x.rank)
    touched = [a for a in perm if (start[a], stop[a], step[a]) != (0, shape[a], 1)]
    if r.rows[x] in touched:
        raise NotImportedError("a part of the rows")
    if not touched:
        return r.alias(call.outputs[0], x)
    if any(start[a] >= stop[a] for a in touched):
        raise NotImportedError("a slice of nothing")
    stops = [None if stop[a] == shape[a] else stop[a] for a in touched]
    steps = [step[a] for a in touched]
    axes = [perm.index(a) - 1 for a in touched]
    starts = [start[a] for a in touched]
    if len(touched) > 1 and any(t is not None for t in stops):
        stops = [stop[a] for a in touched]
    fields: dict[str, tuple[list[Any], list[Any]]] = {
        "axes": (axes, [0]), "start": (starts, [0] * len(axes)), "stop": (stops, [None] * len(axes)), "step": (steps, [1] * len(axes)),
    }  # fmt: skip
    short: dict[str, Any] = {k: v if len(axes) > 1 else v[0] for k, (v, default) in fields.items() if v != default}
    r.put(call.outputs[0], r.emit("slice", r.get(x, perm), **short), perm, r.rows[x])


def pad(r: Raiser, call: Call) -> None:
    """A border of one number around places; around channels it is joined to them."""
    x, y, op = call.inputs[0], call.outputs[0], call.op
    low, high, inner, value = op.low, op.high, op.inner, float(op.value)  # type: ignore[attr-defined]  # Pad's
    perm = r.agreed([x], x.rank)
    if any(inner) or low[perm[0]] or high[perm[0]] or min(*low, *high) < 0:
        raise NotImportedError("a border between places, or of rows")
    source, around, shape = r.get(x, perm), [(low[a], high[a]) for a in perm[1:]], [sizes(x)[a] for a in perm[1:]]
    if not value and 3 <= x.rank <= 5 and not any(around[-1]):
        flat = [n for pair in around[:-1] for n in pair]
        source = r.emit(f"pad{x.rank - 2}d", source, size=flat[0] if len(set(flat)) == 1 else flat)
    else:
        for at, ends in enumerate(around):
            parts = [filled(r, [n if i == at else d for i, d in enumerate(shape)], value) if n else None for n in ends]
            if any(ends):
                joined = [p for p in (parts[0], source, parts[1]) if p is not None]
                source = r.emit("concat", *joined, axis=None if at == len(shape) - 1 else at)
                shape[at] += sum(ends)
                source.entry.shape = tuple(shape)
    r.put(y, source, perm, r.rows[x])


def filled(r: Raiser, shape: list[int], value: float) -> Any:
    """The same number everywhere."""
    return r.constant(np.full(shape, value, np.float32))


def reduced(kind: str) -> Rule:
    def rule(r: Raiser, call: Call) -> None:
        reduction(r, call.inputs[0], call.outputs[0], call.op.axis, call.op.keep, kind)  # type: ignore[attr-defined]  # Reduction's

    return rule


def concat(r: Raiser, call: Call) -> None:
    y, axis = call.outputs[0], call.op.axis  # type: ignore[attr-defined]  # Concat's
    values = list(call.inputs)
    perm = r.agreed(values, y.rank)
    if axis == perm[0]:
        raise NotImportedError("rows are joined")
    parts = []
    for v in values:
        a = r.known(v)
        if a is not None and (a != a.take([0], perm[0])).any():
            raise NotImportedError("a constant that differs from row to row")
        parts.append(r.get(v, perm) if a is None else r.constant(np.ascontiguousarray(a.transpose(perm)[0])))
    at = perm.index(axis) - 1
    r.put(y, r.emit("concat", *parts, axis=None if at == y.rank - 2 else at), perm, r.rows[next(v for v in values if r.known(v) is None)])


def product(r: Raiser, call: Call) -> None:
    """A product of matrices, of which one may be a parameter."""
    a, b = call.inputs
    y = call.outputs[0]
    sources = []
    for v in (a, b):
        held = r.known(v)
        if held is None:
            if v.rank != y.rank or v.rank < 3 or r.rows[v]:
                raise NotImportedError("a product over rows")
            sources.append(r.get(v))
        else:
            part = r.part(held, y.rank, tuple(range(y.rank))) if held.ndim > 2 else held
            part = part if part.ndim >= 2 else held.reshape(held.shape[-2:])
            sources.append(r.emit("parameter", weights={"value": np.ascontiguousarray(part)}, made=part.shape, shape=list(part.shape)))
    r.put(y, r.emit("matmul", *sources), None, 0)


def pooled(kind: str) -> Rule:
    def rule(r: Raiser, call: Call) -> None:
        from nnspec.interop.raising.windows import alike, spelled

        x, op = call.inputs[0], call.op
        size, stride = op.size, op.stride  # type: ignore[attr-defined]  # Pool's
        same = conv.pads("same", x.shape[1:-1], size, stride, (1,) * len(size))
        padding = same if op.padding == "same" else op.padding  # type: ignore[attr-defined]  # Pool's
        r.put(call.outputs[0], r.emit(f"{kind}_pool{len(size)}d", r.get(x), size=alike(size), stride=None if stride == size else alike(stride),
                                      padding=spelled(padding, same)))  # fmt: skip

    return rule


def resized(r: Raiser, call: Call) -> None:
    """One axis of places at another length."""
    x, y, op = call.inputs[0], call.outputs[0], call.op
    rule, axis, step, low = op.rule, op.axis, op.step, op.low  # type: ignore[attr-defined]  # Resample's
    old, new = sizes(x), sizes(y)
    if not 3 <= x.rank <= 5 or axis in (r.rows[x],):
        raise NotImportedError("a resize of channels or rows")
    perm = next((p for p in r.perms(x) if p[-1] != axis), None) or r.channels_last(x, next(a for a in (1, x.rank - 1) if a != axis))
    places, at = x.rank - 2, perm.index(axis) - 1
    source = r.get(x, perm)
    if rule in ("edge", "reflect"):
        size = [0] * 2 * places
        size[2 * at], size[2 * at + 1] = low, new[axis] - old[axis] - low
        r.put(y, r.emit(f"pad{places}d", source, size=size, mode=rule), perm, r.rows[x])
        return
    words = {1: "linear", 2: "bilinear", 3: "trilinear"}
    fields: dict[str, Any] = {"method": "nearest"} if rule == "nearest" else {"method": words[places]}
    if rule == "corners":
        fields["align"] = "corners"
    lengths = [new[a] for a in perm[1:-1]]
    if step is None or step[0] * new[axis] == step[1] * old[axis]:
        fields = {"size": lengths, **fields}
    else:
        fields = {"scale": [step[1] / step[0] if i == at else 1.0 for i in range(places)], **fields}
    r.put(y, r.emit(f"resize{places}d", source, **fields), perm, r.rows[x])


def repeated(r: Raiser, call: Call) -> None:
    x, op = call.inputs[0], call.op
    factors = op.factors  # type: ignore[attr-defined]  # Repeat's
    r.put(call.outputs[0], r.emit(f"upsample{len(factors)}d", r.get(x), factor=factors[0] if len(set(factors)) == 1 else list(factors)))


def hot(r: Raiser, call: Call) -> None:
    x = call.inputs[0]
    r.put(call.outputs[0], r.emit("one_hot", r.get(x), classes=call.op.depth))  # type: ignore[attr-defined]  # OneHot's


OPS: Mapping[type[Op], Rule] = {
    e.Power: power, e.Round: rounded, Rounded: held, activation.Clip: clip, e.Cast: cast, activation.Gelu: gelu,
    softmax.Softmax: last_axis("softmax"), softmax.LogSoftmax: last_axis("log_softmax"),
    movement.Reshape: reshape, movement.Transpose: transpose, movement.BroadcastTo: expand,
    movement.Slice: cut, movement.Pad: pad, movement.Concat: concat, reduce.Sum: reduced("reduce_sum"), reduce.Max: reduced("reduce_max"),
    reduce.Min: reduced("reduce_min"), matmul.MatMul: product, pool.MaxPool: pooled("max"), pool.AvgPool: pooled("avg"),
    resample.Resample: resized, resample.Repeat: repeated, index.OneHot: hot,
}  # fmt: skip
