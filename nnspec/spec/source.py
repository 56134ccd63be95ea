"""A spec's text as nodes that know their place: YAML 1.2 core, strict and within limits."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Mapping_
from contextvars import ContextVar
from itertools import islice
from pathlib import Path

from nnspec.errors import LIMIT, Place, Problem, Source, SpecError, nearest
from nnspec.spec.nodes import Mapping, Node, Scalar, Sequence, Value, literal, plain
from nnspec.spec.reader import STRANGE, Reader

__all__ = ["Mapping", "Node", "Scalar", "Sequence", "Value", "literal", "plain", "read", "read_file"]

MOST_BYTES = 1 << 20
HELD: ContextVar[Mapping_[Path, str]] = ContextVar("texts that are read in place of files, by their resolved paths", default={})  # noqa: B039  # never changed


def read(text: str, name: str) -> Node:
    """The one document of a text called ``name``; an empty text is null. Raises SpecError with every problem found.

    >>> plain(read("{rate: 1e-3, sizes: [1, 2], no: yes}", "example"))
    {'rate': 0.001, 'sizes': (1, 2), 'no': 'yes'}
    """
    if len(text) > MOST_BYTES:
        raise SpecError(_too_large(Place(Source(name, ""))))
    source = Source(name, text.removeprefix("\ufeff"))
    if problems := list(islice(_strange(source), LIMIT)):
        raise SpecError(*problems)
    return Reader(source).document()


def read_file(path: Path, name: str | None = None) -> Node:
    """The document of a file in UTF-8 of at most 1 MiB; ``name`` is what problems call it. Raises SpecError."""
    name = name or str(path)
    if (held := HELD.get()) and (text := held.get(path.resolve())) is not None:
        return read(text, name)
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise SpecError(
            Problem(f"{name}: there is no such file", wanted="the path of a spec", hint=_neighbour(path), rule="file")
        ) from None
    except (OSError, ValueError) as e:
        reason = "this is a folder" if isinstance(e, IsADirectoryError) else (getattr(e, "strerror", None) or str(e))
        raise SpecError(
            Problem(f"{name}: the file cannot be read", found=reason, wanted="a spec: a text file in YAML", rule="file")
        ) from None
    if len(data) > MOST_BYTES:
        raise SpecError(_too_large(Place(Source(name, ""))))
    try:
        return read(data.decode("utf-8"), name)
    except UnicodeDecodeError as e:
        source = Source(name, data.decode("utf-8", errors="replace").removeprefix("\ufeff"))
        place = _at_offset(source, len(data[: e.start].decode("utf-8").removeprefix("\ufeff")))
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise SpecError(
            Problem(
                "the file is not UTF-8",
                place,
                found="UTF-16" if utf16 else f"byte 0x{data[e.start]:02x}",
                wanted="UTF-8",
                hint="save it as UTF-8 in your editor",
                rule="file",
            )
        ) from None


_LINES = "\x85\u2028\u2029"


def _strange(source: Source) -> Iterator[Problem]:
    """Characters that no spec needs: controls, and line ends that editors do not show as such."""
    for match in STRANGE.finditer(source.text):
        c = match[0]
        message = "a line separator that editors do not show" if c in _LINES else "a character that is not text"
        yield Problem(
            message, _at_offset(source, match.start()), found=f"U+{ord(c):04X}", hint="delete it", rule="character"
        )


def _at_offset(source: Source, offset: int) -> Place:
    lines = (source.text[:offset] + ".").splitlines()
    return Place(source, len(lines), len(lines[-1]))


def _too_large(place: Place) -> Problem:
    return Problem(
        "the file is too large for a spec",
        place,
        wanted=f"at most {MOST_BYTES >> 20} MiB",
        hint="keep data in files of its own: data: {csv: …}",
        rule="too-large",
    )


def _neighbour(path: Path) -> str:
    try:
        return nearest(path.name, [p.name for p in islice(path.parent.iterdir(), 1_000)])
    except (OSError, ValueError):
        return ""
