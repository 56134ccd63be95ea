"""The reference says what the declarations say, and every example of the pages for those who come from elsewhere is true."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from nnspec.compiler import loads
from tests.docs_pages import pages

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


def test_nearly_every_layer_has_an_example() -> None:
    text = pages()["layers.md"].split("## Activations")[0]
    sections = text.split("\n## ")[1:]
    assert sum("```yaml" in section for section in sections) / len(sections) > 0.6


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
