"""Reads the size of an image from the first bytes of its file: nothing is decoded, nothing large is allocated."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nnspec.errors import DataError, Place, Problem, Source

MOST_PIXELS = 1 << 26  # of one image: 67 million, 8192 x 8192
MOST_BYTES = 1 << 28  # of one image's file
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_MOST_SEGMENTS = 10_000  # looked at before the size is found


class Header(NamedTuple):
    """An image's format and its size as it is looked at; ``orientation`` is EXIF's, 1 to 8."""

    format: str
    height: int
    width: int
    orientation: int = 1


class Unreadable(Exception):
    """What is wrong with an image: found, and what was wanted."""


def read_header(path: Path) -> Header:
    """The header of an image file of at most ``MOST_PIXELS``. Raises DataError with the file's name."""
    try:
        with path.open("rb") as file:
            return header(file)
    except OSError as e:
        raise image_error(path, e.strerror or str(e)) from None
    except Unreadable as e:
        raise image_error(path, *e.args) from None


def image_error(path: Path, found: str, wanted: str = "", hint: str = "") -> DataError:
    """The error of one file that cannot be read as an image."""
    place = Place(Source(str(path), ""))
    return DataError(Problem("the image cannot be read", place, found=found, wanted=wanted, hint=hint, rule="bad-image"))


def header(file: BinaryIO) -> Header:
    """The header of an open file. Raises Unreadable."""
    start = file.read(32)
    format = next((name for name, is_it in _STARTS.items() if is_it(start)), None)
    if format is None:
        wanted = "PNG, JPEG, BMP, GIF or WebP"
        raise Unreadable(f"it begins with {start[:8]!r}" if start else "the file is empty", wanted)
    try:
        width, height, orientation = _READERS[format](file, start)
    except struct.error:
        raise Unreadable(f"the {format} file ends in its header") from None
    if width < 1 or height < 1:
        raise Unreadable(f"{width} x {height} pixels", "at least one")
    if width * height > MOST_PIXELS:
        raise Unreadable(f"{width} x {height} pixels", f"at most {MOST_PIXELS:,}", "make it smaller")
    if orientation > 4:  # it lies on its side
        width, height = height, width
    return Header(format, height, width, orientation)


_STARTS: dict[str, Callable[[bytes], bool]] = {
    "PNG": lambda b: b.startswith(b"\x89PNG\r\n\x1a\n"),
    "JPEG": lambda b: b.startswith(b"\xff\xd8\xff"),
    "GIF": lambda b: b[:6] in (b"GIF87a", b"GIF89a"),
    "BMP": lambda b: b.startswith(b"BM"),
    "WebP": lambda b: b.startswith(b"RIFF") and b[8:12] == b"WEBP",
}

Size = tuple[int, int, int]  # width, height, orientation


def _png(file: BinaryIO, start: bytes) -> Size:
    width, height = struct.unpack(">II", start[16:24])
    if start[12:16] != b"IHDR":
        raise Unreadable("the PNG file does not begin with IHDR")
    file.seek(8)
    for _ in range(_MOST_SEGMENTS):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"eXIf":
            return width, height, exif_orientation(file.read(min(length, 1 << 16)))
        if kind in (b"IDAT", b"IEND"):
            break
        file.seek(length + 4, 1)
    return width, height, 1


def _jpeg(file: BinaryIO, start: bytes) -> Size:
    """Segments up to the frame: ISO/IEC 10918-1, B.1."""
    file.seek(2)
    orientation = 1
    for _ in range(_MOST_SEGMENTS):
        mark, kind = struct.unpack("BB", file.read(2))
        while mark == 0xFF and kind == 0xFF:  # fill
            (kind,) = struct.unpack("B", file.read(1))
        if mark != 0xFF or kind in (0xD9, 0xDA):
            break
        if kind == 0x01 or 0xD0 <= kind <= 0xD8:  # no length follows
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            _, height, width = struct.unpack(">BHH", file.read(5))
            return width, height, orientation
        if kind == 0xE1 and orientation == 1:
            content = file.read(max(0, length - 2))
            orientation = exif_orientation(content[6:]) if content.startswith(b"Exif\0\0") else 1
        else:
            file.seek(max(0, length - 2), 1)
    raise Unreadable("no size stands in the JPEG file")


def _gif(file: BinaryIO, start: bytes) -> Size:
    """The screen, or its first frame where that reaches beyond it."""
    width, height, flags = struct.unpack("<HHB", start[6:11])
    file.seek(13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    for _ in range(_MOST_SEGMENTS):
        (kind,) = struct.unpack("B", file.read(1))
        if kind == 0x2C:
            x, y, w, h = struct.unpack("<HHHH", file.read(8))
            return max(width, x + w), max(height, y + h), 1
        if kind != 0x21:
            break
        file.seek(1, 1)
        while length := struct.unpack("B", file.read(1))[0]:
            file.seek(length, 1)
    raise Unreadable("the GIF file holds no image")


def _bmp(file: BinaryIO, start: bytes) -> Size:
    if struct.unpack("<I", start[14:18])[0] == 12:
        width, height = struct.unpack("<HH", start[18:22])
    else:
        width, height = struct.unpack("<ii", start[18:26])
    return width, abs(height), 1


def _webp(file: BinaryIO, start: bytes) -> Size:
    """The frame's or the canvas's size: RFC 9649."""
    kind = start[12:16]
    if kind == b"VP8X":
        flags, width, height = start[20], *(int.from_bytes(start[i : i + 3], "little") + 1 for i in (24, 27))
        return width, height, _webp_orientation(file) if flags & 8 else 1
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", start[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", start[26:30])
        return width & 0x3FFF, height & 0x3FFF, 1
    raise Unreadable("the WebP file holds no image")


def _webp_orientation(file: BinaryIO) -> int:
    file.seek(12)
    for _ in range(_MOST_SEGMENTS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF":
            return exif_orientation(file.read(min(length, 1 << 16)).removeprefix(b"Exif\0\0"))
        file.seek(length + (length & 1), 1)
    return 1


_READERS: dict[str, Callable[[BinaryIO, bytes], Size]] = {"PNG": _png, "JPEG": _jpeg, "GIF": _gif, "BMP": _bmp, "WebP": _webp}


def exif_orientation(exif: bytes) -> int:
    """Tag 0x0112 of the first directory of a TIFF header; 1 (upright) where there is none that makes sense."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for i in range(min(count, 1000)):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * i)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
