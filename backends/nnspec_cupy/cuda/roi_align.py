"""Regions of feature maps: a thread an element of the result, which walks the places of its cell, or the boxes that saw its pixel."""

from __future__ import annotations

from collections.abc import Sequence

from nnspec.ir.program import Array
from nnspec.ops.roi_align import FAR, Regions, RoiAlign, RoiAlignGrad
from nnspec_cupy.commands import Kernel
from nnspec_cupy.cuda.each import each
from nnspec_cupy.cuda.elements import C, number
from nnspec_cupy.cuda.places import place


def side(op: Regions, kind: str, word: str, first: str, last: str, scale: str, cells: int) -> list[str]:
    """Lines that know, along one axis, where a region begins, how long it and a cell are, how many places a cell has, and how far apart."""
    half = f"({kind})0.5" if op.aligned else f"({kind})0"
    extent = f"{word}_last - {word}_first" if op.aligned else f"nn_maximum({word}_last - {word}_first, ({kind})1)"
    each = f"{op.ratio}" if op.ratio else f"(long long)ceil({word}_cell)"
    fits = f"nn_abs({word}_extent) < ({kind}){FAR} && nn_abs({word}_first) < ({kind}){FAR}" + ("" if op.ratio else f" && {word}_extent > 0")
    return [
        f"const {kind} {word}_first = {first} * {scale} - {half}, {word}_last = {last} * {scale} - {half}, {word}_extent = {extent};",
        f"const {kind} {word}_cell = {word}_extent / ({kind}){cells};",
        f"const long long {word}_each = {fits} ? {each} : 0;",
        f"const {kind} {word}_step = {word}_cell / ({kind}){word}_each;",
    ]


def span(op: Regions, kind: str, word: str, cell: str, length: int) -> list[str]:
    """Lines that say which places of a cell are looked at, where there are as many as it has pixels: not those far outside of the map."""
    if op.ratio:
        return [f"const long long {word}_low = 0, {word}_high = {word}_each;"]
    start = f"({word}_first + ({kind}){cell} * {word}_cell)"
    return [
        f"const long long {word}_low = {word}_each ? nn_maximum((long long)0, (long long)floor((({kind})-1 - {start}) / {word}_step) - 2) : 0;",
        f"const long long {word}_high = {word}_each ? nn_minimum({word}_each, (long long)ceil((({kind}){length} - {start}) / {word}_step) + 2) : 0;",
    ]


def point(kind: str, word: str, cell: str, n: str, length: int) -> list[str]:
    """Lines that find the two pixels around a place and the share of the second; what lies outside is passed over."""
    return [
        f"{kind} {word} = {word}_first + ({kind}){cell} * {word}_cell + (({kind}){n} + ({kind})0.5) * {word}_step;",
        f"if (!({word} >= ({kind})-1 && {word} <= ({kind}){length})) continue;",
        f"{word} = nn_minimum(nn_maximum({word}, ({kind})0), ({kind}){length - 1});",
        f"const offset {word}_a = (offset){word}, {word}_b = {word}_a + 1 < {length} ? {word}_a + 1 : {length - 1};",
        f"const {kind} {word}_share = {word} - ({kind}){word}_a;",
    ]


def corners(box: Array, index: Sequence[str]) -> list[str]:
    return [f"in{{0}}[{place(box, [*index, str(i)])}]" for i in range(4)]


