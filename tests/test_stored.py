"""Programs kept on disk are those that would be made anew, and nothing but a program comes of an entry, whatever it says."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnspec
from nnspec import compiler
from nnspec.codegen import cache, stored
from nnspec.codegen.backend import load_backend
from nnspec.codegen.budget import Budget
from nnspec.errors import DataError
from nnspec.ir.graph import Graph
from nnspec.ir.program import Program
from nnspec.ir.types import TensorType
from nnspec.runtime.session import Model
from tests.drawn import specs

ROOT = Path(__file__).resolve().parent.parent
LARGE = ("resnet50", "resnet18_cifar", "mobilenet_v2", "unet_small", "vgg_small")  # seconds each
SPECS = [p for p in specs(large=False) if p.stem not in LARGE or os.environ.get("NNSPEC_FULL")]
SMALL = """
nnspec: 1
inputs: {image: {shape: [6, 6, 2]}}
layers:
  - conv2d: {filters: 3, kernel: 3, padding: same, activation: relu}
  - batch_norm
  - max_pool2d: 2
  - flatten
  - dropout: 0.2
  - dense: 4
loss: cross_entropy
metrics: [accuracy]
optimizer: adam
"""
FEEDS = {"image": np.linspace(-1, 1, 5 * 72, dtype=np.float32).reshape(5, 6, 6, 2), "target": np.array([0, 1, 2, 3, 1])}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(stored, "KEEPS", True)
    return tmp_path / "cache"


def graphs(model: Model, rows: int = 3) -> Iterator[Graph]:
    spec, programs = model.spec, model.programs
    types = {n: TensorType((rows, *t.shape[1:]), t.dtype) for n, t in spec.built.network.inputs.items()}
    fed = types | {t.feed: TensorType((rows, *t.type.shape[1:]), t.type.dtype) for t in model.targets if t.type is not None}
    yield programs.graph("predict", types, False, 0)
    if spec.built.losses:
        yield programs.graph("score", fed, True, 0)
    if spec.built.losses and spec.document.optimizer:
        yield programs.graph("train", fed, False, 0)


def small() -> Model:
    return nnspec.compile(compiler.loads(SMALL))


def training() -> Graph:
    *_, graph = graphs(small())
    return graph


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_the_programs_of_every_spec_are_read_as_they_were_written(path: Path) -> None:
    backend = load_backend("numpy")
    try:
        spec = nnspec.load(path)
    except DataError:
        pytest.skip("its data have to be drawn first")
    for graph in graphs(Model(spec.fold(1) if spec.folds else spec, start=False)):
        made = compiler.compile_graph(graph, backend, "step")
        read = backend.restore(stored.written(made), b"key")
        assert read is not None
        assert str(read) == str(made) and backend.source(read) == backend.source(made)
        assert (read.peak, list(read.inputs), list(read.state), list(read.outputs)) == (made.peak, list(made.inputs), list(made.state), list(made.outputs))
        assert [backend.choice(s) for s in read.steps] == [backend.choice(s) for s in made.steps]
        assert [a.data.tobytes() for a in read.arrays if a.data is not None] == [a.data.tobytes() for a in made.arrays if a.data is not None]


def test_what_is_read_computes_the_same_bits_and_nothing_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[bytes]:
        model = small()
        scores = [model.train_batch(FEEDS) for _ in range(4)]
        return [repr(scores).encode(), repr(model.evaluate(FEEDS)).encode(), *(a.tobytes() for a in model.state().values())]

    monkeypatch.setattr(stored, "KEEPS", False)
    anew = run()
    monkeypatch.setattr(stored, "KEEPS", True)
    assert run() == anew
    monkeypatch.setattr(compiler, "compile_graph", None)
    assert run() == anew


def test_a_damaged_entry_is_made_again(folder: Path) -> None:
    graph, backend = training(), load_backend("numpy")
    first = compiler.kept_program(graph, backend, "step")
    entry = next(folder.glob("*.program"))
    whole = entry.read_bytes()
    for content in (b"", whole[:-3], whole[:-1] + b"]"):
        entry.write_bytes(content)
        assert str(compiler.kept_program(graph, backend, "step")) == str(first)
        assert entry.read_bytes() == whole


def test_an_entry_that_says_something_else_is_made_again(folder: Path) -> None:
    graph, backend = training(), load_backend("numpy")
    made = compiler.kept_program(graph, backend, "step")
    content = json.loads(stored.written(made))
    content["steps"][0][0] = ["Remove", "/"]
    cache.keep(made.key, json.dumps(content).encode(), cache.PROGRAM)
    assert str(compiler.kept_program(graph, backend, "step")) == str(made)
    held = cache.held(made.key, cache.PROGRAM)
    assert held == stored.written(made)


def hostile(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Entries that would do harm if they were believed."""
    def changed(change: Any) -> Any:
        copy = json.loads(json.dumps(content))
        change(copy)
        return copy

    work = next(i for i, a in enumerate(content["arrays"]) if a[2] == "work")
    literal = next(i for i, a in enumerate(content["arrays"]) if not a[2])
    pool = next(i for i, s in enumerate(content["steps"]) if s[0][0] == "MaxPool")
    space = next((i for i, s in enumerate(content["steps"]) if s[3]), None)
    yield "code as a name", changed(lambda c: c["arrays"][work].__setitem__(0, "x = __import__('os').system('true')"))
    yield "a name that the module has", changed(lambda c: c["arrays"][work].__setitem__(0, "kernel"))
    yield "code as a number", changed(lambda c: c["arrays"][literal].__setitem__(0, "__import__('os').system('true')"))
    yield "code as an attribute", changed(lambda c: c["steps"][pool].__setitem__(0, ["MaxPool", "__import__('os')"]))
    yield "before the arena", changed(lambda c: c["arrays"][work].__setitem__(3, -64))
    yield "behind the arena", changed(lambda c: c["arrays"][work].__setitem__(3, 1 << 40))
    yield "strides out of the arena", changed(lambda c: c["arrays"][work].__setitem__(4, [1 << 40 for _ in c["arrays"][work][4]]))
    yield "an unknown op", changed(lambda c: c["steps"][0].__setitem__(0, ["Popen", "true"]))
    yield "an op of other attributes", changed(lambda c: c["steps"][pool].__setitem__(0, ["MaxPool", *([[9, 9]] * (len(c["steps"][pool][0]) - 1))]))
    yield "an op over other arrays", changed(lambda c: c["steps"][pool].__setitem__(2, [work]))
    yield "too few arrays", changed(lambda c: c["steps"][pool].__setitem__(1, []))
    yield "an array that is not there", changed(lambda c: c["steps"][0].__setitem__(1, [10**6]))
    yield "a small arena", changed(lambda c: c["arenas"].__setitem__("work", 64))
    yield "a state elsewhere", changed(lambda c: c["named"].__setitem__(1, dict.fromkeys(c["named"][1], work)))
    if space is not None:
        yield "no room to work in", changed(lambda c: c["steps"][space].__setitem__(3, []))
    yield "no program", ["nothing"]
    yield "a deep one", json.loads("[" * 900 + "]" * 900)


