"""Which of a model's operators have no layer at all: said before anything else is looked at, with the node's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from nnspec.interop.onnx_idioms import idioms
from nnspec.interop.onnx_import import own_domain, schema_of, where
from nnspec.interop.onnx_read import wrong
from nnspec.interop.onnx_rules import RULES

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

RECURRENT = "recurrent layers are not in this version"
LOOP = "loops are not in this version"
DRAWN = "numbers that are drawn as the model runs are not in this version"
SEQUENCE = "sequences of tensors, and values that may be missing, are not in this version"
TEXT = "text is not in this version"
QUANTIZED = "models in whole numbers with scales are not in this version"
IMAGES = "files of images within a model are not in this version"
KINDS: Mapping[str, str] = MappingProxyType({
    "LSTM GRU RNN": RECURRENT,
    "Loop Scan": LOOP,
    "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike": DRAWN,
    "ConcatFromSequence SplitToSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap": SEQUENCE,
    "Optional OptionalGetElement OptionalHasElement": SEQUENCE,
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger": QUANTIZED,
    "RegexFullMatch StringConcat StringNormalizer StringSplit": TEXT,
    "ImageDecoder": IMAGES,
})  # fmt: skip
WHY = {kind: why for kinds, why in KINDS.items() for kind in kinds.split()}
OTHER = "this operator is not in this version"


def refuse_what_has_no_layer(model: ModelProto, name: str) -> None:
    """Raises DataError for the first node whose operator has no layer, whatever it is given; the other operators of that kind stand beside it."""
    functions = {(f.domain, f.name) for f in model.functions}
    opset = max((o.version for o in model.opset_import if own_domain(o.domain)), default=1)
    instead = idioms(model.graph)
    nodes = ((n, proto) for n, given in enumerate(model.graph.node) if (proto := instead.get(n, given)) is not None)
    refused = [(n, proto) for n, proto in nodes if (proto.domain, proto.op_type) not in functions and not _in_scope(proto, opset)]
    if not refused:
        return
    n, proto = refused[0]
    counts = Counter(_called(p) for _, p in refused)
    others = [f"{kind} ({many})" if many > 1 else kind for kind, many in counts.items() if kind != _called(proto)]
    found = f"{_called(proto)} ({counts[_called(proto)]} nodes)" if counts[_called(proto)] > 1 else _called(proto)
    why = WHY.get(proto.op_type, OTHER) if own_domain(proto.domain) else OTHER
    raise wrong(name, f"{where(n, proto)}: {why}", ", ".join([found, *others]))


def _called(proto: NodeProto) -> str:
    return proto.op_type[:60] if own_domain(proto.domain) else f"{proto.domain[:60]}.{proto.op_type[:60]}"


def _in_scope(proto: NodeProto, opset: int) -> bool:
    """Whether a node of that kind may have a layer."""
    from onnx import defs

    if not own_domain(proto.domain) or proto.op_type in WHY or not isinstance(proto.op_type, str):  # bytes, where they are no text
        return False
    if proto.op_type in RULES or proto.op_type == "If":
        return True
    if not defs.has(proto.op_type):
        return False
    schema = schema_of(proto.op_type, opset)
    return not schema.deprecated and bool(schema.has_function or schema.has_context_dependent_function)
