"""``nnspec gradcheck``: the gradients of a spec's own layers against differences, in float64."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnspec.cli.options import backend_name, backend_option, json_option, print_json, read, spec_options
from nnspec.errors import Problem, SpecError, printable

if TYPE_CHECKING:
    from nnspec.compiler import Spec
    from nnspec.runtime.checked import Row, Tensor


@click.command("gradcheck")
@spec_options
@backend_option
@click.option("--rows", type=click.IntRange(1, 4096), default=4, show_default=True, metavar="N", help="Rows of the batch.")
@click.option("--samples", type=click.IntRange(1, 100_000), default=6, show_default=True, metavar="N", help="Elements looked at in each tensor.")
@click.option("--tolerance", type=click.FloatRange(0.0, min_open=True), default=1e-6, show_default=True, metavar="X",
              help="Of an error, relative to the largest gradient of the tensor.")  # fmt: skip
@click.option("--layers", multiple=True, metavar="PATTERN", help="Paths of layers, 'stage_2/*', 'loss' or 'step'; others are not checked.")
@click.option("--every", is_flag=True, help="In large networks also layers that are like one before them.")
@click.option("--full", is_flag=True, help="Inputs at their size, all samples and every layer, whatever that costs.")
@click.option("--axis", "axes", multiple=True, metavar="NAME=N", help="The length of a named axis.")
@json_option
def command(
    spec: str, settings: dict[str, str], allowed: tuple[Path, ...], backend: str, rows: int, samples: int, tolerance: float,
    layers: tuple[str, ...], every: bool, full: bool, axes: tuple[str, ...], as_json: bool,
) -> int:  # fmt: skip
    """Compare every layer's gradients with differences of the layer itself.

    Each layer is taken as it stands in training, over what reaches it of a small batch: its gradients in its parameters and inputs at some
    elements, and along a random direction that holds all of them. Then the loss in what it reads, and the whole compiled step in all
    parameters. Everything is float64. Where a function has a kink, both sides are looked at: any slope between them is right. Status 1
    where a gradient is wrong.

    Where a pass is long (2e10 operations), images are halved as long as the weights stay what they are, and layers that still are long are
    looked at along directions alone, which a mistake at any element bends; --full does neither, and may take minutes.
    """
    parsed = read(spec, settings, allowed)

    from nnspec.cli.plan import lengths
    from nnspec.cli.traced import open_axes
    from nnspec.runtime.checked import How
    from nnspec.runtime.gradcheck import gradcheck
    from nnspec.runtime.reduced import reduced

    sizes = lengths(axes, open_axes(parsed))
    if missing := [name for name in open_axes(parsed) if name not in sizes and parsed.document.data is None]:
        raise SpecError(Problem(f"the axis '{missing[0]}' has no length here", hint=f"--axis {missing[0]}=64"))
    parsed = parsed.fold(1) if parsed.folds else parsed
    how = How(rows, samples, tolerance, layers, every or full, full, sizes)
    parsed, small = (parsed, {}) if full else reduced(parsed, rows)
    if small and not as_json:
        shown = ", ".join(f"{name} of {' x '.join(map(str, shape))}" for name, shape in small.items())
        click.echo(printable(f"taken over {shown}: --full takes the size that the spec says"))
    live = sys.stderr.isatty()
    found: list[Row] = []
    table = Table(parsed, tolerance)
    for row in gradcheck(parsed, how, backend_name(backend), lambda path: _say(path) if live else None):
        found.append(row)
        if live:
            _say("")
        if not as_json and row.why != "left out":
            for line in table.lines(row):
                click.echo(printable(line))
    if layers and all(row.why == "left out" for row in found):
        raise SpecError(Problem(f"no layer is called '{layers[0]}'", wanted="a path, a pattern such as 'stage_2/*', loss or step"))
    failed = [row for row in found if row.failed]
    if as_json:
        print_json({"spec": parsed.name, "rows": rows, "samples": samples, "tolerance": tolerance, "inputs": small, "passed": not failed,
                    "layers": [_row(row) for row in found if row.why != "left out"]})  # fmt: skip
    else:
        click.echo(table.end(found))
    return 1 if failed else 0


def _say(text: str) -> None:
    print(f"\r\x1b[K{printable(text)}", end="", file=sys.stderr, flush=True)


class Table:
    """Lines as the rows come: the columns' widths are known from the spec."""

    def __init__(self, spec: Spec, tolerance: float) -> None:
        self.tolerance = tolerance
        leaves = spec.built.network.leaves
        self.path = min(60, max([5, *(len(leaf.path) for leaf in leaves)]))
        self.kind = max([7, *(len(leaf.entry.kind) for leaf in leaves)])
        self.first = True

    def lines(self, row: Row) -> list[str]:
        head = [f"{'layer':<{self.path}}  {'kind':<{self.kind}}  {'looked at':>20}  {'error':>8}  verdict"] if self.first else []
        self.first = False
        path = row.path if len(row.path) <= self.path else f"…{row.path[1 - self.path :]}"
        start = f"{path:<{self.path}}  {row.kind:<{self.kind}}"
        worst = row.worst
        if worst is None:
            return [*head, f"{start}  {'':>20}  {'':>8}  not checked: {row.why}" if not row.why.startswith("as ") else
                    f"{start}  {'':>20}  {'':>8}  {row.why}"]  # fmt: skip
        elements, size = sum(t.elements for t in row.tensors), sum(t.size for t in row.tensors)
        kinks = sum(t.kinks for t in row.tensors)
        notes = [f"{kinks} at a kink"] * bool(kinks) + [row.why] * bool(row.why)
        verdict = "WRONG" if row.failed else "ok"
        lines = [*head, f"{start}  {_many(elements, size):>20}  {worst.relative:>8.1e}  {verdict}{'  (' + '; '.join(notes) + ')' if notes else ''}"]
        return lines + [f"    {line}" for t in row.tensors if t.failed for line in _wrong(t)]

    def end(self, rows: list[Row]) -> str:
        failed, done = [row for row in rows if row.failed], [row for row in rows if row.tensors]
        alike = sum(row.why.startswith("as ") for row in rows)
        parts = [f"{len(done)} checked: {f'{len(failed)} WRONG' if failed else 'all right'} within {self.tolerance:.0e}"]
        if alike:
            parts.append(f"{alike} are like one of them (--every checks these, too)")
        if rest := sum(not row.tensors and not row.why.startswith("as ") and row.why != "left out" for row in rows):
            parts.append(f"{rest} not checked")
        return "; ".join(parts)


def _many(elements: int, size: int) -> str:
    from nnspec.view.amounts import count

    return f"{elements} of {count(size)}" if elements else f"direction of {count(size)}"


def _wrong(t: Tensor) -> list[str]:
    v = t.verdict
    return [f"{t.kind} {t.name} {t.worst}: the gradient says {v.analytic:.9g}, differences say {v.numeric:.9g}"]


def _row(row: Row) -> dict[str, Any]:
    return {
        "layer": row.path, "kind": row.kind, "why": row.why, "passed": not row.failed if row.tensors else None,
        "tensors": [{"name": t.name, "kind": t.kind, "size": t.size, "elements": t.elements, "error": t.relative, "worst": t.worst,
                     "analytic": t.verdict.analytic, "numeric": t.verdict.numeric, "kinks": t.kinks, "passed": not t.failed} for t in row.tensors],
    }  # fmt: skip
