"""Comments that silence a rule with a reason: ``# nnspec: NN012 the weights come from elsewhere``.

A comment behind an entry is about that line and what is indented below it, one on a line of its own about the next; above the spec's
first key it is about the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from nnspec.compiler import Spec
from nnspec.errors import Place, Problem, Source, SpecError, nearest, one_of
from nnspec.records import dataclass, field

COMMENT = re.compile(r"#\s*nnspec:\s*(?P<body>[A-Za-z]{2}\d.*)$")
BODY = re.compile(r"(?P<rules>NN\d{3}(?:\s*,\s*NN\d{3})*)(?P<reason>\s.*)?$")
WHEN = re.compile(r"(?m)^[^#\n]*\bwhen\s*:")
IDLE = "NN090"  # the rule of silences that silence nothing


@dataclass(frozen=True)
class Silence:
    """A rule that is not heard from line ``first`` to ``last`` of a file."""

    rule: str
    reason: str
    place: Place
    first: int
    last: int

    def covers(self, problem: Problem) -> bool:
        place = problem.place
        if self.whole or place is None:
            return self.whole and problem.rule == self.rule
        return problem.rule == self.rule and place.source is self.place.source and self.first <= place.line <= self.last

    @property
    def whole(self) -> bool:
        """Whether it is about all of the spec, what ``--set`` brings in too."""
        return self.last == 0


@dataclass
class Silences:
    """All silences of a spec and of the files that it includes, and which of them were needed."""

    own: tuple[Silence, ...]
    known: Collection[str]
    main: Source | None
    used: set[int] = field(default_factory=set)
    read: dict[int, tuple[Silence, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: Spec, known: Collection[str]) -> Silences:
        source = spec.document.root.place.source if spec.document.root else None
        own = tuple(_of(source, known)) if source is not None else ()
        return cls(own, known, source, read={id(source): own})

    def covers(self, problem: Problem) -> bool:
        """Whether a problem is silenced."""
        source = problem.place.source if problem.place else None
        if source is not None and id(source) not in self.read:
            self.read[id(source)] = tuple(_of(source, self.known))
        among = {id(s): s for s in (*self.own, *(self.read[id(source)] if source is not None else ()))}
        found = [n for n, s in among.items() if s.covers(problem)]
        self.used.update(found)
        return bool(found)

    def needed(self) -> list[tuple[str, str]]:
        """Rule and reason of each that silenced something, once."""
        known = [*self.own, *(s for found in self.read.values() if found is not self.own for s in found)]
        return list(dict.fromkeys((s.rule, s.reason) for s in known if id(s) in self.used))

    def idle(self) -> Iterator[Problem]:
        """Those of the spec's own file that silence nothing; where entries come and go by ``when`` another setting may need them."""
        if self.main is not None and WHEN.search(self.main.text):
            return
        for silence in self.own:
            if id(silence) not in self.used and silence.rule != IDLE:
                yield Problem(f"nothing here breaks {silence.rule}", silence.place, found=f"a silence: {silence.reason[:60]}",
                              hint="leave the comment out", rule=IDLE)  # fmt: skip


def sources(spec: Spec) -> list[Source]:
    """The texts that a spec's layers stand in: its own, and those of files that it includes."""
    found = [spec.document.root.place.source, *(leaf.place.source for leaf in spec.built.network.leaves)]
    return list({id(source): source for source in found}.values())


def comments(text: str, known: Collection[str] = ()) -> list[str]:
    """The silences of a text, each as the comment above a spec's first key that says the same of the whole file."""
    source = Source("", text)
    found = dict.fromkeys((s.rule, s.reason) for s in _of(source, known))
    return [f"# nnspec: {rule} {reason}" for rule, reason in found]


def _of(source: Source, known: Collection[str]) -> Iterator[Silence]:
    problems: list[Problem] = []
    for number, line in enumerate(source.lines, 1):
        match = COMMENT.search(line) if "nnspec:" in line and "#" in line else None
        if match is None or _quoted(line[: match.start()]):
            continue
        place = Place(source, number, match.start() + 1)
        body = BODY.match(match["body"])
        reason = (body["reason"] or "").strip(" :-–—") if body else ""
        rules = [r.strip() for r in body["rules"].split(",")] if body else []
        if not reason:
            problems.append(Problem("a silence needs a rule and a reason", place, found=match[0][:80],
                                    wanted="# nnspec: NN012 why it is meant here", rule="silence"))  # fmt: skip
        if unknown := [r for r in rules if known and r not in known]:
            problems += [Problem(f"no rule is called '{r}'", place, wanted=one_of(known), hint=nearest(r, known), rule="silence") for r in unknown]
        if reason and not unknown:
            first, last = _span(source, number, match.start())
            yield from (Silence(rule, reason, place, first, last) for rule in rules)
    if problems:
        raise SpecError(*problems)


def _quoted(before: str) -> bool:
    """Whether what comes behind stands in quotes, or is no comment."""
    return before.count('"') % 2 == 1 or (before.count("'") % 2 == 1 and before.count('"') == 0) or bool(before and not before[-1:].isspace())


def _span(source: Source, number: int, column: int) -> tuple[int, int]:
    """The first and the last line that a comment is about; no last one for the whole file."""
    lines = source.lines
    if not any(_says(line) for line in lines[: number - 1]) and not lines[number - 1][:column].strip():
        return 1, 0
    first = number
    if not lines[number - 1][:column].strip():
        first = next((n for n in range(number + 1, len(lines) + 1) if _says(lines[n - 1])), number)
    depth, last = _depth(lines[first - 1]), first
    for n in range(first + 1, len(lines) + 1):
        line = lines[n - 1]
        if not _says(line):
            continue
        own = _depth(line)
        beside = own == depth and line.lstrip().startswith("- ") and not lines[first - 1].lstrip().startswith("- ")
        if own <= depth and not beside:
            break
        last = n
    return first, last


def _says(line: str) -> bool:
    """Whether a line holds anything but a comment."""
    text = line.strip()
    return bool(text) and not text.startswith(("#", "---", "%"))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
