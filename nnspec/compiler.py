"""The stages in order: read, build, lower, differentiate, simplify, plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from nnspec.data.column import Declaration
from nnspec.errors import Place, Problem, Source, SpecError
from nnspec.ir.types import TensorType
from nnspec.network.build import Built, build
from nnspec.network.graph import LayerGraph, shown
from nnspec.records import dataclass, replace
from nnspec.spec.load import Document, read_spec, take_apart
from nnspec.spec.settings import Settings
from nnspec.spec.source import read
from nnspec.spec.write import write

if TYPE_CHECKING:
    from nnspec.codegen.backend import Backend
    from nnspec.codegen.budget import Budget
    from nnspec.codegen.tuning import Tuning
    from nnspec.ir.graph import Graph
    from nnspec.ir.program import Program


@dataclass(frozen=True)
class Spec:
    """A spec that has been read and checked: its document, its network, and how data reaches it."""

    document: Document
    built: Built

    @property
    def name(self) -> str:
        return self.settings.name

    def __repr__(self) -> str:
        layers = [data for data in self.built.network.nodes.values() if data["kind"] != "input"]
        return f"<Spec {self.name}: {len(layers):,} layers, {sum(data['parameters'] for data in layers):,} parameters>"

    def _repr_html_(self) -> str | None:
        return shown("html", self.graph)

    def _repr_svg_(self) -> str | None:
        return shown("svg", self.graph)

    @property
    def settings(self) -> Settings:
        return self.document.settings

    @property
    def budget(self) -> Budget | None:
        """What a training step may take in memory, where the spec says so."""
        from nnspec.codegen.budget import Budget  # not needed to check a spec

        limit, root = self.settings.memory, self.document.root
        return None if limit is None else Budget(limit, root.keys.get("memory", root.place))

    @property
    def inputs(self) -> dict[str, TensorType]:
        """The network's inputs: shape without the batch, and dtype."""
        return {name: TensorType(t.shape[1:], t.dtype) for name, t in self.built.network.inputs.items()}

    @property
    def graph(self) -> LayerGraph:
        """The layers as a networkx graph; nodes carry kind, shape, parameters, flops and source line."""
        return self.built.network.graph

    @cached_property
    def text(self) -> str:
        """The spec in its canonical spelling, overrides and includes worked in, as YAML."""
        return write(self.document)

    def with_(self, **settings: object) -> Spec:
        """The same spec with plain keys set otherwise: ``spec.with_(precision="float64")``."""
        changed = {k: v for k, v in settings.items() if v is not None and getattr(self.settings, k) != v}
        if not changed:
            return self
        d = self.document
        return finish(take_apart(d.root, d.file, changed, d.allow, d.data if "seed" not in changed else None))


    @property
    def folds(self) -> int:
        """How many trainings there are, one a fold of the data; 0 where there is one alone."""
        data = self.document.data
        return data.folds if data is not None and not data.split.alone else 0

    def fold(self, number: int) -> Spec:
        """The spec of one fold, counted from 1: it validates, and the others train. Raises SpecError."""
        d = self.document
        if d.data is None:
            raise SpecError(Problem("the spec has no data", d.root.place, wanted="data: {…, split: {folds: 5}}", rule="missing-key"))
        if not 1 <= number <= d.data.folds:
            wanted = f"1 to {d.data.folds}" if d.data.folds else "split: {folds: 5}"
            raise SpecError(Problem("there is no such fold", d.data.split.place, found=str(number), wanted=wanted, rule="bad-value"))
        return finish(take_apart(d.root, d.file, {"data.split.fold": number}, d.allow, d.data.fold(number - 1)))


def load(path: str | Path, set: Mapping[str, object] | None = None, allow_include: tuple[str | Path, ...] = ()) -> Spec:
    """Reads and checks a spec; ``set`` overrides keys as ``--set`` does: ``{"vars.width": 64}``.

    Raises SpecError with all problems at once, each with file, line and column; DataError where a data file is wrong.
    """
    return finish(read_spec(path, set, allow_include))


def loads(text: str, name: str = "spec.yaml", set: Mapping[str, object] | None = None, data: Declaration | None = None) -> Spec:
    """``load`` from a text instead of a file; ``data`` is what a stored model knows of its data."""
    document = take_apart(read(text, name), None, set or {}, (), data)
    document.kept = data is None
    return finish(document)


def finish(document: Document) -> Spec:
    """A document with its network."""
    return Spec(document, build(document))


def compile_graph(
    graph: Graph, backend: Backend, title: str, strict: bool = False, budget: Budget | None = None, tuning: Tuning | None = None
) -> Program:  # fmt: skip
    """Passes, then the backend's plan, which keeps to a budget; ``strict`` where nothing may be reordered, ``tuning`` says the ways of calls."""
    from nnspec.codegen.budget import keep_to

    passed = pass_graph(graph, backend, strict)
    return keep_to(budget, tuning.applied(passed, backend) if tuning else passed, title, backend.plan).program


def kept_program(
    graph: Graph, backend: Backend, title: str, strict: bool = False, budget: Budget | None = None, tuning: Tuning | None = None
) -> Program:  # fmt: skip
    """``compile_graph``, from disk where the same program was made before."""
    from nnspec.codegen import cache, stored

    how = title, strict, budget.bytes if budget else None, sorted(tuning.ways.items()) if tuning else None, backend.name, backend.signature()
    key = stored.key_of(graph, *how) if stored.KEEPS else b""
    if not key:
        return compile_graph(graph, backend, title, strict, budget, tuning)
    content = cache.held(key, cache.PROGRAM)
    found = backend.restore(content, key) if content is not None else None
    if found is None:
        found = replace(compile_graph(graph, backend, title, strict, budget, tuning), key=key)
        cache.keep(key, stored.written(found), cache.PROGRAM)
    return found


def pass_graph(graph: Graph, backend: Backend, strict: bool = False) -> Graph:
    """What all passes make of a graph."""
    from nnspec.passes import run_pipeline  # not needed to check a spec
    from nnspec.passes.bound_tiles import bound_tiles
    from nnspec.passes.keep_kernels import keep_kernels

    return run_pipeline(keep_kernels(bound_tiles(graph, strict)), partial(backend.claims, strict=strict), backend.loops(strict))


def check_trainable(spec: Spec) -> None:
    """Raises SpecError where something that training needs is not in the spec."""
    wanted = {"loss": spec.built.losses, "optimizer": spec.document.optimizer}
    missing = [key for key, value in wanted.items() if not value]
    if missing:
        file = spec.document.root.place if spec.document.root else Place(Source("", ""))
        raise SpecError(*(Problem(f"the spec has no '{key}', which training needs", file, wanted=f"{key}: …", rule="missing-key") for key in missing))
