"""A nest without reductions: a thread an element, computed in registers from what it reads to what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from nnspec.ir.graph import Graph, Value
from nnspec.ir.op import Constant, Input
from nnspec.ir.program import Array
from nnspec_cupy.commands import Kernel, Three
from nnspec_cupy.cuda import elements
from nnspec_cupy.cuda.places import digits, parameter, place

THREADS = 256


def flat(body: Graph, word: str, domain: Sequence[int], reads: Sequence[Array], writes: Sequence[Array], guarded: bool) -> Kernel:
    """The kernel of ``body`` over the elements of ``domain``; all its outputs have that shape."""
    n = prod(domain)
    lines = [f"const unsigned int n = blockIdx.x * {THREADS}u + threadIdx.x;", f"if (n >= {n}u) return;"]
    taken, index = digits("n", domain)
    lines += taken
    names: dict[Value, str] = {}
    for v, a, k in zip(body.inputs.values(), reads, range(len(reads)), strict=True):
        names[v] = f"x{k}"
        lines.append(f"const {elements.C[a.type.dtype]} x{k} = in{k}[{place(a, index)}];")
    lines += computed(body, names)
    lines += [f"out{k}[{place(a, index)}] = {names[v]};" for k, (v, a) in enumerate(zip(body.outputs.values(), writes, strict=True))]
    if guarded:
        lines.insert(0, "if (!*guard) return;")
    return Kernel(word, parameters(reads, writes, guarded), "".join(f"    {line}\n" for line in lines), THREADS)


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
