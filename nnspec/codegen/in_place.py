"""Lets a value take the memory of one that dies as it is made.

Only where the step may run in place, both have the same type and layout, and nothing else sees the dying memory. In the
same way the step that makes a state's new content writes it into the state itself, if nobody reads the old content
afterwards and the step waits for the same condition as the update.
"""

from __future__ import annotations

from nnspec.codegen.drafts import Buffer, Draft, Operand, Rules, Spot
from nnspec.ir.program import STATE, Copy


def reuse_dying(drafts: list[Draft], rules: Rules) -> None:
    """Merges the buffer of a step's first output with that of a dying input."""
    last = _last(drafts)
    for i, d in enumerate(drafts):
        to = d.writes[0].spot
        if to is None or not _free(to):
            continue
        for k in rules.in_place(d.call.op):
            source = d.reads[k].spot
            if source is not None and _free(source) and last[source.buffer.owner()] == i and _fits(d, source, to):
                to.buffer.merged = source.buffer.owner()
                last[source.buffer.owner()] = last[to.buffer]
                break


def write_states(drafts: list[Draft], rules: Rules) -> list[Draft]:
    """Drops ``copyto(state, new)`` where the step that makes ``new`` can write it there."""
    last, reads, makers = _last(drafts), _reads(drafts), _makers(drafts)
    kept = []
    for i, d in enumerate(drafts):
        source, to = d.reads[0].spot if d.reads else None, d.writes[0].spot
        if not isinstance(d.call.op, Copy) or source is None or to is None or not to.buffer.arena.startswith(STATE):
            kept.append(d)
            continue
        made = makers.get(source.buffer, [])
        if not (len(made) == 1 and _free(source) and last[source.buffer] == i and reads[source.buffer] == [i]
                and _may_write(drafts, made[0], d, to, reads[to.buffer], rules)):
            kept.append(d)
            continue
        maker = drafts[made[0]]
        place = next(j for j, o in enumerate(maker.writes) if o.spot and o.spot.buffer is source.buffer)
        maker.writes[place] = Operand(maker.writes[place].value, to)
    return kept


def _may_write(drafts: list[Draft], maker: int, update: Draft, to: Spot, reads: list[int], rules: Rules) -> bool:
    d = drafts[maker]
    if isinstance(d.call.op, Copy) or any(i > maker for i in reads):
        return False
    if (d.guard and d.guard.value) != (update.guard and update.guard.value):
        return False
    if d.guard and not rules.waits(d.call.op):
        return False
    overlapping = [k for k, o in enumerate(d.reads) if o.spot and o.spot.buffer is to.buffer]
    allowed = rules.in_place(d.call.op)
    return all(k in allowed and d.reads[k].spot == to for k in overlapping)


def _fits(d: Draft, source: Spot, to: Spot) -> bool:
    """The same type and layout, and no other operand of the step sees the dying memory otherwise."""
    if source.layout != to.layout or source.buffer.dtype != to.buffer.dtype:
        return False
    owner = source.buffer.owner()
    others = [o.spot for o in (*d.reads, *d.writes[1:]) if o.spot and o.spot.buffer.owner() is owner]
    return all(s.layout == source.layout for s in others)


def _free(spot: Spot) -> bool:
    """A whole buffer that is nobody's but this program's, and only while it lives."""
    return spot.buffer.owner().arena == "work" and spot.whole


def _last(drafts: list[Draft]) -> dict[Buffer, int]:
    return {b: i for i, d in enumerate(drafts) for b in d.touched()}


def _reads(drafts: list[Draft]) -> dict[Buffer, list[int]]:
    found: dict[Buffer, list[int]] = {}
    for i, d in enumerate(drafts):
        for o in (*d.reads, *([d.guard] if d.guard else [])):
            if o.spot:
                found.setdefault(o.spot.buffer, []).append(i)
            found.setdefault(d.writes[0].spot.buffer, []) if d.writes[0].spot else None
    return found


def _makers(drafts: list[Draft]) -> dict[Buffer, list[int]]:
    found: dict[Buffer, list[int]] = {}
    for i, d in enumerate(drafts):
        for o in d.writes:
            if o.spot:
                found.setdefault(o.spot.buffer, []).append(i)
    return found
