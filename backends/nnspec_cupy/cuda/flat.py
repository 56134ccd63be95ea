"""A nest without reductions: elements computed in registers, up to four a thread, from what it reads to what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Array
from nnspec_cupy.commands import Kernel, Three
from nnspec_cupy.cuda import elements
from nnspec_cupy.cuda.lanes import beside, joined, lanes, number, vector
from nnspec_cupy.cuda.places import digits, parameter, place

THREADS = 256


def flat(body: Graph, word: str, domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array], guarded: bool) -> Kernel:
    """The kernel of ``body`` over the elements of ``domain``; all its outputs have that shape. ``grid`` says how many blocks it wants."""
    shape, seen = joined(domain, [*reads, *writes])
    count, kind = lanes(shape, seen), number(shape, seen)
    n = prod(shape) // count
    suffix = "ull" if kind != "unsigned int" else "u"
    lines = ["if (!*guard) return;"] * guarded
    lines += [f"const {kind} n = ({kind})blockIdx.x * {THREADS}u + threadIdx.x;", f"if (n >= {n}{suffix}) return;"]
    taken, index = digits("n", (*shape[:-1], shape[-1] // count) if shape else (), kind=kind)
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
    results = [(k, names[v], a) for k, (v, a) in enumerate(zip(body.outputs.values(), seen[len(reads) :], strict=True))]
    if count == 1:
        lines += [*inner, *(f"out{k}[{place(a, index)}] = {name};" for k, name, a in results)]
    else:
        lines += [f"{vector(a, count)} w{k};" for k, _, a in results]
        lines += ["#pragma unroll", f"for (int lane = 0; lane < {count}; ++lane) {{", *(f"    {line}" for line in inner)]
        lines += [*(f"    w{k}.at[lane] = {name};" for k, name, _ in results), "}"]
        lines += [f"*({vector(a, count)}*)(out{k} + ({place(a, index)})) = w{k};" for k, _, a in results]
    return Kernel(word, parameters(reads, writes, guarded), "".join(f"    {line}\n" for line in lines), THREADS)


def grid(domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array]) -> Three:
    """The blocks of a kernel that ``flat`` makes."""
    shape, seen = joined(domain, [*reads, *writes])
    return blocks(prod(shape) // lanes(shape, seen))


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
    return (-(-n // THREADS), 1, 1)
