"""The network of a run as a picture, from the spec in its folder; kept as long as that does not change."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from nnspec.compiler import loads
from nnspec.data import stored
from nnspec.errors import DataError, Place, Problem, Source
from nnspec.runtime.run_folder import DATA, SPEC
from nnspec.view.board import files
from nnspec.view.board.runs import Run


def pictured(run: Run) -> dict[str, Any]:
    """What ``picture.js`` draws. Raises DataError where there is no spec, SpecError where it is damaged."""
    if run.spec is None:
        raise DataError(Problem("the run's folder has no spec", wanted=SPEC, rule="run-folder"))
    return _drawn(run.path, run.spec, files.text(run.path / DATA) or "")


@lru_cache(8)
def _drawn(folder: Path, text: str, data: str) -> dict[str, Any]:
    from nnspec.view import html

    path = folder / SPEC
    described = files.as_object(data) if data else None
    place = Place(Source(str(folder / DATA), ""))
    spec = loads(text, str(path), data=stored.from_json(described, place) if described is not None else None)
    return html.data(spec.graph, texts={str(path): text})  # no other file is read, whatever the spec names
