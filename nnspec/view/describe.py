"""What a layer says of itself in few words: its family, its main fields, its shape, what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnspec.records import dataclass
from nnspec.view import amounts
from nnspec.view.text import clean

if TYPE_CHECKING:
    import networkx

_FAMILIES = (  # the first pattern found in the kind decides
    ("input", r"^(input|parameter|constant|normal|uniform|bernoulli)$"),
    ("output", r"^output$"),
    ("pooling", r"pool|^reduce_|^top_k$"),
    ("convolution", r"conv"),
    ("normalisation", r"_norm$|^local_response_norm|^normali[sz]"),
    ("sequence", r"^(lstm|gru|rnn|bidirectional|scan|embedding)$|attention|^position"),
    ("dense", r"^(dense|matmul|einsum|bilinear)"),
    ("merge", r"^(add|subtract|multiply|average|maximum|minimum|concat|stack|where|dot)$"),
    (
        "activation",
        r"^(identity|step|sigmoid|tanh|arctan|p?relu\d?|leaky_relu|c?elu|selu|gelu|silu|swish|mish|softplus|softsign"
        r"|softmax|log_softmax|hard_\w+|activation|math|exp|sin|cos)$",
    ),
    (
        "shape",
        r"^(flatten|reshape|permute|transpose|slice|split|gather|cast|one_hot|pixel_shuffle)$"
        r"|^(pad|crop|resize|upsample)",
    ),
)
FAMILIES = (*(name for name, _ in _FAMILIES), "other")
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in _FAMILIES)
_HIDDEN = {"name", "from", "repeat", "when", "only", "trainable", "share", "init", "regularize", "learning_rate"}
_WINDOWS = ("kernel", "size")
_BARE = ("filters", "units", "rate", "shape", "axes", "vocabulary", "activation", "of", "padding", "formula", "equation")


def family(kind: str) -> str:
    """The family of a kind of layer, one of ``FAMILIES``; it decides the colour."""
    return next((name for name, pattern in _PATTERNS if pattern.search(kind)), "other")


def shape(axes: Sequence[object] | None) -> str:
    """``28 x 28 x 64``; an empty shape is ``scalar``."""
    if axes is None:
        return "?"
    return clean(" x ".join(str(axis) for axis in axes) or "scalar", 200)


def tensor(axes: Sequence[object] | None, dtype: object) -> str:
    """The shape, and the dtype where it is not a float."""
    return shape(axes) if not dtype or "float" in str(dtype) else f"{shape(axes)} {clean(dtype, 30)}"


def fields(kind: str, stated: Mapping[str, Any] | None) -> str:
    """The stated fields as a reader of papers writes them: ``3x3, 64, stride 2, same``."""
    stated = stated or {}
    order = [*_WINDOWS, *_BARE]
    known = [key for key in order if key in stated]
    rest = [key for key in stated if key not in order and key not in _HIDDEN]
    words = (_field(kind, key, stated[key]) for key in (*known, *rest))
    return clean(", ".join(word for word in words if word), 300)


def _field(kind: str, key: str, value: Any) -> str:
    if value is None or key == "activation" and value == "identity":
        return ""
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if key in _WINDOWS:
        return _window(kind, value)
    return _word(value) if key in _BARE else f"{key} {_word(value)}"


def _window(kind: str, value: Any) -> str:
    axes = re.search(r"([123])d", kind)
    if isinstance(value, int) and axes:
        value = (value,) * int(axes.group(1))
    return "x".join(str(size) for size in value) if isinstance(value, tuple | list) else str(value)


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_word(inner)}" for key, inner in list(value.items())[:4])
    if isinstance(value, tuple | list):
        shown = ", ".join(_word(inner) for inner in value[:6])
        return f"[{shown}{', …' if len(value) > 6 else ''}]"
    kind = getattr(value, "kind", None)  # a chosen activation or the like
    return kind if isinstance(kind, str) else str(value)


def frozen(data: Mapping[str, Any]) -> bool:
    """Whether the layer has parameters and training leaves them all as they are."""
    return bool(data.get("parameters")) and not data.get("trainable")


def cost(data: Mapping[str, Any]) -> str:
    """``1.7 k params · 2.3 MFLOP · frozen``, or nothing for a layer that is free."""
    parts = []
    if data.get("parameters"):
        parts.append(f"{amounts.count(data['parameters'])} params")
    if data.get("flops"):
        parts.append(amounts.flops(data["flops"]))
    return " · ".join([*parts, *notes(data)])


def notes(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What is unusual of a layer: ``frozen``, ``shares left/dense_1``, ``training only``."""
    words = ["frozen"] if frozen(data) else []
    if data.get("shares"):
        words.append(f"shares {clean(data['shares'], 60)}")
    if data.get("only"):
        words.append(f"{clean(data['only'], 20)} only")
    return tuple(words)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a network or a part of one."""

    layers: int
    parameters: int
    trainable: int
    flops: int


def totals(rows: Iterable[Mapping[str, Any]]) -> Totals:
    """Sums over the attributes of layers; inputs are not counted as layers."""
    rows = list(rows)
    return Totals(
        layers=sum(row.get("kind") != "input" for row in rows),
        parameters=sum(row.get("parameters") or 0 for row in rows),
        trainable=sum(row.get("trainable") or 0 for row in rows),
        flops=sum(row.get("flops") or 0 for row in rows),
    )


def heading(graph: networkx.MultiDiGraph[Any]) -> str:
    """``5 layers · 1.2 M parameters · 1.1 M trainable · 3.4 GFLOP``."""
    sums = totals(data for _, data in graph.nodes(data=True))
    return " · ".join(
        (
            f"{sums.layers} layer{'' if sums.layers == 1 else 's'}",
            f"{amounts.count(sums.parameters)} parameters",
            f"{amounts.count(sums.trainable)} trainable",
            amounts.flops(sums.flops),
        )
    )


def outputs(graph: networkx.MultiDiGraph[Any]) -> tuple[str, ...]:
    """The paths of the network's outputs that are in the graph."""
    return tuple(path for path in graph.graph.get("outputs") or () if path in graph)