def forward(op: RoiAlign, x: Sequence[Array], y: Array, guarded: bool) -> Kernel:
    """The sum over the places of a cell, then over their number."""
    kind, maps = C[y.type.dtype], op.maps(x)
    first = len(x) - len(maps)

    def lines(i: list[str]) -> list[str]:
        found = [f"{kind} sum = 0;"]
        if first == 2:
            found.append(f"const long long level = in1[{place(x[1], i[:2])}];")
        box = [c.format(0) for c in corners(x[0], i[:2])]
        for level, (m, scale) in enumerate(zip(maps, op.scales, strict=True)):
            found.append(f"if (level == {level}) {{" if first == 2 else "{")
            found += ["    " + line for line in of_map(op, i, m, first + level, scale, box)] + ["}"]
        return [*found, f"out0[{place(y, i)}] = sum;"]

    def of_map(op: RoiAlign, i: list[str], m: Array, k: int, scale: float, box: list[str]) -> list[str]:
        height, width = m.shape[1:3]
        text = number(scale, y.type.dtype)
        at = [[f"in{k}[{place(m, [i[0], f'v_{a}', f'u_{b}', i[4]])}]" for b in "ab"] for a in "ab"]
        along = [f"({at[r][0]} * (({kind})1 - u_share) + {at[r][1]} * u_share)" for r in range(2)]
        return [
            *side(op, kind, "v", box[1], box[3], text, op.size[0]), *side(op, kind, "u", box[0], box[2], text, op.size[1]),
            *span(op, kind, "v", i[2], height), *span(op, kind, "u", i[3], width),
            "for (long long q = v_low; q < v_high; ++q) {",
            *("    " + line for line in point(kind, "v", i[2], "q", height)),
            "    for (long long p = u_low; p < u_high; ++p) {",
            *("        " + line for line in point(kind, "u", i[3], "p", width)),
            f"        sum += {along[0]} * (({kind})1 - v_share) + {along[1]} * v_share;",
            "    }",
            "}",
            f"if (v_each && u_each) sum /= ({kind})v_each * ({kind})u_each;",
        ]  # fmt: skip

    return each("roi_align", list(x), [y], guarded, lines)


def backward(op: RoiAlignGrad, x: Sequence[Array], y: Array, guarded: bool) -> Kernel:
    """What each box has of a pixel in each of its cells, box after box."""
    kind, (g, boxes), (height, width) = C[y.type.dtype], x[:2], y.shape[1:3]

    def share(word: str, cell: str, pixel: str, length: int) -> list[str]:
        return [
            f"{kind} {word}_own = 0;",
            *span(op, kind, word, cell, length),
            f"for (long long q = {word}_low; q < {word}_high; ++q) {{",
            *("    " + line for line in point(kind, word, cell, "q", length)),
            f"    if ({word}_a == (offset){pixel}) {word}_own += ({kind})1 - {word}_share;",
            f"    if ({word}_b == (offset){pixel}) {word}_own += {word}_share;",
            "}",
        ]

    def lines(i: list[str]) -> list[str]:
        box = [c.format(1) for c in corners(boxes, [i[0], "k"])]
        text = number(op.scale, y.type.dtype)
        skip = [] if op.level is None else [f"    if (in2[{place(x[2], [i[0], 'k'])}] != {op.level}) continue;"]
        return [
            f"{kind} sum = 0;",
            f"for (count k = 0; k < {boxes.shape[1]}u; ++k) {{",
            *skip,
            *("    " + line for line in side(op, kind, "v", box[1], box[3], text, op.size[0])),
            *("    " + line for line in side(op, kind, "u", box[0], box[2], text, op.size[1])),
            f"    if (!v_each || !u_each || !{near('v', i[1], height, kind)} || !{near('u', i[2], width, kind)}) continue;",
            f"    for (count a = 0; a < {op.size[0]}u; ++a) {{",
            *("        " + line for line in share("v", "a", i[1], height)),
            "        if (v_own == 0) continue;",
            f"        for (count b = 0; b < {op.size[1]}u; ++b) {{",
            *("            " + line for line in share("u", "b", i[2], width)),
            f"            sum += v_own / ({kind})v_each * (u_own / ({kind})u_each) * in0[{place(g, [i[0], 'k', 'a', 'b', i[3]])}];",
            "        }",
            "    }",
            "}",
            f"out0[{place(y, i)}] = sum;",
        ]

    return each("roi_align_grad", list(x), [y], guarded, lines)


def near(word: str, pixel: str, length: int, kind: str) -> str:
    """Whether a region may see a pixel; one at the border is seen by what lies outside, too."""
    ends = f"nn_minimum({word}_first, {word}_first + {word}_extent)", f"nn_maximum({word}_first, {word}_first + {word}_extent)"
    inside = f"({kind}){pixel} > {ends[0]} - ({kind})2 && ({kind}){pixel} < {ends[1]} + ({kind})2"
    return f"({pixel} == 0 || {pixel} == {length - 1} || ({inside}))"
