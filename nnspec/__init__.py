"""The public names of nnspec: a spec in, a trained network out."""

from __future__ import annotations

import gc
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnspec.compiler import Spec, load
    from nnspec.errors import DataError, MissingExtraError, NnspecError, NumbersError, ResourceError, SpecError
    from nnspec.runtime.saving import load_model
    from nnspec.runtime.session import Model, compile

    __version__: str

# Where each public name lives. Names are imported when they are first used, so that ``nnspec --help`` is quick.
_HOMES = {
    "load": "nnspec.compiler",
    "Spec": "nnspec.compiler",
    "compile": "nnspec.runtime.session",
    "load_model": "nnspec.runtime.saving",
    "Model": "nnspec.runtime.session",
    "NnspecError": "nnspec.errors",
    "SpecError": "nnspec.errors",
    "DataError": "nnspec.errors",
    "NumbersError": "nnspec.errors",
    "ResourceError": "nnspec.errors",
    "MissingExtraError": "nnspec.errors",
}

__all__ = [
    "DataError", "MissingExtraError", "Model", "NnspecError", "NumbersError", "ResourceError", "Spec", "SpecError",
    "compile", "load", "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nnspec")
    if name not in _HOMES:
        raise AttributeError(f"module 'nnspec' has no attribute '{name}'")
    value = globals()[name] = getattr(_import(_HOMES[name]), name)
    if not _HOMES[name].endswith("errors"):
        _show()
    return value


def _show() -> None:
    """Tells graphs how a notebook shows them; the drawings are imported when one asks."""
    from nnspec.network.graph import SHOWN

    SHOWN.update(html=lambda graph: _page("network_html")(graph), svg=lambda graph: _page("graph_svg")(graph))


def _page(name: str) -> Any:
    return getattr(import_module("nnspec.view.notebook"), name)


def _import(module: str) -> ModuleType:
    """A module, while nobody looks for garbage: what is imported stays, and looking through it again and again takes a fifth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(module)
    finally:
        if collects:
            gc.enable()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
