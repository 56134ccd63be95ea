"""The reference says what the declarations say, and every example of the pages for those who come from elsewhere is true."""

from __future__ import annotations

import inspect
import os
import re
from functools import cache
from pathlib import Path

import pytest

from nnspec.compiler import loads
from nnspec.data import config as data
from nnspec.data.augment import Augmentation
from nnspec.data.declare import declare
from nnspec.data.load import load
from nnspec.data.source_kinds import Source
from nnspec.layers.activations import Activation
from nnspec.layers.initializers import Initializer
from nnspec.layers.layer import Entry
from nnspec.spec.model import Kind
from nnspec.spec.source import read
from nnspec.training.losses import Loss
from nnspec.training.metrics import Metric
from nnspec.training.optimizers import Optimizer
from nnspec.training.schedules import Schedule
from nnspec.view.described import value_text
from tests import docs_examples, docs_kin
from tests.docs_pages import data_example, pages

DOCS = Path(__file__).resolve().parent.parent / ".github" / "docs"
COMING = "coming-from-keras-pytorch.md"


def test_the_reference_is_what_the_declarations_say() -> None:
    """NNSPEC_WRITE_GOLDEN=1 writes it."""
    for name, text in pages().items():
        if os.environ.get("NNSPEC_WRITE_GOLDEN"):
            (DOCS / name).write_text(text, "utf-8")
        assert (DOCS / name).read_text("utf-8") == text, f"{name}: NNSPEC_WRITE_GOLDEN=1 pytest tests/test_docs.py writes it"


