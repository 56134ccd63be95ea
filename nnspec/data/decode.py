"""Decodes one image file into pixels or class numbers of a given size; Pillow stays behind this file."""

from __future__ import annotations

import io
import os
import struct
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnspec.data.image_header import MOST_BYTES, Header, Unreadable, header, image_error
from nnspec.errors import DataError, MissingExtraError, Problem
from nnspec.records import dataclass

if TYPE_CHECKING:
    from PIL.Image import Image

Channels = Literal["rgb", "bgr", "gray"]
Pixels = NDArray[np.uint8]
_TURNS = (None, None, "FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # of a PNG: what its pixels depend on


def require_pillow() -> None:
    """Raises MissingExtraError where Pillow is not installed."""
    try:
        import_module("PIL.Image")
    except ImportError:
        raise MissingExtraError(Problem("images are read with Pillow, which is not installed", hint="pip install 'nnspec[images]'")) from None


@dataclass(frozen=True)
class Photo:
    """Makes a row of an image: upright by its EXIF orientation, of one size (height, width), in these channels.

    What is transparent lies on white; of a GIF the first frame counts; of 16 bits the upper eight; gray is ITU-R 601
    luma. Another size is resized bilinearly, with antialiasing where it gets smaller, to exactly this size: its
    proportions are not kept.
    """

    size: tuple[int, int]
    channels: Channels = "rgb"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, 1 if self.channels == "gray" else 3)

    def __call__(self, path: Path) -> Pixels:
        return self._made(_upright(path))

    def of(self, data: bytes, name: str) -> Pixels:
        """The same of a file that lies in memory; errors call it by its name. Raises DataError."""
        try:
            return self._made(_turned(data, header(io.BytesIO(data))))
        except Unreadable as e:
            raise image_error(Path(name), *e.args) from None

    def _made(self, image: Image) -> Pixels:
        image = _opaque(image)
        image = image.convert("L" if self.channels == "gray" else "RGB")
        if image.size != self.size[::-1]:
            image = image.resize(self.size[::-1], import_module("PIL.Image").Resampling.BILINEAR)
        pixels = np.asarray(image, np.uint8).reshape(self.shape)
        return pixels[:, :, ::-1] if self.channels == "bgr" else pixels


@dataclass(frozen=True, eq=False)
class Mask:
    """Makes a row of a mask: its gray values or palette numbers, each replaced by ``numbers[value]``; -1 is none.

    Another size takes the nearest value.
    """

    size: tuple[int, int]
    numbers: NDArray[np.int64]
    wanted: str = ""

    def __call__(self, path: Path) -> NDArray[np.int64]:
        values = mask_values(path)
        known = self.numbers[np.minimum(values, len(self.numbers) - 1)]
        known[values >= len(self.numbers)] = -1
        if (known < 0).any():
            y, x = (int(i) for i in np.argwhere(known < 0)[0])
            found = f"{values[y, x]} in row {y + 1}, column {x + 1} of the mask"
            raise image_error(path, found, self.wanted, "list the classes under the mask's column, or correct the mask")
        if known.shape == self.size:
            return known
        rows, columns = (((2 * np.arange(n) + 1) * m) // (2 * n) for n, m in zip(self.size, known.shape, strict=True))
        return known[np.ix_(rows, columns)]


def mask_values(path: Path) -> NDArray[np.int64]:
    """The gray values, or the palette's numbers, of a mask as they stand in its file. Raises DataError."""
    image = _upright(path)
    wanted = "gray values or palette numbers, one for each pixel"
    if image.format == "JPEG":
        raise image_error(path, "a JPEG, which changes numbers when it is saved", wanted, "save masks as PNG")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise image_error(path, f"colours (mode {image.mode})", wanted)
    return np.asarray(image).astype(np.int64)


def _upright(path: Path) -> Image:
    """The decoded image, turned as its EXIF orientation says. Raises DataError."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise Unreadable("the file is very large", f"at most {MOST_BYTES:,} bytes")
            about = header(file)
            file.seek(0)
            return _turned(file.read(), about)
    except OSError as e:
        raise image_error(path, e.strerror or str(e)) from None
    except Unreadable as e:
        raise image_error(path, *e.args) from None


def _turned(data: bytes, about: Header) -> Image:
    """The decoded image of a file whose header was read, upright. Raises Unreadable."""
    image = _decoded(data, about)
    if image.size != ((about.height, about.width) if about.orientation > 4 else (about.width, about.height)):
        raise Unreadable(f"{image.width} x {image.height} pixels", "the size that its header states")
    turn, kind = _TURNS[about.orientation], image.format
    if turn is not None:
        image = image.transpose(getattr(import_module("PIL.Image").Transpose, turn))
        image.format = kind
    return image


def _decoded(data: bytes, about: Header) -> Image:
    """The first frame. Each format's own reader is called: no other format is reached, and no limit but ours is."""
    require_pillow()
    name = {"PNG": "Png", "JPEG": "Jpeg", "GIF": "Gif", "BMP": "Bmp", "WebP": "WebP"}[about.format]
    clean = {"PNG": _clean_png, "JPEG": _clean_jpeg}.get(about.format, bytes)
    try:
        image: Image = getattr(import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")(io.BytesIO(clean(data)))
        image.load()
    except MemoryError:
        raise
    except Exception as e:  # whatever a decoder makes of a damaged file
        raise Unreadable(f"the {about.format} file is damaged: {str(e)[:100] or type(e).__name__}") from None
    return image


def _clean_png(data: bytes) -> bytes:
    """The file without its texts and profiles, which cost time, and memory, and are not looked at."""
    parts, at = [data[:8]], 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _NEEDED or at + 12 + length > len(data):
            parts.append(data[at : at + 12 + length])
        at += 12 + length
    return b"".join(parts)


def _clean_jpeg(data: bytes) -> bytes:
    """The file without EXIF, profiles and thumbnails; JFIF and Adobe's mark say what the colours are."""
    parts, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        length = 0 if kind == 0x01 or 0xD0 <= kind <= 0xD9 else struct.unpack_from(">H", data, at + 2)[0]
        if not (0xE1 <= kind <= 0xEF or kind == 0xFE) or kind == 0xEE:
            parts.append(data[at : at + 2 + length])
        at += 2 + length
    return b"".join([*parts, data[at:]])


def _opaque(image: Image) -> Image:
    """Eight bits a channel, with what is transparent on white."""
    if image.mode.startswith("I"):
        upper = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return import_module("PIL.Image").fromarray(upper)  # type: ignore[no-any-return]  # imported by name
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image
    try:
        over: Any = image.convert("RGBA")
        white = import_module("PIL.Image").new("RGBA", over.size, (255, 255, 255, 255))
        white.alpha_composite(over)
    except (ValueError, OSError) as e:
        raise DataError(Problem("the transparency of an image cannot be read", found=str(e)[:100], rule="bad-image")) from None
    return white  # type: ignore[no-any-return]
