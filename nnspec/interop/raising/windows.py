"""Convolutions and pools as layers: kernels channels last, padding as a word, a number, or an end each."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnspec.interop.nodes.node import NotImportedError, sizes
from nnspec.interop.raising.draft import Step
from nnspec.interop.raising.raiser import Raiser
from nnspec.ops.conv import pads

Around = tuple[tuple[int, int], ...]


def alike(values: tuple[int, ...]) -> Any:
    """One number where all are the same."""
    return values[0] if len(set(values)) == 1 else list(values)


def unless(values: tuple[int, ...], default: int) -> Any:
    """As ``alike``; nothing where it is the default."""
    return None if set(values) <= {default} else alike(values)


def ends(s: Step, places: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Around:
    """The padding of a node before and after each axis of places."""
    rank, auto = len(places), s.node.attribute("auto_pad", "NOTSET")
    if auto == "VALID":
        return ((0, 0),) * rank
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        around = pads("same", places, size, stride, dilation)
        return around if auto == "SAME_UPPER" else tuple((b, a) for a, b in around)
    given = s.node.attribute("pads", [0] * 2 * rank)
    return tuple(zip(given[:rank], given[rank:], strict=True))


def spelled(around: Around, same: Around) -> Any:
    """Padding as a spec writes it."""
    flat = tuple(n for pair in around for n in pair)
    if any(n < 0 for n in flat):
        raise NotImportedError("padding below 0")
    if len(set(flat)) == 1:
        return flat[0] or None
    return "same" if around == same else list(flat)


def convolution(r: Raiser, s: Step) -> bool:
    n, x = s.node, s.node[0]
    if r.known(x) is not None:
        return False
    kernel, rank = r.array(n[1], "a kernel"), x.rank - 2
    if not 1 <= rank <= 3:
        raise NotImportedError(f"a convolution over {rank} axes")
    size = tuple(kernel.shape[2:])
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    places, groups, channels, filters = sizes(x)[2:], int(n.attribute("group", 1)), sizes(x)[1], kernel.shape[0]
    around = ends(s, places, size, stride, dilation)
    weights = {"kernel": np.ascontiguousarray(kernel.transpose(*range(2, kernel.ndim), 1, 0))}
    if n.has(2):
        weights["bias"] = r.array(n[2], "a bias")
    same = pads("same", places, size, stride, dilation)
    fields: dict[str, Any] = {"kernel": alike(size), "stride": unless(stride, 1), "padding": spelled(around, same), "dilation": unless(dilation, 1),
                              "bias": None if n.has(2) else False}
    if groups == channels > 1:
        weights["kernel"] = weights["kernel"].reshape(*size, channels, filters // channels)
        kind = f"depthwise_conv{rank}d"
        fields["multiplier"] = unless((filters // channels,), 1)
    else:
        kind, fields = f"conv{rank}d", {"filters": filters, **fields, "groups": unless((groups,), 1)}
    perm = r.channels_last(x)
    r.put(s.outputs[0], r.emit(kind, r.get(x, perm), weights=weights, **fields), perm)
    return True


def transposed(r: Raiser, s: Step) -> bool:
    n, x, y = s.node, s.node[0], s.outputs[0]
    if r.known(x) is not None:
        return False
    kernel, rank = r.array(n[1], "a kernel"), x.rank - 2
    if not 1 <= rank <= 3:
        raise NotImportedError(f"a transposed convolution over {rank} axes")
    size, places, out = tuple(kernel.shape[2:]), sizes(x)[2:], sizes(y)[2:]
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    groups = int(n.attribute("group", 1))
    reach = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    given = n.attribute("pads", [0] * 2 * rank)
    begin = tuple(given[:rank])
    if n.attribute("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER") or n.attribute("output_shape") is not None:
        total = tuple((p - 1) * s_ + e - o for p, s_, e, o in zip(places, stride, reach, out, strict=True))
        upper = n.attribute("auto_pad", "NOTSET") != "SAME_UPPER"
        begin = tuple((t + 1) // 2 if upper else t // 2 for t in (max(t, 0) for t in total))
    # What is cut off at the end, or added there, follows from the length that comes out.
    rest = tuple((p - 1) * s_ + e - b - o for p, s_, e, b, o in zip(places, stride, reach, begin, out, strict=True))
    around = tuple((b, b if 0 <= b - c < t else max(c, 0)) for b, c, t in zip(begin, rest, stride, strict=True))
    extra = tuple(a[1] - c for a, c in zip(around, rest, strict=True))
    if any(not 0 <= e < max(t, 1) for e, t in zip(extra, stride, strict=True)):
        raise NotImportedError("more output padding than the stride")
    # ONNX: (in, out / groups, *size); here (*size, out / groups, in)
    weights = {"kernel": np.ascontiguousarray(kernel.transpose(*range(2, kernel.ndim), 1, 0))}
    if n.has(2):
        weights["bias"] = r.array(n[2], "a bias")
    perm = r.channels_last(x)
    padding = alike(tuple(v for pair in around for v in pair))
    made = r.emit(f"conv_transpose{rank}d", r.get(x, perm), weights=weights, filters=kernel.shape[1] * groups, kernel=alike(size),
                  stride=unless(stride, 1), padding=padding, output_padding=unless(extra, 0), dilation=unless(dilation, 1),
                  groups=unless((groups,), 1), bias=None if n.has(2) else False)  # fmt: skip
    r.put(y, made, perm)
    return True


def window(s: Step) -> tuple[tuple[int, ...], tuple[int, ...], Around, Around]:
    """Size, stride and padding of a pool; then what is added at the ends for windows that begin before them (``ceil_mode``)."""
    n, x, y = s.node, s.node[0], s.outputs[0]
    size = tuple(n.attribute("kernel_shape"))
    rank = len(size)
    stride, dilation = (tuple(n.attribute(k, [1] * rank)) for k in ("strides", "dilations"))
    if set(dilation) != {1}:
        raise NotImportedError("a pool with dilations has no layer in this version")
    around = ends(s, sizes(x)[2:], size, stride, dilation)
    more = tuple((0, max((o - 1) * t + k - (p + a + b), 0))
                 for o, t, k, p, (a, b) in zip(sizes(y)[2:], stride, size, sizes(x)[2:], around, strict=True))
    return size, stride, around, more


def pool(r: Raiser, s: Step, kind: str, around: Around, source: Any, perm: tuple[int, ...], places: tuple[int, ...]) -> None:
    """A pool in the words of a spec."""
    size, stride, *_ = window(s)
    same = pads("same", places, size, stride, (1,) * len(size))
    if any(max(pair) >= k for pair, k in zip(around, size, strict=True)):
        raise NotImportedError("padding as wide as the window")
    step = None if stride == size else alike(stride)
    made = r.emit(f"{kind}_pool{len(size)}d", source, size=alike(size), stride=step, padding=spelled(around, same))
    r.put(s.outputs[0], made, perm)


def joined(a: Around, b: Around) -> Around:
    return tuple((p + u, q + v) for (p, q), (u, v) in zip(a, b, strict=True))


def max_pool(r: Raiser, s: Step) -> bool:
    x = s.node[0]
    if s.node.asks(1):
        raise NotImportedError("its second output, the places of the largest, has no layer in this version")
    if r.known(x) is not None or not x.dtype.is_float:
        return False
    _, _, around, more = window(s)
    perm = r.channels_last(x)
    pool(r, s, "max", joined(around, more), r.get(x, perm), perm, sizes(x)[2:])
    return True


def average_pool(r: Raiser, s: Step) -> bool:
    x = s.node[0]
    if r.known(x) is not None:
        return False
    _, _, around, more = window(s)
    perm, places = r.channels_last(x), sizes(x)[2:]
    source = r.get(x, perm)
    if s.node.attribute("count_include_pad", 0) and any(map(any, around)):
        flat = [n for pair in around for n in pair]
        source = r.emit(f"pad{len(around)}d", source, size=alike(tuple(flat)))
        places = tuple(p + a + b for p, (a, b) in zip(places, around, strict=True))
        source.entry.shape = (*places, sizes(x)[1])
        around = ((0, 0),) * len(around)
    pool(r, s, "avg", joined(around, more), source, perm, places)
    return True
