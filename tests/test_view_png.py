"""PNG: the picture of the SVG in dots, its texts as wide as they were measured, and never too large to be opened."""

from __future__ import annotations

import io
import sys
from typing import Any

import networkx
import pytest

from nnspec.errors import MissingExtraError, ResourceError
from nnspec.view import png
from nnspec.view.paper import Group, Paper, Part, Rectangle, Words
from nnspec.view.sheet import sheet
from nnspec.view.text import width
from tests import view_graphs

Image = pytest.importorskip("PIL.Image", reason="needs Pillow, the extra images")


def opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data)).convert("RGB")


def flat(parts: Any, x: float = 0.0, y: float = 0.0) -> list[tuple[Part, float, float]]:
    found = []
    for part in parts:
        found += flat(part.parts, x + part.shift[0], y + part.shift[1]) if isinstance(part, Group) else [(part, x, y)]
    return found


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.3])
def test_boxes_have_their_colours_where_the_svg_has_them(scale: float) -> None:
    graph = view_graphs.mlp()
    paper, image = sheet([graph]), opened(png.draw(graph, scale=scale)[0])
    assert abs(image.width - paper.width * scale) <= 1 and abs(image.height - paper.height * scale) <= 1
    boxes = [(part, x, y) for part, x, y in flat(paper.parts) if isinstance(part, Rectangle) and part.width > 60]
    assert len(boxes) > 3
    for box, x, y in boxes:
        near = image.getpixel((int((box.x + x + 2.6) * scale), int((box.y + y + box.height / 2) * scale)))
        assert max(abs(a - b) for a, b in zip(near, rgb(box.fill), strict=True)) <= (3 if scale >= 1 else 90)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.0])
def test_no_text_is_wider_than_it_was_measured(scale: float) -> None:
    fonts = png._Fonts()
    for part, _, _ in flat(sheet([view_graphs.residual()]).parts):
        if isinstance(part, Words):
            font = fonts.fitting(part, scale * png._FINER)
            assert font.getlength(part.text) <= width(part.text, part.size, part.bold) * scale * png._FINER + 1, part.text


def test_text_is_there_and_legible() -> None:
    """A word in a PNG and the same letters painted large by Pillow agree when one is scaled to the other."""
    from PIL import ImageDraw, ImageFont

    words = Words(10, 30, "separable_conv2d", 20, "#000000")
    image = opened(png.painted(Paper("", 220, 50, (words,)), 2.0)).convert("L").crop((20, 20, 400, 80))
    other = Image.new("L", (440, 100), 255)
    ImageDraw.Draw(other).text((20, 60), words.text, 0, ImageFont.load_default(40), "ls")
    ink, wanted = (sum(255 - v for v in i.tobytes()) for i in (image, other))
    assert 0.8 < ink / wanted < 1.2


def test_a_frozen_layer_is_dashed_in_dots_too() -> None:
    box = Rectangle(10, 10, 100, 60, 7, "#ffffff", "#2f6fd6", 1.2, dashed=True)
    image = opened(png.painted(Paper("", 120, 80, (box,)), 2.0))
    row = [image.getpixel((x, 20)) == rgb("#ffffff") for x in range(44, 200)]
    assert 12 < sum(a != b for a, b in zip(row, row[1:], strict=False)) < 60


def test_equal_graphs_give_equal_dots() -> None:
    assert png.draw(view_graphs.cells(2))[0] == png.draw(view_graphs.cells(2))[0]


def long(count: int) -> networkx.MultiDiGraph[Any]:
    builder = view_graphs.Builder("long")
    for index in range(count):
        builder.input(f"x{index}", 4)
    return builder.done()


def test_a_picture_that_is_too_large_gets_fewer_dots_and_one_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "MOST", 60_000)
    data, scale = png.draw(view_graphs.mlp())
    assert scale < 1 and opened(data).width * opened(data).height <= 61_500
    with pytest.raises(ResourceError, match=r"too large for PNG"):
        png.draw(view_graphs.mlp(), scale=2.0)
    with pytest.raises(ResourceError, match=r"\.svg"):
        png.draw(long(60))


def test_pillow_that_is_not_there_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="images"):
        png.draw(view_graphs.mlp())


def test_letters_that_the_font_lacks_do_no_harm() -> None:
    builder = view_graphs.Builder("netz\u6f22\u00e9\u202e")
    builder.layer("dense", builder.input("x", 2), (3,))
    assert png.draw(builder.done(), scale=1.0)[0].startswith(b"\x89PNG")


def test_an_empty_network_is_a_small_sheet() -> None:
    assert png.draw(view_graphs.Builder("nothing").done())[0].startswith(b"\x89PNG")