def test_no_entry_does_more_than_a_plan_could() -> None:
    backend = load_backend("numpy")
    content = json.loads(stored.written(compiler.compile_graph(training(), backend, "step")))
    assert backend.restore(json.dumps(content).encode(), b"") is not None
    for what, entry in hostile(content):
        assert backend.restore(json.dumps(entry).encode(), b"") is None, what
    for text in (b"", b"{", b"\xff", b"[" * 100_000):
        assert backend.restore(text, b"") is None


def test_entries_changed_at_random_are_refused_or_lie_within_their_arenas() -> None:
    backend, chance = load_backend("numpy"), random.Random(3)
    written = stored.written(compiler.compile_graph(training(), backend, "step")).decode()
    places = [i for i, c in enumerate(written) if c.isdigit()]
    taken = 0
    for _ in range(150):
        i = chance.choice(places)
        program = backend.restore((written[:i] + chance.choice("0123456789") + written[i + 1 :]).encode(), b"")
        if program is not None:
            taken += 1
            within(program)
    assert taken < 150


def within(program: Program) -> None:
    for a in program.arrays:
        if a.arena and 0 not in a.shape:
            reach = sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True) if s > 0) + 1
            assert a.offset >= 0 and a.offset + reach * a.type.dtype.size <= program.arenas[a.arena]


def test_whatever_decides_a_program_is_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    model, backend = small(), load_backend("numpy")
    keys = [stored.key_of(g, "numpy") for g in (*graphs(model), *graphs(model, rows=4))]
    keys += [stored.key_of(g, "numpy") for g in graphs(nnspec.compile(model.spec.with_(precision="float64")))]
    keys += [stored.key_of(g, "numpy") for g in graphs(nnspec.compile(compiler.loads(SMALL.replace("0.2", "0.3"))))][2:]
    graph = training()
    keys += [stored.key_of(graph, *how) for how in (("other",), ("numpy", True), ("numpy", Budget(5).bytes))]
    assert len(set(keys)) == len(keys)
    assert stored.key_of(graph, "numpy") == stored.key_of(training(), "numpy") == keys[2]
    assert "Cpu(" in backend.signature() or "None" in backend.signature()
    monkeypatch.setattr(stored, "fingerprint", lambda: "other sources")
    assert stored.key_of(graph, "numpy") != keys[2]


def test_sources_that_were_changed_are_other_sources(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    file = tmp_path / "inner" / "a.py"
    file.write_text("x = 1")
    first = list(stored._files(str(tmp_path), "p"))
    file.write_text("x = 12")
    second = list(stored._files(str(tmp_path), "p"))
    os.utime(file, ns=(0, 5))
    assert first != second != list(stored._files(str(tmp_path), "p"))
