"""What a layer says of itself in few words: its family, its main fields, its shape, what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnspec.ir.types import DType
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
_BYTES = {dtype.value: dtype.size for dtype in DType}
_NUMBERS = "In each box: parameters · FLOPs of one row forward · memory of one row of its output. On each edge: the shape without the batch."
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
    bare = key in _BARE and (key != "padding" or isinstance(value, str))
    return _word(value) if bare else f"{key} {_word(value)}"


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


def says(data: Mapping[str, Any]) -> str:
    """The kind and the stated fields, ``conv2d  3x3, 64``; of an input its shape; of a node that ``says`` something that."""
    kind = str(data.get("kind") or "")
    if "says" in data:
        return str(data["says"])
    about = tensor(data.get("shape"), data.get("dtype")) if kind == "input" else fields(kind, data.get("fields"))
    return f"{kind}  {about}" if about else kind


def family_of(data: Mapping[str, Any]) -> str:
    """The family of a node: that of its kind, where it does not state one."""
    return str(data.get("family") or family(str(data.get("kind") or "")))


def frozen(data: Mapping[str, Any]) -> bool:
    """Whether the layer has parameters and training leaves them all as they are."""
    return bool(data.get("parameters")) and not data.get("trainable")


def output_bytes(data: Mapping[str, Any]) -> int:
    """What one row of the layer's output takes in memory; 0 where an axis has no length yet."""
    size = _BYTES.get(str(data.get("dtype") or ""), 0)
    for axis in data.get("shape") or ():
        if not isinstance(axis, int):
            return 0
        size *= axis
    return size


def cost(data: Mapping[str, Any]) -> str:
    """``1.7 k params · 2.3 MFLOP · 12 KiB``: parameters, FLOPs of one row forward, bytes of one row of the output."""
    if "costs" in data:
        return str(data["costs"])
    parts = []
    if data.get("parameters"):
        parts.append(f"{amounts.count(data['parameters'])} params")
    if data.get("flops"):
        parts.append(amounts.flops(data["flops"]))
    if data.get("kind") != "input" and (held := output_bytes(data)):
        parts.append(amounts.memory(held))
    return " · ".join(parts)


def priced(data: Mapping[str, Any]) -> str:
    """The cost, and what is unusual behind it."""
    return " · ".join(part for part in (cost(data), *notes(data)) if part)


def notes(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What is unusual of a layer: ``frozen``, ``shares left/dense_1``, ``training only``."""
    if "notes" in data:
        return tuple(map(str, data["notes"]))
    words = ["frozen"] if frozen(data) else []
    if data.get("shares"):
        words.append(f"shares {clean(data['shares'], 60)}")
    if data.get("only"):
        words.append(f"{clean(data['only'], 20)} only")
    return tuple(words)


def legend(graphs: Iterable[networkx.MultiDiGraph[Any]]) -> str:
    """What the numbers in the boxes are."""
    said = dict.fromkeys(str(graph.graph.get("legend") or _NUMBERS) for graph in graphs)
    return " ".join(said)


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a network or a part of one."""

    layers: int
    parameters: int
    trainable: int
    flops: int
    memory: int = 0  # bytes of all outputs of one row


def totals(rows: Iterable[Mapping[str, Any]]) -> Totals:
    """Sums over the attributes of layers; inputs are not counted as layers."""
    rows = list(rows)
    return Totals(
        layers=sum(row.get("kind") != "input" for row in rows),
        parameters=sum(row.get("parameters") or 0 for row in rows),
        trainable=sum(row.get("trainable") or 0 for row in rows),
        flops=sum(row.get("flops") or 0 for row in rows),
        memory=sum(output_bytes(row) for row in rows if row.get("kind") != "input"),
    )


def cost_of(sums: Totals) -> str:
    """What a frame costs: ``4.7 k params · 590 kFLOP · 24 KiB``."""
    said = ((f"{amounts.count(sums.parameters)} params", sums.parameters), (amounts.flops(sums.flops), sums.flops))
    return " · ".join(text for text, amount in (*said, (amounts.memory(sums.memory), sums.memory)) if amount)


def heading(graph: networkx.MultiDiGraph[Any]) -> str:
    """``5 layers · 1.2 M parameters · 1.1 M trainable · 3.4 GFLOP · 5 MiB of outputs a row``."""
    if "heading" in graph.graph:
        return str(graph.graph["heading"])
    sums = totals(data for _, data in graph.nodes(data=True))
    return " · ".join(
        (
            f"{sums.layers} layer{'' if sums.layers == 1 else 's'}",
            f"{amounts.count(sums.parameters)} parameters",
            f"{amounts.count(sums.trainable)} trainable",
            amounts.flops(sums.flops),
            *([f"{amounts.memory(sums.memory)} of outputs a row"] if sums.memory else []),
        )
    )


def outputs(graph: networkx.MultiDiGraph[Any]) -> tuple[str, ...]:
    """The paths of the network's outputs that are in the graph."""
    return tuple(path for path in graph.graph.get("outputs") or () if path in graph)
