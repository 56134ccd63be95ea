"""Numbers that do not go into a length: groups, cells, parts, ends. What to write instead, which is more than one thing."""

from __future__ import annotations

from math import gcd
from typing import Any

from nnspec.network import last
from nnspec.network.fault import NONE, Fault, Proposal, numbers


def divisors(n: int, near: int) -> list[int]:
    """The largest divisor up to a number, and the smallest above it."""
    found = [d for d in range(1, min(n, 100_000) + 1) if n % d == 0]
    return [*[d for d in found if d <= near][-1:], *[d for d in found if d > near][:1]]


def multiples(of: int, near: int) -> list[int]:
    """The multiples on both sides of a number, without 0."""
    low = near // of * of
    return [n for n in (low, low + of) if n]


def either(key: str, ways: list[int]) -> str:
    return f"{key}: {' or '.join(map(str, ways))}" if ways else ""


def above(fault: Fault, ways: list[int]) -> str:
    """The layer that makes the channels, with other numbers of them."""
    found = last.sized(fault.x[0], fault.network)
    return f"{either(found[1], ways)} in '{found[0].path}' (line {found[0].place.line})" if found and ways else ""


def _channels(fault: Fault) -> int:
    shape = numbers(fault.x[0].shape) if fault.x else None
    return shape[-1] if shape else 0


def grouped(fault: Fault) -> Proposal:
    """A convolution whose groups do not divide the channels that it reads, or those that it makes."""
    entry: Any = fault.entry
    channels, filters, groups = _channels(fault), int(getattr(entry, "filters", 0)), int(getattr(entry, "groups", 0))
    if not channels or not filters or not groups:
        return NONE
    ways = [either("groups", divisors(gcd(channels, filters), groups))]
    if channels % groups == 0:
        ways.append(either("filters", multiples(groups, filters)))
    elif filters % groups == 0:
        ways.append(above(fault, multiples(groups, channels)))
    return ", or ".join(filter(None, ways)), ()


def normalized(fault: Fault) -> Proposal:
    channels, groups = _channels(fault), int(getattr(fault.entry, "groups", 0))
    if not channels or not groups:
        return NONE
    return ", or ".join(filter(None, (either("groups", divisors(channels, groups)), above(fault, multiples(groups, channels))))), ()


def shuffled(fault: Fault) -> Proposal:
    """Channels that are not cells of factor by factor."""
    cell, channels = int(getattr(fault.entry, "factor", 0)) ** 2, _channels(fault)
    if not channels or not cell:
        return NONE
    meant = list(dict.fromkeys([*multiples(cell, channels), *([channels * cell] if channels <= 4 else [])]))  # 3 colours behind it, it may be
    wanted = f"{cell} times the channels that are to be left"
    if said := above(fault, meant):
        return f"{said}: {wanted}", ()
    return f"a conv2d of {' or '.join(map(str, meant))} filters before it: {wanted}", ()


def unshuffled(fault: Fault) -> Proposal:
    """Lengths that are not whole cells."""
    shape, by = numbers(fault.x[0].shape) if fault.x else None, int(getattr(fault.entry, "factor", 0))
    if shape is None or len(shape) != 3 or not by:
        return NONE
    less, more = ([n % by for n in shape[:2]], [-n % by for n in shape[:2]])
    crop, pad = (str([e for n in ends for e in (n // 2, n - n // 2)]) for ends in (less, more))
    cropped = f"'- crop2d: {crop}', or " if min(shape[:2]) >= by else ""
    return f"{cropped}'- pad2d: {pad}' before it makes {by} divide {shape[0]} and {shape[1]}", ()


def parted(fault: Fault) -> Proposal:
    """``split`` into parts that do not come out even."""
    entry: Any = fault.entry
    length = _length(fault)
    if not length or not entry.parts:
        return NONE
    even = -(-length // entry.parts)
    ends = length - even * (entry.parts - 1)
    sizes = f", or sizes: {[even] * (entry.parts - 1) + [ends]}" if ends > 0 and entry.parts <= 8 else ""
    return f"{either('parts', divisors(length, entry.parts))}{sizes}", ()


def sized(fault: Fault) -> Proposal:
    """``split`` into sizes that do not add up."""
    sizes, length = [*(getattr(fault.entry, "sizes", None) or ())], _length(fault)
    if not length or not sizes:
        return NONE
    rest = length - sum(sizes)
    ways = [[*sizes, rest]] if rest > 0 else []
    ways += [[*sizes[:n], size + rest, *sizes[n + 1 :]] for n, size in enumerate(sizes) if size + rest > 0][-2:]
    return f"sizes: {' or '.join(map(str, ways))} add{'s' * (len(ways) == 1)} up to {length}" if ways else "", ()


def _length(fault: Fault) -> int:
    shape, axis = numbers(fault.x[0].shape) if fault.x else None, getattr(fault.entry, "axis", -1)
    return shape[axis] if shape and isinstance(axis, int) and -len(shape) <= axis < len(shape) else 0


def cropped(fault: Fault) -> Proposal:
    """``crop`` of all there is."""
    shape, size = numbers(fault.x[0].shape) if fault.x else None, getattr(fault.entry, "size", ())
    if not shape or not fault.entry.kind.startswith("crop"):
        return NONE
    least = min(n for n in shape[: len(size)])
    if least < 3:
        return "leave it out: nothing is left to crop", ()
    return f"{fault.entry.kind}: {(least - 1) // 2} or less; {', '.join(f'{n}' for n in shape[: len(size)])} are there", ()


def stop(fault: Fault) -> Proposal:
    """``slice`` beyond the end."""
    beyond = fault.entry.kind == "slice" and fault.error.found.startswith("stop")
    return ("leave 'stop' out: a slice goes to the end without it", ()) if beyond else NONE
