"""Fills a network's parameters from a file of weights: names brought together, shapes compared, everything accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nnspec.errors import Problem, SpecError, nearest, one_of
from nnspec.interop.flattened import Flattened
from nnspec.interop.layouts import LEFT_OUT, Form, form, param_of, place_of, plain_name
from nnspec.interop.rename import NoNumberError, Pattern, Rule, rename
from nnspec.interop.tensors import ONNX, Tensor, TensorFile, open_tensors, wrong
from nnspec.ir.op import Array
from nnspec.network.graph import Leaf, Network
from nnspec.records import dataclass, field
from nnspec.spec.transfer import Transfer

LAST = "last.safetensors"  # of a run's folder
CHECKPOINT, KEPT = "nnspec", "parameters/"  # how a checkpoint says that it is one, and where it keeps parameters
NAMES = "weights-names"  # the rule of problems with names and patterns
SHOWN = 6
COMPARED = 400  # names on each side that are searched for the nearest


@dataclass(frozen=True)
class Loaded:
    """What one section of weights gave: arrays in our layout by parameter path, and where they came from."""

    values: Mapping[str, Array]
    path: Path
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """What a run records of it."""
        return {"path": str(self.path.resolve()), "sha256": self.sha256, "parameters": len(self.values)}


@dataclass(frozen=True)
class Part:
    """The part of a network that one file fills: parameters below ``prefix``.

    ``cut``: the file may hold more than the part has, for what lies behind the cut. ``filled`` are parameters that need no more.
    """

    given: Transfer
    prefix: str = ""
    cut: bool = False
    filled: frozenset[str] = frozenset()


def load(network: Network, part: Part, dtype: np.dtype[Any]) -> Loaded:
    """The parameters of a part from its file. Raises SpecError where they do not fit, DataError where the file is wrong."""
    return _Load(network, part).load(dtype)


@dataclass
class _Load:
    network: Network
    part: Part
    taken: dict[str, tuple[str, Form]] = field(default_factory=dict)  # parameter -> the weight's name in the file, how it lies there
    unused: dict[str, str] = field(default_factory=dict)  # name in the file -> name after renaming
    problems: list[Problem] = field(default_factory=list)

    @cached_property
    def layout(self) -> str:
        """Whose names and axes the file has: of an ONNX file PyTorch's. Raises SpecError where the spec says another."""
        given = self.part.given
        if given.path.suffix.lower() != ONNX:
            return given.weights.layout
        if given.weights.layout != "torch" and "layout" in given.weights.model_fields_set:
            raise SpecError(Problem("weights in an ONNX file lie as PyTorch's do", given.at("layout", 0), found=f"layout: {given.weights.layout}",
                                    wanted="layout: torch, or none", rule="weights"))  # fmt: skip
        return "torch"

    def load(self, dtype: np.dtype[Any]) -> Loaded:
        weights = self.part.given.weights
        self.forms = self._forms()
        self.excepted = [Pattern(text) for text in weights.leave]
        rules = tuple(Rule(Pattern(pattern), becomes) for pattern, becomes in weights.rename.items())
        self._refuse_patterns(rules)
        file = self._open()
        self._match(file, rules)
        if any(p.rule == NAMES for p in self.problems):  # what is left over depends on them
            raise SpecError(*(p for p in self.problems if p.rule == NAMES))
        missing = [path for path in self.forms if path not in self.taken and path not in self.part.filled and not self._except(self._local(path))]
        if weights.strict and (self.unused or missing):
            self.problems.append(self._both_sides(file, missing))
        elif not self.taken and self.forms:
            self.problems.append(self._both_sides(file, missing, "nothing in {} fits the network"))
        if self.problems:
            raise SpecError(*self.problems)
        values = {path: form.turn(file.read(name, dtype)) for path, (name, form) in self.taken.items()}
        return Loaded(values, file.path, file.sha256())

    def _forms(self) -> dict[str, Form]:
        """Every parameter of the part, and how the layout writes it."""
        layout, flattened = self.layout, Flattened(self.network)
        self.leaves: dict[str, Leaf] = {}
        forms: dict[str, Form] = {}
        for path, p in self.network.parameters.items():
            if path.startswith(self.part.prefix):
                leaf = self.network.nodes[p.layer]["leaf"]
                self.leaves[p.layer] = leaf
                forms[path] = form(leaf, p.param, layout, flattened)
        return forms

    def _local(self, path: str) -> str:
        return path.removeprefix(self.part.prefix)

    def _open(self) -> TensorFile:
        given = self.part.given
        path = given.path
        if path.is_dir():
            path = path / LAST
            if not path.is_file():
                raise wrong(given.path, "this is not the folder of a run or a model", given.place, f"no {LAST}", "a folder that nnspec has written")
        file = open_tensors(path, given.place)
        if CHECKPOINT not in file.metadata:
            return file
        if given.weights.layout != "nnspec":
            raise SpecError(Problem(f"{path} was written by nnspec", given.place, found=f"layout: {given.weights.layout}", wanted="layout: nnspec",
                                    rule="weights"))  # fmt: skip
        kept = {name.removeprefix(KEPT): t for name, t in file.tensors.items() if name.startswith(KEPT)}
        return TensorFile(file.path, kept, file.metadata, file.begin, file.place)

    # Names

    def _refuse_patterns(self, rules: tuple[Rule, ...]) -> None:
        given = self.part.given
        wanted = "as many stars as the pattern, or fewer; at most two in a segment"
        self.problems += [
            Problem("a rename does not fit", given.at("rename", r.pattern.text), found=what, wanted=wanted, rule="weights")
            for r in rules
            if (what := r.problem())
        ]
        self.problems += [
            Problem("an exception does not fit", given.at("except", i), found=what, wanted="at most two stars in a segment", rule="weights")
            for i, e in enumerate(self.excepted)
            if (what := e.problem())
        ]
        if self.problems:
            raise SpecError(*self.problems)

    def _except(self, name: str) -> bool:
        return any(p.match(name) for p in self.excepted)

    def _match(self, file: TensorFile, rules: tuple[Rule, ...]) -> None:
        """Brings the file's names and the network's together."""
        layout = self.layout
        used: set[Rule] = set()
        renamed: list[str] = []
        for name, tensor in file.tensors.items():
            try:
                own = rename(plain_name(name, layout), rules, used)
            except NoNumberError as e:
                place = self.part.given.at("rename", e.rule.pattern.text)
                self.problems.append(
                    Problem("a rename counts on from what is no number", place, found=e.found, wanted="a number for '*+'", rule=NAMES)
                )
                break
            if own is None:
                continue
            renamed.append(own)
            layer, word = place_of(own, layout)
            if self._except(f"{layer}/{word}" if layer else word) or self._except(own) or word in LEFT_OUT[layout]:
                continue
            self._take(name, own, layer, word, tensor)
        if not self.problems:
            self._idle(rules, used, file, renamed)

    def _take(self, name: str, own: str, layer: str, word: str, tensor: Tensor) -> None:
        leaf = self.leaves.get(self.part.prefix + layer)
        param = param_of(leaf, word, self.layout) if leaf is not None else None
        if param is None:
            if not (self.part.cut and leaf is None):
                self.unused[name] = own
            return
        path = f"{self.part.prefix}{layer}/{param.name}"
        there = self.forms[path]
        if self._except(self._local(path)):
            return
        if path in self.taken:
            self.problems.append(
                Problem(f"two weights become '{self._local(path)}'", self.part.given.place, found=f"{self.taken[path][0]} and {name}",
                        wanted="one weight for each parameter", hint="rename or except one of them; renames follow one another", rule=NAMES)
            )  # fmt: skip
            return
        self.taken[path] = (name, there)
        if tensor.shape != there.shape and tensor.shape not in there.also:
            self.problems.append(self._shape(name, own, path, tensor.shape, there.shape))

    def _shape(self, name: str, own: str, path: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> Problem:
        layout = self.layout
        ours = self.network.parameters[path].param.shape
        known = f", which is {ours} here" if wanted != ours else ""
        hint = f'except: ["{self._local(path)}"] leaves it as initialised'
        if tuple(reversed(found)) == wanted or found == ours:
            hint = "the axes stand in another order: does 'layout' say who wrote the file (nnspec, torch, keras)?"
        if layout == "nnspec" and found != wanted and sorted(found) == sorted(wanted):
            hint = "the axes stand in another order: layout: torch or keras says who wrote the file"
        return Problem(f"'{name}' does not fit '{self._local(path)}'", self.part.given.place, found=f"{found}", wanted=f"{wanted}{known}",
                       hint=hint, rule="weights")  # fmt: skip

    def _idle(self, rules: tuple[Rule, ...], used: set[Rule], file: TensorFile, renamed: list[str]) -> None:
        """Renames and exceptions that match nothing: misspelt, most likely."""
        given = self.part.given
        for rule in rules if given.table is None else ():  # a family's table holds more than a member needs
            if rule not in used:
                hint = nearest(rule.pattern.text, [*list(file.tensors)[:COMPARED], *_prefixes(list(file.tensors)[:COMPARED])])
                self.problems.append(
                    Problem(f"the rename '{rule.pattern.text}' matches no weight", given.at("rename", rule.pattern.text),
                            wanted=one_of(_short(list(file.tensors))), hint=hint, rule=NAMES)
                )  # fmt: skip
        local = [self._local(path) for path in self.forms]
        for i, pattern in enumerate(self.excepted):
            if not any(pattern.match(name) for name in (*local, *renamed)):
                self.problems.append(
                    Problem(f"the exception '{pattern.text}' matches nothing", given.at("except", i), wanted=one_of(_short(local)),
                            hint=nearest(pattern.text, [*local[:COMPARED], *_prefixes(local[:COMPARED])]), rule=NAMES)
                )  # fmt: skip

    # What is left over on either side

    def _both_sides(self, file: TensorFile, missing: list[str], what: str = "the weights in {} do not fit the network") -> Problem:
        unused = list(self.unused) if self.unused else [] if self.taken else list(file.tensors)
        found = f"{_many(len(unused), 'weight')} that nothing takes: " if unused else "no weight is left over"
        found += _listed(self._weight(name, file) for name in unused)
        wanted = f"{_many(len(missing), 'parameter')} that nothing fills: " if missing else "a parameter for each weight"
        wanted += _listed(f"{self._local(path)} {self.forms[path].shape}" for path in missing)
        hint = self._pairs(file, unused, missing)
        return Problem(what.format(file.path), self.part.given.place, found=found, wanted=wanted, hint=hint, rule="weights")

    def _weight(self, name: str, file: TensorFile) -> str:
        own = self.unused.get(name, name)
        renamed = f" (now {own[:100]})" if own != name else ""
        return f"{name[:100]}{renamed} {file.tensors[name].shape}"

    def _pairs(self, file: TensorFile, unused: list[str], missing: list[str]) -> str:
        """Weights and parameters that are likely the same: of equal shape, and the most alike by name."""
        pairs = []
        left = missing[:COMPARED]
        for name in unused[:COMPARED]:
            alike = [p for p in left if file.tensors[name].shape in (self.forms[p].shape, *self.forms[p].also)]
            if alike:
                own = self.unused.get(name, name)
                best = max(alike, key=lambda p: SequenceMatcher(None, own, self._local(p)).quick_ratio())
                left.remove(best)
                pairs.append(f"{name[:100]} -> {self._local(best)}")
            if len(pairs) == 3:
                break
        layout = self.layout
        if layout == "nnspec" and (other := _written_by(unused)):
            return f"the names are those of {other}: layout: {other}"
        if any(name.startswith("onnx::") for name in unused):
            return ("the exporter has folded others into weights called onnx::…: torch.onnx.export(…, do_constant_folding=False, "
                    "training=torch.onnx.TrainingMode.PRESERVE) keeps them all, by their names")  # fmt: skip
        if pairs:
            return f"by shape {', '.join(pairs)}: say so with rename, or except what is not to be loaded"
        if missing:
            return "rename brings names together; except: [PATTERN] leaves parameters as initialised"
        return "except: [PATTERN] leaves weights out"




def _written_by(names: list[str]) -> str:
    """The layout whose words names end in, where they are not ours."""
    if any(re.search(r":\d+\Z", name) for name in names):
        return "keras"
    words = {name.rpartition(".")[2] for name in names}
    return "torch" if words & {"weight", "running_mean", "running_var"} else ""


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _listed(items: Iterable[str]) -> str:
    """The first few of a list, and how many more there are."""
    listed = list(items)
    return ", ".join(listed[:SHOWN]) + (f", … and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else "")


def _short(names: list[str]) -> list[str]:
    return [name[:60] for name in names[:COMPARED]]


def _prefixes(names: list[str]) -> list[str]:
    """Every name's beginnings: what a pattern may have been meant for."""
    found: dict[str, None] = {}
    for name in names:
        for i, c in enumerate(name):
            if c in "/.":
                found[name[: i + 1]] = None
    return list(found)[: 2 * COMPARED]
