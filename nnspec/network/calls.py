"""A block in place of its call: its body over the caller's input, as a layer, or as the activation of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnspec.errors import Problem, SpecError
from nnspec.ir.types import show
from nnspec.layers.activations import Activate
from nnspec.layers.layer import Entry
from nnspec.network.entry import Written, no_parameters, reads_input
from nnspec.network.graph import Port
from nnspec.network.repeat import ONE, Copy
from nnspec.network.scope import Ref, Scope
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Scalar

if TYPE_CHECKING:
    from nnspec.network.context import Context
    from nnspec.network.expand import Expander

MOST_DEPTH = 32
Ends = tuple[tuple[Port, ...], dict[str, Port]]


def call(expander: Expander, written: Written, name: str, copy: Copy, current: tuple[Port, ...], ctx: Context) -> Ends:
    """A block's body in place of its call: it sees its inputs, its arguments and ``vars``, nothing of its caller."""
    block = expander.blocks[written.kind]
    expander.used.add(written.kind)
    path = ctx.at(name)
    no_parameters(written)
    if written.kind in ctx.calls or len(ctx.calls) >= MOST_DEPTH:
        chain = " -> ".join([*ctx.calls, written.kind])
        raise SpecError(
            Problem(
                f"block '{written.kind}' uses itself: this is a cycle", written.place, found=chain[:200], wanted="blocks that end", rule="cycle"
            )
        )
    if any(p.type is None for p in current) and any(reads_input(n) for n in (written.fields, *copy.fields.values()) if n is not None):
        return (Port(path),), {}
    args = block.arguments(written.fields, copy.fields, written.place, expander.environment(ctx.env, current))
    if block.inputs and len(current) != len(block.inputs):
        raise SpecError(
            Problem(
                f"block '{written.kind}' takes {len(block.inputs)} inputs",
                written.place,
                found=f"{len(current)}",
                wanted=f"from: [{', '.join(block.inputs)}]",
                rule="inputs",
            )
        )
    if not block.inputs and len(current) > 1 and "from" in written.common:
        raise SpecError(
            Problem(
                f"block '{written.kind}' takes one input",
                written.place,
                found=f"{len(current)}",
                hint="join them first, or name them in the block: inputs: [a, b]",
                rule="inputs",
            )
        )
    scope = Scope()
    for own, port in zip(block.inputs, current, strict=False):
        scope.define(own, Ref((port,), block.place))
    env = {**{k: v for k, v in ctx.env.items() if k == "data"}, **block.vars, **args}
    inner = ctx.inside(path, scope=scope, env=env, calls=(*ctx.calls, written.kind))
    end = expander.walk(block.layers, current if block.inputs else current[:1], inner)
    outputs: dict[str, Port] = {}
    for own, target, place in block.outputs:
        try:
            outputs[own] = scope.one(target, place)
        except SpecError as e:
            expander.report(*e.problems)
            outputs[own] = Port("")
    return (tuple(outputs.values()) if outputs else end), outputs


def block_of(expander: Expander, fields: MappingNode, member: type[Entry]) -> Written | None:
    """The block that stands where an activation may, as a call of it."""
    key = "of" if member is Activate else "activation"
    value = fields.pairs.get(key) if key in member.model_fields else None
    pairs = value.pairs if isinstance(value, MappingNode) and len(value.pairs) == 1 else {}
    named = value.value if isinstance(value, Scalar) else next(iter(pairs), None)
    if value is None or not isinstance(named, str) or named not in (*expander.blocks, *expander.broken):
        return None
    return Written(named, value.place, {}, pairs.get(named), {})


def activated(
    expander: Expander, block: Written, name: str, current: tuple[Port, ...], ctx: Context, written: Written, passes: bool
) -> Ends:
    """A block called as an activation: of one input and one output, of equal shapes."""
    if block.kind in expander.broken:
        expander.used.add(block.kind)
        return (Port(ctx.at(name)),), {}
    declared = expander.blocks[block.kind]
    if len(declared.inputs) > 1 or len(declared.outputs) > 1:
        expander.used.add(block.kind)
        raise SpecError(Problem(f"block '{block.kind}' cannot be an activation", block.place, found="several inputs or outputs",
                                wanted="a block of one input and one output", rule="inputs"))
    ends, _ = call(expander, block, name, ONE, current[:1], ctx)
    if len(ends) != 1:
        raise SpecError(Problem(f"block '{block.kind}' cannot be an activation", block.place, found=f"{len(ends)} outputs", wanted="one",
                                rule="inputs"))
    before, after = current[0].type, ends[0].type
    if before is not None and after is not None and before.shape != after.shape:
        raise SpecError(Problem(f"block '{block.kind}' cannot be an activation: it changes the shape", block.place,
                                found=f"{show(before.shape)} to {show(after.shape)}", wanted="equal shapes", hint=f"call it: '- {block.kind}'",
                                rule="shape"))
    return (expander.chosen(ends, current[:1], written, name, ctx) if passes else ends), {}
