"""The same picture as in SVG, as PNG, its round edges smooth."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import networkx

from nnspec.errors import MissingExtraError, Problem, ResourceError
from nnspec.view.paper import Group, Paper, Part, Rectangle, Wire, Words
from nnspec.view.sheet import sheet
from nnspec.view.strokes import Point, dashes, flat, outline
from nnspec.view.text import width

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

SCALE = 2.0  # dots for a unit of the SVG
MOST = 85_000_000  # dots of a picture: what programs that guard against huge images still open
_LEAST = 0.25  # below this no letter can be read
_SMALL = 18.0  # dots of a letter's size
_STEP = 0.25  # between sizes of letters
_FINER = 4  # times larger is a mask drawn before it is reduced
_PAPER, _RIM = "#ffffff", "#e2e8f0"
_OTHERS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "Arial.ttf")


def draw(*graphs: networkx.MultiDiGraph[Any], scale: float | None = None) -> tuple[bytes, float]:
    """The PNG of networks side by side, and the scale it has: ``scale``, or 2 where that is not too large, else less.

    Raises ResourceError where the picture would have too many dots, MissingExtraError without Pillow.
    """
    _pillow()
    paper = sheet(graphs)
    return painted(paper, found := _fitting(paper, scale)), found


def _pillow() -> None:
    try:
        import PIL  # noqa: F401  (whether it is there)
    except ImportError:
        raise MissingExtraError(Problem("PNG is drawn with Pillow, which is not installed", hint="pip install 'nnspec[images]'")) from None


def _fitting(paper: Paper, wanted: float | None) -> float:
    largest = float((MOST / (paper.width * paper.height)) ** 0.5)
    if wanted is None and largest >= _LEAST:
        return min(SCALE, largest)
    if wanted is not None and wanted <= largest:
        return wanted
    size = f"{paper.width:,.0f} x {paper.height:,.0f} units"
    hint = f"--scale {int(largest * 100) / 100:g}, or -o with .svg, which has no dots" if largest >= _LEAST else "-o with .svg, which has no dots"
    raise ResourceError(Problem("the picture is too large for PNG", found=size, wanted=f"at most {MOST / 1e6:.0f} million dots", hint=hint))


def painted(paper: Paper, scale: float) -> bytes:
    """A sheet of paper as the bytes of a PNG, ``scale`` dots a unit."""
    from PIL import Image

    wide, high = max(1, ceil(paper.width * scale)), max(1, ceil(paper.height * scale))
    image = Image.new("RGB", (wide, high), _PAPER)
    brush, fonts = _Brush(image, scale), _Fonts()
    brush.rectangle(Rectangle(0.5, 0.5, paper.width - 1, paper.height - 1, 13, _PAPER, _RIM, 1.0))
    for part in _flattened(paper.parts, (0.0, 0.0)):
        if isinstance(part, Rectangle):
            brush.rectangle(part)
        elif isinstance(part, Wire):
            brush.wire(part)
        elif part.text:
            brush.words(part, fonts)
    data = io.BytesIO()
    image.save(data, "PNG", dpi=(96 * scale, 96 * scale), compress_level=4)  # a unit is a 96th of an inch
    return data.getvalue()


def _flattened(parts: Iterable[Part], by: Point) -> Iterator[Rectangle | Words | Wire]:
    dx, dy = by
    for part in parts:
        if isinstance(part, Group):
            yield from _flattened(part.parts, (dx + part.shift[0], dy + part.shift[1]))
        elif isinstance(part, Rectangle):
            yield Rectangle(part.x + dx, part.y + dy, part.width, part.height, part.radius, part.fill, part.line, part.thick, part.dashed)
        elif isinstance(part, Words):
            yield Words(part.x + dx, part.y + dy, part.text, part.size, part.ink, part.bold)
        else:
            strokes = tuple(tuple((x + dx, y + dy) for x, y in stroke) for stroke in part.strokes)
            yield Wire(strokes, tuple((x + dx, y + dy) for x, y in part.tips), part.ink, part.thick)


class _Brush:
    """Paints on an image: what is straight along the axes at once, what is round or slanted through a mask drawn larger."""

    def __init__(self, image: Image, scale: float) -> None:
        from PIL import ImageDraw

        self.image, self.scale = image, scale
        self.pen = ImageDraw.Draw(image)
        self.corners: dict[int, Image] = {}

    def rectangle(self, box: Rectangle) -> None:
        thick = max(1, round(box.thick * self.scale)) if box.line else 0
        left, up = round(box.x * self.scale - thick / 2), round(box.y * self.scale - thick / 2)
        right, down = round((box.x + box.width) * self.scale + thick / 2), round((box.y + box.height) * self.scale + thick / 2)
        radius = round(min(box.radius, box.width / 2, box.height / 2) * self.scale + thick / 2)
        if box.line and not box.dashed:
            self._round(left, up, right, down, radius, box.line)
        self._round(left + thick, up + thick, right - thick, down - thick, max(0, radius - thick), box.fill)
        if box.line and box.dashed:
            self._lines(dashes(outline(box.x, box.y, box.width, box.height, box.radius), 5.0, 3.0), box.line, box.thick)

    def _round(self, left: int, up: int, right: int, down: int, radius: int, ink: str) -> None:
        if right <= left or down <= up:
            return
        radius = min(radius, (right - left) // 2, (down - up) // 2)
        self._fill(left + radius, up, right - radius, down, ink)
        if radius:
            self._fill(left, up + radius, left + radius, down - radius, ink)
            self._fill(right - radius, up + radius, right, down - radius, ink)
            whole = self._disc(radius)
            for x, of in ((left, 0), (right - radius, radius)):
                for y, under in ((up, 0), (down - radius, radius)):
                    self.image.paste(ink, (x, y), whole.crop((of, under, of + radius, under + radius)))

    def _fill(self, left: int, up: int, right: int, down: int, ink: str) -> None:
        if right > left and down > up:
            self.pen.rectangle((left, up, right - 1, down - 1), ink)

    def _disc(self, radius: int) -> Image:
        from PIL import Image, ImageDraw

        if radius not in self.corners:
            large = Image.new("L", (2 * radius * _FINER, 2 * radius * _FINER))
            ImageDraw.Draw(large).ellipse((0, 0, 2 * radius * _FINER - 1, 2 * radius * _FINER - 1), 255)
            self.corners[radius] = large.reduce(_FINER)
        return self.corners[radius]

    def wire(self, wire: Wire) -> None:
        thick = max(1, round(wire.thick * self.scale))
        for stroke in wire.strokes:
            points = [(self._snapped(x, thick), self._snapped(y, thick)) for x, y in stroke]
            (x, y), (to, end) = min(points[0], points[-1]), max(points[0], points[-1])
            dx, dy = (thick / 2, 0.0) if x == to else (0.0, thick / 2)
            if len(stroke) == 2 and (x == to or y == end):
                left, up, right, down = x * self.scale - dx, y * self.scale - dy, to * self.scale + dx, end * self.scale + dy
                self._fill(round(left), round(up), round(right), round(down), wire.ink)
            else:
                self._lines([flat(tuple(points), 24)], wire.ink, thick / self.scale)
        for x, y in wire.tips:
            x = self._snapped(x, thick)
            self._filled(((x, y), (x - 3.6, y - 7.5), (x, y - 5.7), (x + 3.6, y - 7.5)), wire.ink)

    def _snapped(self, at: float, thick: int) -> float:
        """The place nearest to ``at`` where the edges of a line of so many dots lie between dots."""
        return (round(at * self.scale - thick / 2) + thick / 2) / self.scale

    def _lines(self, lines: Iterable[Sequence[Point]], ink: str, thick: float) -> None:
        lines = list(lines)
        thick = max(thick, 1 / self.scale)

        def draw(pen: ImageDraw, at: Callable[[Point], Point], size: float) -> None:
            for line in lines:
                pen.line([at(point) for point in line], 255, max(1, round(thick * size)), "curve")

        self._masked([point for line in lines for point in line], ink, draw)

    def _filled(self, points: Sequence[Point], ink: str) -> None:
        self._masked(points, ink, lambda pen, at, size: pen.polygon([at(p) for p in points], 255))

    def _masked(self, points: Sequence[Point], ink: str, draw: Callable[[ImageDraw, Callable[[Point], Point], float], None]) -> None:
        """Paint through a mask over the points that ``draw`` fills with lines of its own size."""
        from PIL import Image, ImageDraw

        size = self.scale * _FINER
        left, up = (int(min(p[axis] for p in points) * self.scale) - 3 for axis in (0, 1))
        right, down = (int(max(p[axis] for p in points) * self.scale) + 4 for axis in (0, 1))
        mask = Image.new("L", ((right - left) * _FINER, (down - up) * _FINER))
        draw(ImageDraw.Draw(mask), lambda p: (p[0] * size - left * _FINER, p[1] * size - up * _FINER), size)
        self.image.paste(ink, (left, up), mask.reduce(_FINER))

    def words(self, words: Words, fonts: _Fonts) -> None:
        from PIL import Image, ImageDraw

        finer = _FINER if words.size * self.scale < _SMALL else 1  # letters of few dots would stand where dots are, not where they should
        size = self.scale * finer
        font, bold = fonts.fitting(words, size), words.size * size / 34 if words.bold else 0.0
        if finer == 1:
            self.pen.text((words.x * size + bold, words.y * size), words.text, words.ink, font, "ls", stroke_width=bold)
            return
        left, up = int(words.x * self.scale), int((words.y - words.size) * self.scale)
        wide, high = ceil(width(words.text, words.size, words.bold) * self.scale) + 3, ceil(1.5 * words.size * self.scale) + 1
        mask = Image.new("L", (wide * finer, high * finer))
        ImageDraw.Draw(mask).text((words.x * size - left * finer + bold, words.y * size - up * finer), words.text, 255, font, "ls", stroke_width=bold)
        self.image.paste(words.ink, (left, up), mask.reduce(finer))


class _Fonts:
    """Pillow's own font in the sizes that are asked for, and the first other that is there for letters it lacks."""

    def __init__(self) -> None:
        self.made: dict[tuple[float, bool], FreeTypeFont] = {}
        self.lacks: dict[str, bool] = {}
        self.other: str | None = None
        self.empty = bytes(self._font(20.0, False).getmask("\uffff"))

    def _font(self, size: float, other: bool) -> FreeTypeFont:
        from PIL import ImageFont

        key = (max(1.0, round(size / _STEP) * _STEP), other and bool(self.other))
        if key not in self.made:
            found = ImageFont.truetype(self.other or "", key[0]) if key[1] else ImageFont.load_default(key[0])
            if not hasattr(found, "set_variation_by_axes"):  # without FreeType there is only a font of one size
                raise MissingExtraError(Problem("this Pillow was built without FreeType: it writes no text", hint="pip install 'nnspec[images]'"))
            self.made[key] = found  # type: ignore[assignment]  # tested above
        return self.made[key]

    def fitting(self, words: Words, scale: float) -> FreeTypeFont:
        """The font with which the words are as wide as they are to be, or less."""
        other, size = self._needs_other(words.text), words.size * scale
        room = width(words.text, words.size, words.bold) * scale - (size / 17 if words.bold else 0)
        font = self._font(size, other)
        while (long := font.getlength(words.text)) > room and size > 1:
            size = min(size - _STEP, size * room / long)
            font = self._font(size, other)
        return font

    def _needs_other(self, text: str) -> bool:
        if text.isascii():
            return False
        for letter in set(text):
            if letter not in self.lacks:
                self.lacks[letter] = not letter.isascii() and bytes(self._font(20.0, False).getmask(letter)) == self.empty
        if not any(self.lacks[letter] for letter in text):
            return False
        if self.other is None:
            self.other = next(filter(_there, _OTHERS), "")
        return bool(self.other)


def _there(name: str) -> bool:
    from PIL import ImageFont

    try:
        ImageFont.truetype(name, 10)
    except OSError:
        return False
    return True
