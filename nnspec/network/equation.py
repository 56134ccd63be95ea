"""An equation of ``einsum`` that does not fit its inputs: the letters in another order, or others."""

from __future__ import annotations

from itertools import permutations

from nnspec.network.fault import NONE, Fault, Lengths, Proposal, numbers

MOST_LETTERS = 5  # of a term, all of whose orders are tried


def _read(fault: Fault) -> tuple[list[str], str, list[Lengths]] | None:
    """The terms, the output, and the lengths of each input; None where one is not known."""
    left, _, output = str(getattr(fault.entry, "equation", "")).partition("->")
    shapes = [numbers(p.shape) for p in fault.x]
    return None if any(s is None for s in shapes) else (left.split(","), output, [s or () for s in shapes])


def _fits(terms: list[str], shapes: list[Lengths]) -> bool:
    known: dict[str, int] = {}
    return len(terms) == len(shapes) and all(len(t) == len(s) for t, s in zip(terms, shapes, strict=True)) and all(
        known.setdefault(c, d) == d for term, s in zip(terms, shapes, strict=True) for c, d in zip(term, s, strict=True))  # fmt: skip


def ordered(fault: Fault) -> Proposal:
    """The letters of one input in another order, where that is the only way in which all lengths fit."""
    read = _read(fault)
    if read is None:
        return NONE
    terms, output, shapes = read
    if len(terms) != len(shapes) or any(len(s) != len(t) or len(s) > MOST_LETTERS for s, t in zip(shapes, terms, strict=True)):
        return NONE
    found = set()
    for n, letters in enumerate(terms):
        for order in permutations(letters):
            if _fits(tried := [*terms[:n], "".join(order), *terms[n + 1 :]], shapes):
                found.add(f"{','.join(tried)}->{output}")
    if len(found) == 1:
        new = found.pop()
        return f"write '{new}'", fault.set("equation", f'"{new}"')
    return "one of " + ", ".join(f"'{way}'" for way in sorted(found)[:3]) if found else "", ()


def lengths(fault: Fault) -> Proposal:
    """Which inputs a letter with two lengths stands in, and the layer that makes them one."""
    read = _read(fault)
    if read is None:
        return NONE
    terms, output, shapes = read
    at = [(n, c, d) for n, (term, s) in enumerate(zip(terms, shapes, strict=True)) for c, d in zip(term, s, strict=False)]
    n, c, d = next((one for one in at if any(o[1] == one[1] and o[2] != one[2] for o in at)), (0, "", 0))
    other = next((o for o in at if o[1] == c and o[2] != d), None)
    if other is None:
        return NONE
    said = f"'{c}' is {d} in {fault.name(n)}, {other[2]} in {fault.name(other[0])}"
    last = next(((i, to, was) for i, to, was in ((n, other[2], d), (other[0], d, other[2])) if terms[i][-1] == c and shapes[i][-1] == was), None)
    dense = f"a dense: {last[1]} behind {fault.name(last[0])}, or " if last and n != other[0] else ""
    return f"{said}: {dense}letters of their own", ()


def terms(fault: Fault) -> Proposal:
    """As many terms as inputs, and a letter for each axis: none for the batch."""
    read = _read(fault)
    if read is None:
        return NONE
    given, output, shapes = read
    if len(given) != len(shapes):
        return f"one term for each input, {len(shapes)} with ',' between them" if len(shapes) > 1 else "one term, without ','", ()
    first = {t[:1] for t in (*given, output)}
    rest = [t[1:] for t in (*given, output)]
    if len(first) == 1 and first != {""} and not any(first & {*t} for t in rest) and _fits(rest[:-1], shapes):
        new = f"{','.join(rest[:-1])}->{rest[-1]}"
        return f"the batch has no letter: '{new}'", fault.set("equation", f'"{new}"')
    n = next(i for i, (t, s) in enumerate(zip(given, shapes, strict=True)) if len(t) != len(s))
    return f"'{given[n]}' stands for {fault.name(n)}, which has {len(shapes[n])}: {' x '.join(map(str, shapes[n]))}; the batch has no letter", ()
