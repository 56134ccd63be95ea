"""A network as one HTML file: pan, zoom, frames that open and close, search, details and the lines of YAML of every layer.

The page carries its data as one block of escaped JSON, and shows names as text only; its policy lets nothing else run and nothing be fetched.
Another page embeds the same picture: serve ``data`` as JSON, ``styles()`` as CSS and ``script()`` as a JavaScript module
whose ``picture(element, data, options)`` draws it; ``page/picture.js`` says what the options are. It keeps to a policy
``script-src 'self'; style-src 'self'; img-src data:; require-trusted-types-for 'script'``.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, TypeAlias

import networkx

from nnspec.view.html_data import data
from nnspec.view.text import escape

__all__ = ["data", "draw", "script", "styles"]

Graph: TypeAlias = "networkx.MultiDiGraph[Any]"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='none' stroke='%232f6fd6' stroke-width='1.6'%3E%3Crect x='2' y='1.5' width='12' height='4' rx='1.4'/%3E%3Crect x='2' y='10.5' width='12' height='4' rx='1.4'/%3E%3Cpath d='M8 5.5v5'/%3E%3C/g%3E%3C/svg%3E"  # noqa: E501


def draw(*graphs: Graph, texts: Mapping[str, str] | None = None) -> str:
    """The HTML text of one or several networks, as ``data`` takes them. Equal graphs give equal pages."""
    shown = data(*graphs, texts=texts)
    code, looks = script("document.js"), styles("document.css", "picture.css")
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(looks)}; img-src data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n'
        f'<meta name="generator" content="nnspec">\n<title>{escape(shown["name"], 300)}</title>\n<link rel="icon" href="{_ICON}">\n'
        f'<style>{looks}</style>\n</head>\n<body>\n<div id="picture"></div>\n<noscript>This picture needs JavaScript: nnspec graph -o net.svg '
        f'draws one that does not.</noscript>\n<script type="application/json" id="data">{as_text(shown)}</script>\n'
        f'<script type="module">{code}</script>\n</body>\n</html>\n'
    )


def as_text(shown: Mapping[str, Any]) -> str:
    """JSON in ASCII in which no letter means anything to HTML."""
    text = json.dumps(shown, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def script(main: str = "picture.js") -> str:
    """One module of JavaScript from ``page/``: a file after all that it imports. ``picture`` is exported where ``main`` exports it."""
    order: dict[str, str] = {}

    def add(name: str) -> None:
        text = _read(name)
        for needed in _IMPORT.findall(text):
            if needed not in order:
                add(needed)
        order[name] = _IMPORT.sub("", text)

    add(main)
    return "\n".join(text if name == main else re.sub(r"^export ", "", text, flags=re.MULTILINE) for name, text in order.items())


def styles(*names: str) -> str:
    """The style sheets of ``page/``, by default the one that the picture needs."""
    return "\n".join(map(_read, names or ("picture.css",)))


@cache
def _read(name: str) -> str:
    return (files("nnspec.view") / "page" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
