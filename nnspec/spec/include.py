"""``include``: blocks from other files, never from outside of the folders that are allowed."""

from __future__ import annotations

from pathlib import Path

from nnspec.errors import Place, Problem, SpecError
from nnspec.spec.blocks import Block, declare
from nnspec.spec.explain import describe, unknown
from nnspec.spec.source import Mapping as MappingNode
from nnspec.spec.source import Node, Scalar, Sequence, read_file
from nnspec.spec.variables import variables

KEYS = ("nnspec", "description", "vars", "include", "blocks")
DEPTH = 16


def shipped() -> Path:
    """The folder of specs that come with nnspec: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "specs"
    return inside if inside.is_dir() else package.parent / "specs"


def include(node: Node | None, file: Path | None, allowed: tuple[Path, ...], problems: list[Problem],
            trail: tuple[Path, ...] = ()) -> dict[str, Block]:
    """Every block of the files that ``node`` names, relative to ``file``."""
    blocks: dict[str, Block] = {}
    if node is None:
        return blocks
    for item in node.items if isinstance(node, Sequence) else [node]:
        try:
            path = _locate(item, file, allowed)
            if path in trail or len(trail) >= DEPTH:
                raise SpecError(Problem("a file includes itself: this is a cycle", item.place, found=str(path.name), rule="cycle"))
            for name, block in _blocks(path, allowed, problems, (*trail, path)).items():
                known = blocks.setdefault(name, block)
                if str(known.place) != str(block.place):  # not the same file, reached twice
                    problems.append(twice(name, block.place, known))
        except SpecError as e:
            problems += e.problems
    return blocks


def twice(name: str, place: Place, first: Block) -> Problem:
    """The problem of a block's name that another block has."""
    return Problem(f"the block '{name}' is declared twice", place, found=f"first in {first.place.file}, line {first.place.line}",
                   wanted="a name of its own", hint=f"call this one {name}_2", rule="repeated-name")


def _locate(item: Node, file: Path | None, allowed: tuple[Path, ...]) -> Path:
    if not isinstance(item, Scalar) or not isinstance(item.value, str) or "\x00" in item.value:
        raise SpecError(Problem("'include' does not fit", item.place, found=describe(item), wanted="a list of paths", rule="bad-value"))
    if file is None:
        raise SpecError(Problem("'include' needs a spec that is a file", item.place, rule="include"))
    for folder in (file.parent, shipped()):
        path = (folder / item.value).resolve()
        if path.is_file():
            break
    else:
        raise SpecError(Problem("an included file is not there", item.place, found=item.value, wanted="a path relative to this file", rule="include"))
    if not any(path.is_relative_to(root) for root in allowed):
        raise SpecError(Problem("an included file lies outside of the spec's folder", item.place, found=item.value,
                                wanted="a file in the folder of the spec", hint=f"--allow-include {path.parent}", rule="include"))
    return path


def _blocks(path: Path, allowed: tuple[Path, ...], problems: list[Problem], trail: tuple[Path, ...]) -> dict[str, Block]:
    root = read_file(path)
    if not isinstance(root, MappingNode):
        raise SpecError(Problem("an included file holds blocks", root.place, found=describe(root), wanted="blocks: {…}", rule="include"))
    problems += [unknown(k, KEYS, root.keys[k], "key of an included file", "unknown-key") for k in root.pairs if k not in KEYS]
    names = variables(root.pairs.get("vars"), {}, problems)
    blocks = include(root.pairs.get("include"), path, allowed, problems, trail)
    declared = root.pairs.get("blocks")
    if declared is not None and not isinstance(declared, MappingNode):
        problems.append(Problem("'blocks' does not fit", declared.place, found=describe(declared), wanted="{name: {args: {…}, layers: [...]}}",
                                rule="bad-value"))
    if isinstance(declared, MappingNode):
        for name, body in declared.pairs.items():
            try:
                block = declare(name, body, declared.keys[name], names, included=True)
                if name in blocks:
                    raise SpecError(twice(name, block.place, blocks[name]))
                blocks[name] = block
            except SpecError as e:
                problems += e.problems
    return blocks
