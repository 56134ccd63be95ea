"""A nest as one kernel: rows shared among blocks, walked along once for each stage of their reductions, every element in registers.

What is reduced over all rows is reduced by each block over its own, and left for another kernel to join where there are several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nnspec.ir.graph import Call, Value
from nnspec.ir.op import Constant
from nnspec.ir.program import Array
from nnspec.ir.types import TensorType
from nnspec.ops.fused import Fused, ends
from nnspec.ops.index import OneHot, Pick
from nnspec.ops.reduce import AllFinite, ArgMax, Max, Min, Reduction
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda import elements
from nnspec_cupy.cuda.elements import C
from nnspec_cupy.cuda.flat import parameters
from nnspec_cupy.cuda.lanes import counting, fit, vector
from nnspec_cupy.cuda.places import digits, place
from nnspec_cupy.cuda.reduce import start
from nnspec_cupy.cuda.stages import Level, Stages, by_column, by_row
from nnspec_cupy.cuda.walk import THREADS, WARP, walk


def partial_of(op: Fused) -> dict[Call, TensorType]:
    """The results that several blocks have parts of, and the memory for the parts: a line a part."""
    w, found = walk(op), {}
    for c in Stages(op).ending:
        parts, wide = (w.blocks, w.length) if by_column(c) else (w.partial, 1)
        if parts > 1:
            found[c] = TensorType((parts, wide), c.outputs[0].dtype)
    return found


class Nest:
    """The kernel of a nest over arrays. ``writes`` says where which value goes; of ``partial_of`` its parts, a line a block."""

    def __init__(self, op: Fused, reads: Sequence[Array], writes: Sequence[tuple[Value, Array]], guarded: bool) -> None:
        self.stages, self.walk = Stages(op), walk(op)
        self.reads = dict(zip(op.body.inputs.values(), reads, strict=True))
        self.into: dict[Value, list[tuple[str, Array]]] = {}
        for k, (v, a) in enumerate(writes):
            self.into.setdefault(v, []).append((f"out{k}", a))
        self.parameters = parameters(reads, [a for _, a in writes], guarded)
        self.guarded = guarded
        self.names: dict[Value, str] = {}
        self.lines: list[str] = []
        self.depth = 1
        self.shared: dict[str, None] = {}

    def kernel(self) -> Kernel:
        w = self.walk
        self.say(counting(self.stages.domain, [*self.reads.values(), *(a for into in self.into.values() for _, a in into)]))
        if self.guarded:
            self.say("if (!*guard) return;")
        self.say(f"const unsigned int lane = threadIdx.x % {w.width}u, line = threadIdx.x / {w.width}u;")
        tiled = f"const count block = blockIdx.x / {w.tiles}u, tile = blockIdx.x % {w.tiles}u;"
        self.say(tiled if w.tiles > 1 else "const count block = blockIdx.x;")
        self._numbers()
        for k, c in enumerate(self.stages.ending):
            if self._several(c):
                self.say(f"{C[c.outputs[0].dtype]} e{k}[{w.count}];", f"for (int e = 0; e < {w.count}; ++e) e{k}[e] = {self._start(c)};")
            else:
                self.say(f"{C[c.outputs[0].dtype]} e{k} = {self._start(c)};")
        step = w.together * w.blocks
        self.open(f"for (count base = block * {w.together}u; base < {w.rows}u; base += {step}u)")
        self.say("count r = base + line;")
        self.say(f"const bool live = r < {w.rows}u;")
        self.say(f"if (!live) r = {w.rows - 1}u;")
        lines, outer = digits("r", w.outer)
        self.say(*lines)
        if not self.stages.whole:
            outer.append("j")
        elif outer and w.count > 1:
            self.say(f"const count first = {outer[-1]} * {w.count}u;")
            outer[-1] = "j"
        self.index = outer
        self._rows()
        self.close()
        for k, c in enumerate(self.stages.ending):
            self._end(k, c)
        word = "rows" if self.stages.rows else "columns" if any(by_column(c) for c in self.stages.calls) else "elements"
        head = [f"    __shared__ {kind} held_{kind.replace(' ', '_')}[{THREADS}];\n" for kind in self.shared]
        return Kernel(f"nest_{word}", self.parameters, "".join([*head, *self.lines]), THREADS)

    # Text

    def say(self, *lines: str) -> None:
        self.lines += [f"{'    ' * self.depth}{line}\n" for line in lines]

    def open(self, head: str) -> None:
        self.say(f"{head} {{")
        self.depth += 1

    def close(self) -> None:
        self.depth -= 1
        self.say("}")

    def held(self, kind: str) -> str:
        """Shared memory for a number a thread."""
        self.shared[kind] = None
        return f"held_{kind.replace(' ', '_')}"

    # Values

    def _numbers(self) -> None:
        """What is one number everywhere."""
        s = self.stages
        for v, a in self.reads.items():
            if s.level[v] == Level.NUMBER:
                self._read(v, a, ["0"] * len(a.shape))
        self._compute(c for c in s.calls if s.level[c.outputs[0]] == Level.NUMBER and not ends(c))
        for v in s.outputs:
            if s.level[v] == Level.NUMBER and not ends(v.call):
                for name, a in self.into[v]:
                    self.say(f"if (blockIdx.x + threadIdx.x == 0) {name}[{place(a, ['0'] * len(a.shape))}] = {self.names[v]};")

    def _read(self, v: Value, a: Array, index: Sequence[str]) -> None:
        k = list(self.reads).index(v)
        self.names[v] = f"x{k}"
        self.say(f"const {C[a.type.dtype]} x{k} = in{k}[{place(a, index)}];")

    def _compute(self, calls: Iterable[Call]) -> None:
        for c in calls:
            v = c.outputs[0]
            if isinstance(c.op, Constant):
                self.names[v] = elements.number(c.op.data.reshape(())[()], v.dtype)
                continue
            name = f"t{self.stages.calls.index(c)}"
            if isinstance(c.op, OneHot):
                one, zero = (elements.number(n, v.dtype) for n in (1, 0))
                text = f"{self.names[c.inputs[0]]} == j ? {one} : {zero}"
            else:
                text = elements.write(c, [self.names[x] for x in c.inputs])
            self.say(f"const {C[v.dtype]} {name} = {text};")
            self.names[v] = name

    # Rows

    def _rows(self) -> None:
        """A row: what is one number of it, then walk after walk."""
        s, row = self.stages, self.index[:-1]
        for v, a in self.reads.items():
            if s.level[v] == Level.ROW:
                self._read(v, a, row if len(a.shape) < len(s.domain) else [*row, "0"])
        self._of_row(0)
        for n in range(1, s.walks + 1):
            self._walk(n)
            self._of_row(n)

    def _of_row(self, stage: int) -> None:
        """What is one number of a row, and known after ``stage`` walks."""
        s = self.stages
        self._compute(c for c in s.calls if s.level[c.outputs[0]] == Level.ROW and s.stage[c.outputs[0]] == stage and not by_row(c))
        for v in s.outputs:
            if s.level[v] == Level.ROW and s.stage[v] == stage:
                for name, a in self.into[v]:
                    index = self.index[:-1] if len(a.shape) < len(s.domain) else [*self.index[:-1], "0"]
                    self.say(f"if (live && lane == 0) {name}[{place(a, index)}] = {self.names[v]};")

    def _walk(self, n: int) -> None:
        """One walk along the row."""
        s, w = self.stages, self.walk
        sums = [c for c in s.rows if s.stage[c.outputs[0]] == n]
        wanted = [v for v in s.wanted if s.walk_of(v) == n]
        for c in sums:
            self._begin(c)
        if not s.whole:
            lane = f"tile * {w.width}u + lane" if w.tiles > 1 else "lane"
            start = f"({lane}) * {w.count}u" if w.count > 1 else lane
            self.open(f"for (count {self.first} = {start}; {self.first} < {w.length}u; {self.first} += {w.width * w.tiles * w.count}u)")
        needed = s.needed([*wanted, *(c.inputs[0] for c in sums)], Level.ELEMENT)
        used = {x for c in needed for x in c.inputs} | set(wanted) | {c.inputs[0] for c in sums}
        before = dict(self.names)
        self._elements([v for v in self.reads if v in used and s.level[v] == Level.ELEMENT], needed, sums, wanted)
        if not s.whole:
            self.close()
            self.names = before
        for c in sums:
            self._join_row(c)

    @property
    def first(self) -> str:
        """The name of the place along a row where a thread's elements begin."""
        return "first" if self.walk.count > 1 else "j"

    def _elements(self, read: Sequence[Value], needed: Sequence[Call], sums: Sequence[Call], wanted: Sequence[Value]) -> None:
        """What a thread does with the elements that it takes at a time: reads them together where they lie so, and writes them together."""
        s, count = self.stages, self.walk.count
        at = [*self.index[:-1], self.first] if self.index else []
        together = [v for v in read if self._fits(self.reads[v])]
        for v in together:
            k, a = list(self.reads).index(v), self.reads[v]
            self.say(f"const {vector(a, count)} v{k} = *(const {vector(a, count)}*)(in{k} + ({place(a, at)}));")
        written = [(name, a) for v in wanted for name, a in self.into.get(v, ()) if self._fits(a)]
        self.say(*(f"{vector(a, count)} v{name};" for name, a in written))
        if count > 1:
            self.say("#pragma unroll")
            self.open(f"for (int e = 0; e < {count}; ++e)")
            self.say("const count j = first + e;")
        for v in read:
            if v in together:
                k = list(self.reads).index(v)
                self.names[v] = f"x{k}"
                self.say(f"const {C[v.dtype]} x{k} = v{k}.at[e];")
            else:
                self._read(v, self.reads[v], self.index)
        self._compute(needed)
        for c in sums:
            self._gather(c)
        for v in wanted:
            for name, a in self.into.get(v, ()):
                self.say(f"v{name}.at[e] = {self.names[v]};" if (name, a) in written else
                         f"if (live) {name}[{place(a, self.index)}] = {self.names[v]};")
        for k, c in enumerate(s.ending):
            self._gather_end(k, c, [x for x in c.inputs if x in wanted])
        if count > 1:
            self.close()
        self.say(*(f"if (live) *({vector(a, count)}*)({name} + ({place(a, at)})) = v{name};" for name, a in written))

    def _fits(self, a: Array) -> bool:
        """Whether a thread's elements of an array are one read or write."""
        count = self.walk.count
        return count > 1 and len(a.shape) == len(self.stages.domain) and a.shape[-1] == self.stages.length and fit(a, count)

    def _name(self, c: Call) -> str:
        return f"t{self.stages.calls.index(c)}"

    def _begin(self, c: Call) -> None:
        v, name = c.outputs[0], self._name(c)
        if isinstance(c.op, ArgMax):
            kind = C[c.inputs[0].dtype]
            self.say(f"{kind} {name}_most = {start(Max((0,)), c.inputs[0].dtype)};", f"long long {name} = {self.walk.length};")
        else:
            self.say(f"{C[v.dtype]} {name} = {elements.number(0, v.dtype) if isinstance(c.op, Pick) else self._start(c)};")
        self.names[v] = name

    def _gather(self, c: Call) -> None:
        """One more element of a row."""
        name, x = self._name(c), self.names[c.inputs[0]]
        if isinstance(c.op, ArgMax):
            self.say(f"if (nn_above({x}, (long long)j, {name}_most, {name})) {{ {name}_most = {x}; {name} = j; }}")
        elif isinstance(c.op, Pick):
            last = self.walk.length - 1
            chosen = self.names[c.inputs[1]]
            self.say(f"if (j == ({chosen} < 0 ? 0 : {chosen} > {last} ? {last} : {chosen})) {name} = {x};")
        else:
            self.say(f"{name} = {_joined(c, name, x)};")

    def _join_row(self, c: Call) -> None:
        """What the threads of a row found, as one number that all of them know."""
        name, width = self._name(c), self.walk.width
        if width == 1:
            return
        v = c.outputs[0]
        kind = C[v.dtype]
        if width <= WARP:
            self.open(f"for (int half = {width // 2}; half; half /= 2)")
            if isinstance(c.op, ArgMax):
                self.say(f"const {C[c.inputs[0].dtype]} most = __shfl_xor_sync(~0u, {name}_most, half);",
                         f"const long long where = __shfl_xor_sync(~0u, {name}, half);",
                         f"if (nn_above(most, where, {name}_most, {name})) {{ {name}_most = most; {name} = where; }}")
            else:
                self.say(f"const {kind} other = __shfl_xor_sync(~0u, {name}, half);", f"{name} = {self._either(c, name, 'other')};")
            self.close()
            return
        held = self.held(kind)
        most = self.held(C[c.inputs[0].dtype] + " ") if isinstance(c.op, ArgMax) else ""
        self.say(f"{held}[threadIdx.x] = {name};", *([f"{most}[threadIdx.x] = {name}_most;"] if most else []))
        self.open(f"for (unsigned int half = {width // 2}u; half; half /= 2)")
        self.say("__syncthreads();")
        if most:
            own, other = "[threadIdx.x]", "[threadIdx.x + half]"
            self.say(f"if (lane < half && nn_above({most}{other}, {held}{other}, {most}{own}, {held}{own})) "
                     f"{{ {most}{own} = {most}{other}; {held}{own} = {held}{other}; }}")
        else:
            self.say(f"if (lane < half) {held}[threadIdx.x] = {self._either(c, f'{held}[threadIdx.x]', f'{held}[threadIdx.x + half]')};")
        self.close()
        self.say("__syncthreads();", f"{name} = {held}[line * {width}u];", "__syncthreads();")

    def _either(self, c: Call, a: str, b: str) -> str:
        """Of a picked element all threads but one have zero."""
        return f"({a} != {elements.number(0, c.outputs[0].dtype)} ? {a} : {b})" if isinstance(c.op, Pick) else _joined(c, a, b)

    # What is there after all rows

    def _start(self, c: Call) -> str:
        if isinstance(c.op, Reduction):
            return start(c.op, c.outputs[0].dtype)
        return "true"

    def _gather_end(self, k: int, c: Call, x: Sequence[Value]) -> None:
        """One more element of a result over all rows."""
        for v in x:
            if isinstance(c.op, AllFinite):
                self.say(f"if (live) e{k} = e{k} && nn_finite({self.names[v]});")
            elif by_column(c) and self.walk.spread:
                (name, _), = self.into[c.outputs[0]]
                at = f"{name}[block * {self.walk.length}u + j]"
                first = self._start(c)
                self.say(f"if (live) {at} = {_joined(c, f'(base < {self.walk.together * self.walk.blocks}u ? {first} : {at})', self.names[v])};")
            else:
                own = f"e{k}[e]" if self._several(c) else f"e{k}"
                self.say(f"if (live) {own} = {_joined(c, own, self.names[v])};")

    def _several(self, c: Call) -> bool:
        """Whether a thread has several columns in registers."""
        return by_column(c) and not self.walk.spread and self.walk.count > 1

    def _end(self, k: int, c: Call) -> None:
        """What the threads of a block found, to where it belongs."""
        w, v = self.walk, c.outputs[0]
        if isinstance(c.op, AllFinite):
            for x in c.inputs:
                if self.stages.level[x] == Level.NUMBER:
                    self.say(f"e{k} = e{k} && nn_finite({self.names[x]});")
        if by_column(c) and self.walk.spread:
            return
        held = self.held(C[v.dtype])
        several = self._several(c)
        if several:
            self.open(f"for (int e = 0; e < {w.count}; ++e)")
        self.say("__syncthreads();", f"{held}[threadIdx.x] = e{k}{'[e]' if several else ''};")
        unit = w.width if by_column(c) else 1
        self.open(f"for (unsigned int half = {THREADS // 2}u; half >= {unit}u; half /= 2)")
        self.say("__syncthreads();",
                 f"if (threadIdx.x < half) {held}[threadIdx.x] = {_joined(c, f'{held}[threadIdx.x]', f'{held}[threadIdx.x + half]')};")
        self.close()
        (name, _), *others = self.into[v]
        for target in (name, *(n for n, _ in others)):
            if by_column(c):
                at = f"{f'tile * {w.width}u + ' if w.tiles > 1 else ''}threadIdx.x"
                at = f"({at}) * {w.count}u + e" if several else at
                self.say(f"if (threadIdx.x < {w.width}u && {at} < {w.length}u) {target}[block * {w.length}u + {at}] = {held}[threadIdx.x];")
            else:
                self.say(f"if (threadIdx.x == 0) {target}[blockIdx.x] = {held}[0];")
        if several:
            self.close()


def _joined(c: Call, a: str, b: str) -> str:
    """Two parts of a result as one."""
    if isinstance(c.op, AllFinite):
        return f"({a} && {b})"
    if isinstance(c.op, Max | Min):
        return f"nn_{'maximum' if isinstance(c.op, Max) else 'minimum'}({a}, {b})"
    return f"({a} + {b})"

