"""``nnspec zoo``: the published networks that are shipped as specs, by the names they are known by."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from nnspec.cli.options import json_option, print_json
from nnspec.errors import Problem, SpecError, nearest
from nnspec.records import dataclass

INDEX = "index.yaml"


@dataclass(frozen=True)
class Work:
    """A network of the zoo: its name, its spec, what is set in it, and the table for its published weights."""

    name: str
    spec: Path
    set: Mapping[str, Any]
    rename: str

    @property
    def weights(self) -> dict[str, str]:
        """What ``weights`` says beside the file: ``{layout: keras, rename: renames/vgg.yaml}``."""
        return {"layout": "keras" if self.name.startswith("keras ") else "torch", "rename": self.rename}

    @property
    def call(self) -> str:
        """What a command takes for it: ``specs/zoo/vgg.yaml --set vars.depth=19``."""
        shown = Path(os.path.relpath(self.spec))
        path = self.spec if shown.parts[:1] == ("..",) else shown
        return shlex.join([str(path), *(word for key, value in self.set.items() for word in ("--set", f"{key}={_yaml(value)}"))])

    def parameters(self) -> dict[str, int]:
        """``total`` counts moving statistics, ``trainable`` does not."""
        from math import prod

        from nnspec.compiler import load

        sizes = [(prod(p.param.shape), p.trainable) for p in load(self.spec, set=self.set).built.network.parameters.values()]
        return {"total": sum(n for n, _ in sizes), "trainable": sum(n for n, trainable in sizes if trainable)}


def works() -> dict[str, Work]:
    """Every network of ``specs/zoo/index.yaml`` by its name."""
    from nnspec.spec.include import shipped
    from nnspec.spec.source import plain, read_file

    folder = shipped() / "zoo"
    index: dict[str, Any] = plain(read_file(folder / INDEX))

    def work(name: str, spec: str, set: dict[str, Any] | None = None, rename: str = "") -> Work:
        return Work(name, folder / spec, set or {}, rename or f"renames/{spec}")

    return {name: work(name, **row) for name, row in index.items()}


@click.command("zoo")
@click.argument("word", required=False, metavar="[WORD]")
@click.option("--parameters", is_flag=True, help="Count them: all, and those that learn. Every spec is read for it.")
@json_option
def command(word: str | None, parameters: bool, as_json: bool) -> None:
    """List the published networks that come as specs, or those whose name holds WORD.

    Behind each stands what any command takes: nnspec check FILE --set KEY=VALUE; then how its published weights are read:
    weights: {from: FILE, layout: LAYOUT, rename: TABLE}.
    """
    known = works()
    found = [work for name, work in known.items() if (word or "").casefold() in name.casefold()]
    if not found:
        raise SpecError(Problem(f"no network of the zoo has '{word}' in its name", hint=nearest(word or "", known) or "nnspec zoo lists them"))
    if as_json:
        rows = ({"name": w.name, "spec": str(w.spec), "set": dict(w.set), "weights": w.weights} for w in found)
        print_json([row | ({"parameters": w.parameters()} if parameters else {}) for row, w in zip(rows, found, strict=True)])
        return
    width = max(len(w.name) for w in found)
    for work in found:
        counted = ""
        if parameters:
            sizes = work.parameters()
            counted = f"{sizes['total']:>13,} {sizes['trainable']:>13,}  "
        click.echo(f"{work.name:<{width}}  {counted}{work.call}  # {work.weights['layout']}, {work.rename}")


def _yaml(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