def test_every_page_is_linked_from_the_index_and_every_link_leads_somewhere() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    assert {f"({name})" for name in (*pages(), COMING)} <= set(re.findall(r"\([\w/.-]+\)", index))
    for page in [*DOCS.glob("*.md")]:
        for target in re.findall(r"\]\(([\w/.-]+?)(?:#[\w-]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


FAMILIES_OF_KINDS = {
    "layers.md": (Entry,), "training.md": (Loss, Metric, Optimizer, Schedule, Initializer), "data.md": (Source, data.ColumnKind, data.Prepare, Augmentation),
}  # fmt: skip
KINDS = [(page, family, kind) for page, families in FAMILIES_OF_KINDS.items() for family in families for kind in sorted(family.registry)]


@cache
def sections(page: str) -> list[str]:
    return re.split(r"^##+ ", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(("page", "family", "kind"), KINDS, ids=[f"{family.__name__}-{kind}" for _, family, kind in KINDS])
def test_every_kind_has_a_sentence_its_defaults_and_an_example(page: str, family: type[Kind], kind: str) -> None:
    member = family.registry[kind]
    doc = inspect.cleandoc(member.__dict__.get("__doc__") or "")
    assert re.match(r"[`A-Z0-9-].{3,}?[.:]", doc.replace("\n", " ")), f"{kind} has no sentence of its own"
    first = doc.split("\n\n")[0]
    section = next(s for s in sections(page) if s.startswith(f"{kind}\n") and re.sub(r"``([^`]*)``", r"`\1`", first) in s)
    assert "```yaml" in section or re.search(r"`[^`]*-?\d.*`", section.replace(first, "")) or kind in ("identity", "confusion"), f"{kind} has no example"
    for name, field in member.model_fields.items():
        if name in ("called", "body"):
            continue
        word = field.alias or name
        row = next(line for line in section.splitlines() if re.match(rf"\| (\*\*)?{word}(\*\*)? \|", line))
        stated = "required" if field.is_required() else f"`{value_text(field.get_default(call_default_factory=True))}`"
        assert f"| {stated} |" in row, f"{kind}.{word}: {row}"
        assert re.search(r"[.…] \|$", row), f"{kind}.{word}: what is it?"


@pytest.mark.parametrize("kind", sorted(set(Entry.registry) - set(Activation.activations)))
def test_every_layer_says_the_shapes_that_go_in_and_come_out(kind: str) -> None:
    doc = inspect.cleandoc(Entry.registry[kind].__doc__ or "")
    assert len(re.findall(r"[` ]\([^()]*[…\d\w][^()]*\)[`,. ]", doc)) >= 2 or "No input" in doc, doc


@pytest.mark.parametrize("kind", sorted({**Loss.registry, **Metric.registry}))
def test_every_loss_and_metric_says_what_it_compares(kind: str) -> None:
    for family in (Loss, Metric):
        if kind in family.registry and kind not in ("value", "confusion", "auc", "r2", "mean_iou"):
            assert re.search(r"``\([^`]*\)``|root", inspect.cleandoc(family.registry[kind].__doc__ or "")), kind


@pytest.mark.parametrize("kind", sorted({**Activation.activations, **Optimizer.registry}))
def test_every_activation_and_optimizer_has_its_equation(kind: str) -> None:
    doc = inspect.cleandoc({**Activation.activations, **Optimizer.registry}[kind].__doc__ or "")
    assert re.search(r"``[^`]*[-+*/^(=x][^`]*``", doc) or kind == "step", kind


def test_every_example_of_data_is_read_beside_its_files(tmp_path: Path) -> None:
    missing = {*docs_examples.files(tmp_path)}
    for kind, written in docs_examples.DATA.items():
        if kind not in missing:
            section = re.search(r"```yaml\ndata:(.*)```", data_example(written), re.DOTALL)[1]  # type: ignore[index]
            found = load(declare(read(section, str(tmp_path / "spec.yaml")), tmp_path, 0))
            assert found.splits["train"].size, kind
    for examples, title in ((docs_examples.PREPARE, "Preparation"), (docs_examples.AUGMENT, "Augmentation")):
        for kind, written in examples.items():
            body = re.search(r"```yaml\n(.*)```", data_example(written, title), re.DOTALL)[1]  # type: ignore[index]
            units, loss = (3, "mse" if kind == "one_hot" else "cross_entropy") if title == "Preparation" else (10, "cross_entropy")
            assert loads(f"nnspec: 1\n{body}layers: [flatten, dense: {units}]\nloss: {loss}\n").graph


@pytest.mark.parametrize("kind", sorted(docs_kin.known("torch")))
def test_what_is_said_of_pytorch_is_what_pytorch_says(kind: str) -> None:
    pytest.importorskip("torch", reason="its signatures are asked")
    assert docs_kin.asked_one("torch", kind) == docs_kin.known("torch")[kind], "python -m tests.docs_kin writes it"


def test_who_is_named_beside_a_kind_is_known_and_names_a_kind_of_ours() -> None:
    for family, kins in docs_kin.FAMILIES.items():
        registry = {"layer": Entry, "loss": Loss, "metric": Metric, "optimizer": Optimizer, "schedule": Schedule, "initializer": Initializer}[family].registry
        assert set(kins) <= set(registry)
        for kin in kins.values():
            assert not kin.keras or kin.keras in docs_kin.known("keras"), kin
            assert not kin.torch or kin.torch in docs_kin.known("torch"), kin


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_translated_models_have_the_parameters_of_their_originals() -> None:
    torch = pytest.importorskip("torch", reason="translations are compared with PyTorch's own models")
    found = blocks(COMING)
    yaml = [body for kind, body in found if kind == "yaml"]
    python = [body for kind, body in found if kind == "python"]
    assert len(yaml) == 2 and len(python) == 2
    space: dict[str, object] = {"torch": torch, "nn": torch.nn}
    exec(compile(python[0], COMING, "exec"), space)  # the page's own PyTorch model
    own = sum(p.numel() for p in space["model"].parameters())  # type: ignore[attr-defined]
    spec = loads(yaml[0])
    assert sum(data["trainable"] for data in spec.built.network.nodes.values()) == own
    model = space["model"]
    assert model(torch.zeros(2, 1, 28, 28)).shape[1:] == spec.built.network.outputs[0].shape  # type: ignore[operator]
    keras = loads(yaml[1])
    stated = int(re.search(r"# ([\d,]+) parameters", python[1])[1].replace(",", ""))  # type: ignore[index]
    assert sum(data["parameters"] for data in keras.built.network.nodes.values()) == stated
