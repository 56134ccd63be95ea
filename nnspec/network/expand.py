"""Blocks, repeats and formulas worked out, and shapes inferred, in one walk over the entries: a list becomes a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from nnspec.errors import Place, Problem, SpecError
from nnspec.ir.graph import Value
from nnspec.ir.op import ShapeError
from nnspec.ir.types import DType, TensorType
from nnspec.layers.activations import Activate
from nnspec.layers.layer import Choice, Entry, Merge
from nnspec.layers.math import Math
from nnspec.network import backbone
from nnspec.network.calls import activated, block_of, call
from nnspec.network.context import Context
from nnspec.network.entry import STRUCTURES, Written, by_role, known_kinds, name_of, no_such_kind, parse, peek, reads_input, truth
from nnspec.network.fault import Fault
from nnspec.network.graph import Leaf, Network, Port
from nnspec.network.infer import infer
from nnspec.network.initial import initial
from nnspec.network.keys import idle, learning_rate, only, regularize
from nnspec.network.left_out import left_out
from nnspec.network.reads import reads
from nnspec.network.repair import shape_problem
from nnspec.network.repeat import Copy, copies
from nnspec.network.scope import Ref
from nnspec.network.share import owner
from nnspec.network.structures import structure
from nnspec.records import dataclass, field, replace
from nnspec.spec.blocks import COMMON, Block
from nnspec.spec.explain import describe, fields_of, validate
from nnspec.spec.formulas import Watched, substitute
from nnspec.spec.networks import Subnetwork
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, plain

MOST_LAYERS = 10_000


@dataclass
class Expander:
    """The walk. Problems are collected; a layer that failed has an output without a type, and what follows says no more."""

    network: Network
    blocks: Mapping[str, Block]
    dtype: DType
    networks: Mapping[str, Subnetwork] = field(default_factory=dict)
    broken: Collection[str] = ()  # blocks and networks whose declaration is wrong: a call says no more
    problems: list[Problem] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    marks: set[tuple[object, ...]] = field(default_factory=set)
    outputs: dict[str, Mapping[str, Value]] = field(default_factory=dict)  # further outputs of the layer just added
    ends: dict[str, tuple[Port, ...]] = field(default_factory=dict)  # what each entry gave, by path

    def report(self, *problems: Problem) -> None:
        """Keeps a problem once for each place, however often its block is called."""
        for p in problems:
            key = (p.place.file, p.place.line, p.place.column, p.rule) if p.place else (p.message,)
            if key not in self.marks:
                self.marks.add(key)
                self.problems.append(p)

    def walk(self, entries: Node, current: tuple[Port, ...], ctx: Context, stop: str = "") -> tuple[Port, ...]:
        """Every entry of a list, or those up to the name ``stop``, each taking the one above it; the last one's output."""
        if not isinstance(entries, Sequence):
            self.report(Problem("a list of layers is wanted here", entries.place, found=describe(entries), wanted="- layer: {…}", rule="bad-value"))
            return (Port(""),)
        counts: Counter[str] = Counter()
        for node in entries.items:
            _, name, place = peek(node)
            if name:
                ctx.scope.below.setdefault(name, place)
        for node in entries.items:
            kind, name, place = peek(node)
            before = counts[kind]
            try:
                current = self.entry(node, current, ctx, counts)
            except _TooMany:
                raise
            except SpecError as e:
                self.report(*e.problems)
                counts[kind] = max(counts[kind], before + 1)
                current = (Port(""),)
                for known in (name, self.default(kind, counts[kind])):
                    if known and known not in ctx.scope.names:
                        ctx.scope.names[known] = Ref(current, place, explicit=False)
                ctx.scope.below.pop(name, None)
            if stop and stop in ctx.scope.names:
                break
        return current

    def default(self, kind: str, number: int) -> str:
        """The name of an entry that has none; a network's first call goes by the network's own."""
        return kind if kind in self.networks and number == 1 else f"{kind}_{number}"

    def entry(self, node: Node, current: tuple[Port, ...], ctx: Context, counts: Counter[str]) -> tuple[Port, ...]:
        """One entry with its repeats."""
        written = self.written(node)
        name = name_of(written.common.get("name"))
        many = copies(self.decide(written, "repeat", ctx, current))
        repeated = "repeat" in written.common
        outputs: dict[str, Port] = {}
        fed = False
        first = ""
        if not many:
            left_out(self, written)
        for n, copy in enumerate(many):
            counts[written.kind] += 1
            mine, fields = written.copy(copy.fields)
            inner = replace(ctx, env={**ctx.env, copy.counter: copy.number} if copy.counter else ctx.env)
            if not truth(self.decide(mine, "when", inner, current), True, "when"):
                left_out(self, mine)
                continue
            own = (f"{name}_{n + 1}" if repeated else name) if name else self.default(written.kind, counts[written.kind])
            source = mine.common.get("from")
            if source is not None:
                names = Watched(self.environment(inner.env, current))
                read = substitute(source, names)
                if not fed or copy.counter in names.read or "from" in copy.fields:
                    current = self.sources(read, inner, written.kind)
            again = copy.shares and fed
            if again:
                inner = replace(inner, shared=(ctx.at(own), ctx.at(first)))
            fed, first = True, first or own
            ctx.scope.below.pop(own, None)
            before = len(self.network.nodes)
            current, outputs = self.one(mine, own, replace(copy, fields=fields), current, inner)
            if not again and all(p.type is not None for p in current):
                self.report(*idle(mine, ctx.at(own), islice(self.network.nodes.values(), before, None)))
            self.ends[ctx.at(own)] = current
            ctx.scope.define(own, Ref(current, written.place, outputs, explicit=bool(name), path=ctx.at(own)))
        if name and repeated and fed:
            ctx.scope.define(name, Ref(current, written.place, outputs, path=ctx.at(own)))
        ctx.scope.below.pop(name, None)
        return current

    def written(self, node: Node) -> Written:
        kind, _, _ = peek(node)
        member = Entry.registry.get(kind)
        taken = [f for f in (member.model_fields if member else ()) if f in COMMON]
        return parse(node, [*taken, *(self.blocks[kind].args if kind in self.blocks else ())], (*self.blocks, *self.networks))

    def environment(self, env: Mapping[str, Any], current: tuple[Port, ...]) -> Mapping[str, Any]:
        port = current[0] if current else None
        return {**env, "input": {"shape": port.shape}} if port is not None and port.type is not None else env

    def resolve(self, node: Node | None, env: Mapping[str, Any]) -> Node | None:
        return None if node is None else substitute(node, env)

    def decide(self, written: Written, key: str, ctx: Context, current: tuple[Port, ...]) -> Node | None:
        """``repeat`` or ``when``: what decides whether an entry is there, worked out over the entry's input."""
        node, source = written.common.get(key), written.common.get("from")
        if node is not None and reads_input(node):
            if source is not None:
                current = self.sources(substitute(source, self.environment(ctx.env, current)), ctx, written.kind)
            if any(p.type is None for p in current):
                raise SpecError()  # the input failed, and has been reported
        return self.resolve(node, self.environment(ctx.env, current))

    def sources(self, node: Node, ctx: Context, kind: str) -> tuple[Port, ...]:
        """What ``from`` names."""
        if isinstance(node, MappingNode):
            node = Sequence(node.place, by_role(node, kind), node.flow)
        items = node.items if isinstance(node, Sequence) else [node]
        ports: list[Port] = []
        problems: list[Problem] = []
        for item in items:
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                raise SpecError(
                    Problem("'from' does not fit", item.place, found=describe(item), wanted="a name, or a list of names", rule="bad-value")
                )
            try:
                ports += ctx.scope.find(item.value, item.place)
            except SpecError as e:
                problems += e.problems
        if problems or not ports:
            raise SpecError(*(problems or [Problem("'from' names nothing", node.place, wanted="at least one name", rule="bad-value")]))
        return tuple(ports)

    def one(self, written: Written, name: str, copy: Copy, current: tuple[Port, ...], ctx: Context) -> tuple[tuple[Port, ...], dict[str, Port]]:
        """One copy of an entry: a structure, a block's body, or a layer."""
        if len(self.network.nodes) > MOST_LAYERS:
            raise _TooMany(Problem(f"more than {MOST_LAYERS:,} layers", written.place, wanted=f"at most {MOST_LAYERS:,}", rule="too-large"))
        outer = ctx.only
        ctx = self.common(written, name, ctx)
        if written.kind in self.broken:
            self.used.add(written.kind)
            return (Port(ctx.at(name)),), {}
        if written.kind not in Entry.registry:
            self.network.calls[ctx.at(name)] = written.kind, written.place
        if written.kind in STRUCTURES:
            ends = structure(self, written, name, copy, current, ctx)
            outputs: dict[str, Port] = {}
        elif written.kind in self.blocks:
            ends, outputs = call(self, written, name, copy, current, ctx)
        elif written.kind in self.networks:
            ends, outputs = backbone.call(self, written, name, copy.fields, current, ctx)
        else:
            return self.layer(written, name, copy, current, ctx, ctx.only != outer)
        return (self.chosen(ends, current, written, name, ctx), outputs) if ctx.only != outer else (ends, outputs)

    def common(self, written: Written, name: str, ctx: Context) -> Context:
        """What the keys that every entry has decide for it and all inside."""
        keys = {k: self.resolve(written.common.get(k), ctx.env) for k in ("trainable", "only", "learning_rate", "share")}
        mode, share = only(keys["only"]), keys["share"]
        if mode and ctx.only and mode != ctx.only:
            raise SpecError(Problem(f"'{name}' is never there", written.place, found=f"only: {mode}, inside of only: {ctx.only}", rule="bad-value"))
        shared = ctx.shared
        if share is not None:
            if not isinstance(share, Scalar) or not isinstance(share.value, str):
                raise SpecError(Problem("'share' does not fit", share.place, found=describe(share), wanted="the name of an entry", rule="bad-value"))
            shared = (ctx.at(name), ctx.scope.entry(share.value, share.place).path)
        if share is not None and (given := [k for k in ("init", "regularize", "learning_rate") if k in written.common]):
            raise SpecError(Problem(f"'{given[0]}' beside 'share'", written.common[given[0]].place, found="weights of another entry's",
                                    wanted=f"{given[0]} there, where the weights belong", rule="bad-value"))
        return replace(ctx, frozen=ctx.frozen or not truth(keys["trainable"], True, "trainable"), only=mode or ctx.only, shared=shared,
                       rate=learning_rate(keys["learning_rate"], self.dtype.largest).inside(ctx.rate))

    def chosen(self, ends: tuple[Port, ...], current: tuple[Port, ...], written: Written, name: str, ctx: Context) -> tuple[Port, ...]:
        """What a list for one mode alone makes; where it keeps the shape, its input stands for it in the other."""
        if len(ends) != len(current) or any(a.type is None or a.type != b.type or a.batched != b.batched for a, b in zip(ends, current, strict=True)):
            return ends
        inner = replace(ctx, path=ctx.at(name))
        names = ["only"] if len(ends) == 1 else [f"only_{n}" for n in range(1, len(ends) + 1)]
        return tuple(self.leaf(Choice(), n, {}, (b, a), written, inner, {}, passes=True) for n, a, b in zip(names, ends, current, strict=True))

    def layer(
        self, written: Written, name: str, copy: Copy, current: tuple[Port, ...], ctx: Context, passes: bool = False
    ) -> tuple[tuple[Port, ...], dict[str, Port]]:
        """A layer itself, and the block that its ``activation`` names."""
        if written.kind not in Entry.registry:
            raise SpecError(no_such_kind(written, known_kinds((*self.blocks, *self.networks))))
        member = Entry.registry[written.kind]
        what = f"layer '{written.kind}'"
        fields = fields_of(member, written.fields, what)
        pairs = {**fields.pairs, **copy.fields}
        keys = {**fields.keys, **{k: v.place for k, v in copy.fields.items()}}
        node = MappingNode(fields.place, pairs, keys, fields.flow)
        if any(p.type is None for p in current) and reads_input(node):
            return (Port(ctx.at(name)),), {}
        if member is Math:
            source = self.resolve(written.common.get("from"), self.environment(ctx.env, current))
            node, current = reads(node, source, current, ctx.scope, self.environment(ctx.env, current))
        resolved = substitute(node, self.environment(ctx.env, current))
        assert isinstance(resolved, MappingNode)
        block = block_of(self, resolved, member)
        if block is not None:
            if member is Activate:
                return activated(self, block, name, current, ctx, written, passes)
            kept = {k: v for k, v in resolved.pairs.items() if k != "activation"}
            resolved = MappingNode(resolved.place, kept, resolved.keys, resolved.flow)
        entry = validate(member, resolved, written.place, what, COMMON)
        env = self.environment(ctx.env, current)
        plain_fields = {k: plain(v) for k, v in resolved.pairs.items()}
        port = self.leaf(entry, name, plain_fields, current, written, ctx, env, passes and block is None, {**written.keys, **resolved.keys})
        leaf = self.network.nodes[port.node]["leaf"] if port.type is not None else None
        params = {p.name: Port(port.node, p.name, TensorType(p.shape, self.dtype), batched=False) for p in leaf.params} if leaf else {}
        further = {n: replace(port, output=n, type=v.type, value=v) for n, v in self.outputs.pop(port.node, {}).items()}
        if block is not None:
            (port,), _ = activated(self, block, block.kind, (port,), replace(ctx, path=ctx.at(name)), written, False)
            if passes and port.type is not None:
                (port,) = self.chosen((port,), current[:1], written, name, ctx)
        return (tuple(further.values()) if entry.several and further else (port,)), {**params, **further}

    def leaf(
        self,
        entry: Entry,
        name: str,
        fields: Mapping[str, Any],
        current: tuple[Port, ...],
        written: Written,
        ctx: Context,
        env: Mapping[str, Any],
        passes: bool = False,
        keys: Mapping[str, Place] | None = None,
    ) -> Port:
        """Adds a layer to the graph, with its type where it can be told."""
        path = ctx.at(name)
        least, most = entry.inputs
        x = current if isinstance(entry, Merge) and most or len(current) > most and "from" in written.common else current[:most]
        if not least <= len(x) <= most:
            bound = f"{least}" if least == most else f"at least {least}" if len(x) < least else f"at most {most}"
            wanted = "no" if not most else "one" if most == 1 else bound
            raise SpecError(
                Problem(
                    f"layer '{path}' takes {wanted} input{'s' if most > 1 else ''}",
                    written.place,
                    found=str(len(x)),
                    hint="name them: from: [a, b]" if least > 1 else "leave out 'from'" if not most else "join them first: concat: {from: […]}",
                    rule="inputs",
                )
            )
        if any(p.type is None for p in x):
            return Port(path)
        for p in x:
            if p.only and p.only != ctx.only:
                raise SpecError(Problem(f"layer '{path}' reads '{p.node}', which is there in {p.only} only", written.place,
                                        wanted=f"only: {p.only} here too", hint="what keeps the shape is passed by in the other mode", rule="only"))
        try:
            inferred = infer(entry, x, self.dtype, path)
        except ShapeError as e:
            once = not ctx.calls and "repeat" not in written.common and "i" not in ctx.env
            raise SpecError(shape_problem(Fault(e, x, entry, written, self.network, once), path)) from None
        y, params = inferred.built.y, inferred.params
        init = initial(self.resolve(written.common.get("init"), env), params, path, self.dtype)
        learned = [p.name for p in params if p.trainable]
        penalties = regularize(self.resolve(written.common.get("regularize"), env), learned, path, self.dtype.largest)
        passes = passes and bool(x) and y.type == x[0].type and x[0].batched == any(p.batched for p in x)
        weights = owner(entry, params, path, written, ctx.shared, self.network)
        leaf = Leaf(path, entry, x, params, init, ctx.frozen, written.place, weights, ctx.only, passes, ctx.rate, penalties, keys or {})
        if inferred.built.outputs:
            self.outputs[path] = inferred.built.outputs
        return self.network.add_layer(leaf, y, inferred.flops, fields, ctx.frames)


class _TooMany(SpecError):
    """Stops the walk."""
