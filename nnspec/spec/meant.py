"""What was meant by a word that is not ours, where that is beyond doubt: the edits that put ours in its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from nnspec.errors import COMPARED, Edit, Place
from nnspec.spec import edits
from nnspec.spec.nodes import Mapping as MappingNode
from nnspec.spec.nodes import Node, Scalar, Sequence
from nnspec.spec.words import FOREIGN, own_word

# Words whose value, or number of axes, means something else than that of ours: a person has to look.
DOUBTFUL = {
    "conv", "convolution", "conv_transpose", "deconv", "deconvolution", "separable_conv", "sepconv", "dwconv", "maxpool", "avgpool",
    "global_avg_pool", "global_max_pool", "Upsample", "upsampling", "interpolate", "Interpolate", "Lambda", "lambda", "EinsumDense", "dim", "decay",
    "threshold", "gradient_checkpointing", "recompute", "use_ema", "ema", "swa", "pretrained", "state_dict", "base_model", "dtype", "version", "grid",
    "search", "hyperparameters", "scale_factor", "padding_mode", "PolynomialDecay", "CosineDecay", "ExponentialDecay", "PiecewiseConstantDecay",
    "LinearLR", "assert", "thresholds", "min_delta", "class_weight", "pos_weight", "boundaries", "total_iters", "end_factor", "take",
    "chunk", "narrow",
}  # fmt: skip
DOUBTFUL |= {word.lower() for word in DOUBTFUL}
TORCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")  # their momentum is 1 less ours
YES, NO = ("yes", "on", "y", "True", "TRUE"), ("no", "off", "n", "False", "FALSE")


def meant(name: str, known: Collection[str]) -> str:
    """The known word that a foreign one, or one with a single slip of the finger, stands for; nothing where several might be."""
    return _meant(name, tuple(known))


@lru_cache(maxsize=512)  # one wrong word may stand in hundreds of entries
def _meant(name: str, known: tuple[str, ...]) -> str:
    own = own_word(name, known)
    if own in known:
        return own if name.lower() not in DOUBTFUL else ""
    if own or name in FOREIGN:
        return ""
    near = known[:COMPARED]
    if several := [w for w in near if w in (f"{name}s", name.removesuffix("s"))]:
        return several[0]
    loose = _loose(name)
    alike = [w for w in near if _loose(w) == loose] or [w for w in near if _one_slip(loose, _loose(w))]
    return alike[0] if len(alike) == 1 else ""


def of_word(name: str, known: Collection[str], place: Place, hint: str = "") -> tuple[Edit, ...]:
    """The edits for a word that stands at a place; a hint that names another word is a doubt."""
    own = meant(name, known)
    if own:
        return (edits.word(place, name, own),) if not hint or f"'{own}'" in hint else ()
    return (edits.remove_key(place, name),) if FOREIGN.get(name, "").startswith("leave it out") else ()


def of_name(name: str, known: Collection[str], place: Place, hint: str) -> tuple[Edit, ...]:
    """The edit for the name of an entry with one slip of the finger; a number is none, for ``conv_2`` is another entry than ``conv_1``."""
    alike = [w for w in known if _one_slip(name, w) and re.findall(r"[0-9]+", name) == re.findall(r"[0-9]+", w)]
    return (edits.word(place, name, alike[0]),) if len(alike) == 1 and f"'{alike[0]}'" in hint else ()


def of_kind(name: str, known: Collection[str], place: Place, fields: Node | None, hint: str = "") -> tuple[Edit, ...]:
    """The same for an entry's kind, with what its fields mean there: PyTorch's momentum counts the other way round."""
    found = of_word(name, known, place, hint)
    momentum = fields.pairs.get("momentum") if name in TORCH_NORMS and isinstance(fields, MappingNode) else None
    if not found or momentum is None:
        return found
    if not isinstance(momentum, Scalar) or isinstance(momentum.value, bool) or not isinstance(momentum.value, int | float):
        return ()
    return (*found, edits.word(momentum.place, momentum.text, f"{1 - momentum.value:.10g}"))


def of_key(name: str, node: MappingNode, known: Collection[str], hint: str = "") -> tuple[Edit, ...]:
    """The edits for a key of a mapping: another word, or several keys for one."""
    place, value = node.keys[name], node.pairs[name]
    if name == "betas" and {"beta1", "beta2"} <= {*known} and isinstance(value, Sequence) and len(value.items) == 2:
        texts = [item.text for item in value.items if isinstance(item, Scalar) and not item.quoted]
        if len(texts) == 2 and not {"beta1", "beta2"} & {*node.pairs}:
            return (edits.pair(place, name, f"beta1: {texts[0]}, beta2: {texts[1]}"),)
    if name in PAIRS and isinstance(value, Scalar):
        for given, ours in PAIRS[name]:
            keys = {part.split(":")[0] for part in ours.split(", ")}
            if (given is None or value.value is given) and keys <= {*known} and not keys & {*node.pairs}:
                return (edits.pair(place, name, ours.format(value.text)),)
        return ()
    return of_word(name, known, place, hint)


PAIRS: Mapping[str, tuple[tuple[bool | None, str], ...]] = {
    "affine": ((False, "scale: false, center: false"), (True, "scale: true, center: true")),
    "align_corners": ((True, "align: corners"), (False, "align: centers")),
    "freeze": ((True, "trainable: false"), (False, "trainable: true")),
    "kernel_initializer": ((None, "init: {{kernel: {0}}}"),),
    "bias_initializer": ((None, "init: {{bias: {0}}}"),),
}


def of_value(node: Scalar, known: Iterable[str]) -> tuple[Edit, ...]:
    """The edit for a value that is none of the known words: ``SAME``, ``ReLU``."""
    own = meant(node.text, list(known))
    return (edits.word(node.place, node.text, own),) if own and node.value == node.text else ()


def of_truth(node: Scalar) -> tuple[Edit, ...]:
    """``no`` and ``off``, which YAML 1.1 read as false; a truth value in quotes."""
    if node.quoted and node.text in ("true", "false"):
        return (edits.unquoted(node.place, node.text),)
    own = "true" if node.text in YES else "false" if node.text in NO else ""
    return (edits.word(node.place, node.text, own),) if own else ()


def of_number(node: Scalar, whole: bool) -> tuple[Edit, ...]:
    """A number in quotes; ``32.0`` where a whole number is wanted."""
    if isinstance(node.value, float) and whole and node.value.is_integer() and abs(node.value) < 2**53:
        return (edits.word(node.place, node.text, str(int(node.value))),)
    if not node.quoted:
        return ()
    pattern = r"-?[0-9]{1,18}" if whole else r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?"
    return (edits.unquoted(node.place, node.text),) if re.fullmatch(pattern, node.text) else ()


@lru_cache(maxsize=4096)
def _loose(word: str) -> str:
    return word.replace("_", "").replace("-", "").replace(" ", "").lower()


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter too many, too few, another one, or two in the wrong order lead from one word to the other."""
    if not -2 < len(a) - len(b) < 2 or len(a) + len(b) < 7:
        return False
    i = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest, other = a[i:], b[i:]
    return rest[1:] == other[1:] or rest[1:] == other or rest == other[1:] or (rest[:2] == other[:2][::-1] and rest[2:] == other[2:])
