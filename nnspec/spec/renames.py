"""``rename: FILE``: what a family's weights are called elsewhere, as a table in a file of its own."""

from __future__ import annotations

from pathlib import Path

from nnspec.errors import Problem, SpecError
from nnspec.spec.explain import describe
from nnspec.spec.include import shipped
from nnspec.spec.source import Mapping, Scalar, read_file


def table(node: Scalar, folder: Path) -> tuple[Mapping, Path]:
    """The table that ``rename`` names, and its file: beside the spec, or one that is shipped (``renames/yolov8.yaml``). Raises SpecError."""
    named = str(node.value)
    roots = (folder.resolve(), shipped(), shipped() / "zoo")
    paths = [] if "\x00" in named else [(root / named).resolve() for root in roots]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        raise SpecError(Problem("the table of 'rename' is not there", node.place, found=describe(node),
                                wanted="{pattern: name}, or a file that holds such pairs, relative to this one", rule="weights"))  # fmt: skip
    if not any(path.is_relative_to(root) for root in roots):
        raise SpecError(Problem("the table of 'rename' lies outside of the spec's folder", node.place, found=named,
                                wanted="a file in the folder of the spec", rule="weights"))  # fmt: skip
    root = read_file(path)
    if not isinstance(root, Mapping):
        raise SpecError(Problem("a table of renames is a mapping", root.place, found=describe(root), wanted="pattern: name", rule="weights"))
    return root, path
