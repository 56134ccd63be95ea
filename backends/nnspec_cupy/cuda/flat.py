"""A nest without reductions: elements computed in registers, up to four a thread, from what it reads to what it writes.

What lies along another axis than what is written is read by squares: a block brings 32 x 32 elements to shared memory along the axis
where they lie side by side, and takes them from there along the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Array
from nnspec_cupy.commands import Kernel, Three
from nnspec_cupy.cuda import elements
from nnspec_cupy.cuda.lanes import SIDE, Square, beside, counting, lanes, square, vector, walked
from nnspec_cupy.cuda.places import digits, parameter, place

THREADS = 256


def flat(body: Graph, word: str, domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array], guarded: bool) -> Kernel:
    """The kernel of ``body`` over the elements of ``domain``; all its outputs have that shape. ``grid`` says how many blocks it wants."""
    shape, seen = walked(domain, reads, writes)
    found = square(shape, seen[: len(reads)], seen[len(reads) :])
    lines = [counting(shape, seen), *["if (!*guard) return;"] * guarded]
    lines += _together(body, shape, seen, len(reads)) if found is None else _by_squares(body, shape, seen, len(reads), found)
    word = word if found is None else f"{word}_turned"
    return Kernel(word, parameters(reads, writes, guarded), "".join(f"    {line}\n" for line in lines), THREADS)


def grid(domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array]) -> Three:
    """The blocks of a kernel that ``flat`` makes."""
    shape, seen = walked(domain, reads, writes)
    found = square(shape, seen[: len(reads)], seen[len(reads) :])
    return (prod(found.blocks), 1, 1) if found else blocks(prod(shape) // lanes(shape, seen))


def _together(body: Graph, shape: tuple[int, ...], seen: Sequence[Array], reads: int) -> list[str]:
    """A thread for as many elements as lie side by side in all arrays."""
    count = lanes(shape, seen)
    lines = [f"const count n = (count)blockIdx.x * {THREADS}u + threadIdx.x;", f"if (n >= {prod(shape) // count}u) return;"]
    taken, index = digits("n", (*shape[:-1], shape[-1] // count) if shape else ())
    lines += taken
    if count > 1 and index[-1] != "0":
        index[-1] = f"({index[-1]} * {count})"
    names: dict[Value, str] = {}
    inner: list[str] = []
    for k, (v, a) in enumerate(zip(body.inputs.values(), seen, strict=False)):
        names[v] = f"x{k}"
        c = elements.C[a.type.dtype]
        if count > 1 and beside(a):
            lines.append(f"const {vector(a, count)} v{k} = *(const {vector(a, count)}*)(in{k} + ({place(a, index)}));")
            inner.append(f"const {c} x{k} = v{k}.at[lane];")
        else:
            lines.append(f"const {c} x{k} = in{k}[{place(a, index)}];")
    inner += computed(body, names)
    results = [(k, names[v], a) for k, (v, a) in enumerate(zip(body.outputs.values(), seen[reads:], strict=True))]
    if count == 1:
        return [*lines, *inner, *(f"out{k}[{place(a, index)}] = {name};" for k, name, a in results)]
    lines += [f"{vector(a, count)} w{k};" for k, _, a in results]
    lines += ["#pragma unroll", f"for (int lane = 0; lane < {count}; ++lane) {{", *(f"    {line}" for line in inner)]
    lines += [*(f"    w{k}.at[lane] = {name};" for k, name, _ in results), "}"]
    return [*lines, *(f"*({vector(a, count)}*)(out{k} + ({place(a, index)})) = w{k};" for k, _, a in results)]


def _by_squares(body: Graph, shape: tuple[int, ...], seen: Sequence[Array], reads: int, by: Square) -> list[str]:
    """A block a square of the last axis and ``by.axis``: lanes go along that one to read, along the last to compute and to write."""
    taken, index = digits("block", by.blocks)
    q, p = by.axis, len(shape) - 1
    held = {k: elements.C[seen[k].type.dtype] for k in by.turned}
    lines = [f"__shared__ {c} held{k}[{SIDE}][{SIDE + 1}];" for k, c in held.items()]
    lines += ["const count block = blockIdx.x;", *taken]
    lines += ["const unsigned int lane = threadIdx.x % 32u, line = threadIdx.x / 32u;"]
    first = {axis: index[axis] for axis in (q, p)}

    def over(lane_axis: int, inner: Sequence[str]) -> list[str]:
        line_axis = q if lane_axis == p else p
        return [f"for (unsigned int row = line; row < {SIDE}u; row += {THREADS // SIDE}u) {{",
                f"    const count at{lane_axis} = {first[lane_axis]} * {SIDE}u + lane, at{line_axis} = {first[line_axis]} * {SIDE}u + row;",
                f"    if (at{p} >= {shape[p]}u || at{q} >= {shape[q]}u) continue;", *(f"    {line}" for line in inner), "}"]  # fmt: skip

    index = [f"at{axis}" if axis in (p, q) else name for axis, name in enumerate(index)]
    lines += over(q, [f"held{k}[row][lane] = in{k}[{place(seen[k], index)}];" for k in held])
    names = {v: f"x{k}" for k, v in enumerate(body.inputs.values())}
    inner = [f"const {elements.C[a.type.dtype]} x{k} = {f'held{k}[lane][row]' if k in held else f'in{k}[{place(a, index)}]'};"
             for k, a in enumerate(seen[:reads])]
    inner += computed(body, names)
    inner += [f"out{k}[{place(a, index)}] = {names[v]};" for k, (v, a) in enumerate(zip(body.outputs.values(), seen[reads:], strict=True))]
    return [*lines, "__syncthreads();", *over(p, inner)]


def computed(body: Graph, names: dict[Value, str]) -> list[str]:
    """A line for each call of a body; ``names`` knows its inputs and gains the rest."""
    lines = []
    for c in body.calls:
        if isinstance(c.op, Input):
            continue
        v = c.outputs[0]
        if isinstance(c.op, Constant):
            names[v] = elements.number(c.op.data.reshape(())[()], v.dtype)
            continue
        name = f"t{len(names)}"
        lines.append(f"const {elements.C[v.dtype]} {name} = {elements.write(c, [names[x] for x in c.inputs])};")
        names[v] = name
    return lines


def parameters(reads: Sequence[Array], writes: Sequence[Array], guarded: bool) -> str:
    """Pointers to what is read, to what is written, and to the guard."""
    found = [parameter(a, f"in{k}") for k, a in enumerate(reads)] + [parameter(a, f"out{k}", True) for k, a in enumerate(writes)]
    return ", ".join(found + ["const bool* guard"] * guarded)


def blocks(n: int) -> Three:
    """A grid with a thread for each of ``n`` elements."""
    return (max(1, -(-n // THREADS)), 1, 1)
