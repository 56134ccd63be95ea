"""Where the walk over the entries is: what an entry sees of those around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnspec.network.graph import Rate
from nnspec.network.scope import Scope
from nnspec.records import dataclass, replace


@dataclass(frozen=True)
class Context:
    """Where the walk is: names for formulas, path, frames, and what the entries around have decided."""

    scope: Scope
    env: Mapping[str, Any]
    path: str = ""
    frames: tuple[str, ...] = ()
    frozen: bool = False
    calls: tuple[str, ...] = ()
    only: str = ""
    rate: Rate = Rate()
    shared: tuple[str, str] | None = None  # a path, and that of the tree whose weights are used below it

    def at(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def inside(self, path: str, **changes: Any) -> Context:
        return replace(self, path=path, frames=(*self.frames, path), **changes)
