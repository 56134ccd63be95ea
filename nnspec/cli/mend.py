"""``nnspec check --fix``: the edits that problems carry, put into files, and kept only where they make nothing worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from nnspec.cli.mended_files import BOM, difference, moved, outside, read, shown, writable, write
from nnspec.errors import Edit, Place, Problem, SpecError, printable
from nnspec.records import dataclass, field
from nnspec.spec.rewrite import rewrite
from nnspec.spec.source import HELD

Texts = dict[Path, str]


@dataclass(frozen=True)
class Seen:
    """What is wrong with a spec as it is now; warnings are looked for where there is no error."""

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def told(self) -> tuple[Problem, ...]:
        return self.errors or self.warnings


Look = Callable[[], Seen]
ROUNDS = 20  # a problem that is mended may show another one
ALONE = 40  # problems whose edits are tried one by one
# Problems of the text itself, which hide all others; and those whose edits only say in our words what stands there.
OF_TEXT = {"yaml", "key", "repeated-key", "torn-formula", "tag", "alias", "number", "character", "too-large", "file"}
OF_WORDS = {"key", "torn-formula", "unknown-key", "unknown-name", "bad-value", "missing-key"}
MOVE = {"top", "before", "after", "remove-entry"}  # edits that move lines


@dataclass
class Mended:
    """Files whose text changes, with what they were read as; what was done; what could not be written."""

    old: dict[Path, str] = field(default_factory=dict)
    new: dict[Path, str] = field(default_factory=dict)
    done: list[tuple[Place, str]] = field(default_factory=list)
    texts: dict[Path, list[str]] = field(default_factory=dict)  # what each file was from round to round
    left: dict[Path, int] = field(default_factory=dict)  # problems that could be mended in files which may not be written

    @property
    def changed(self) -> list[Path]:
        return [path for path, text in self.new.items() if text != self.old[path]]

    def diff(self) -> str:
        """What would be written, as a unified diff."""
        return "".join(part for path in self.changed for part in difference(shown(path), self.old[path], self.new[path]))

    def told(self) -> list[tuple[str, int, str]]:
        """What was done, with the lines that the files have now: what a round reads another one may have moved."""
        found = []
        for place, what in self.done:
            line, past = place.line, [text.removeprefix(BOM) for text in self.texts.get(Path(place.file).resolve(), ())]
            past = past[past.index(place.source.text) :] if place.source.text in past else []
            for old, new in zip(past, past[1:], strict=False):
                line = moved(line, old, new)
            found.append((place.file, line, what))
        return sorted(found, key=lambda told: told[:2])

    def write(self) -> None:
        """Writes every file that changes, each as a whole; raises SpecError where one may not be, before any is."""
        for path in self.changed:
            writable(path, self.old[path])
        for path in self.changed:
            write(path, self.new[path].encode())


def mend(file: str, look: Look, allowed: tuple[Path, ...] = ()) -> Mended:
    """Whatever edits of a spec's problems make it better; nothing is written. ``look`` reads the spec anew."""
    work = _Work(Path(file), look, tuple(p.resolve() for p in allowed))
    work.words()
    work.structure()
    own = work.file.resolve()
    for path in (_path(p.edits[0]) for p in work.now.told if p.edits and not all(map(work.may, p.edits))):
        if path != own and path.is_file():
            work.mended.left[path] = work.mended.left.get(path, 0) + 1
    return work.mended


def fix(file: str, look: Look, allowed: tuple[Path, ...], diff: bool, say: Callable[[str], None]) -> None:
    """Mends a spec's file and says what was changed, or shows the difference and writes nothing. Raises SpecError where it may not be written."""
    if (problem := outside(file, allowed)) is not None:
        raise SpecError(problem)
    mended = mend(file, look, allowed)
    if diff:
        say(mended.diff().rstrip("\n"))
        return
    mended.write()
    for name, line, what in mended.told():
        say(printable(f"{name}:{line}: {what}"))
    for path, count in mended.left.items():
        more = f"{count} more can be mended" if mended.done else f"{count} can be mended"
        say(printable(f"{more} in {shown(path)}, which was not named: --allow-include {shown(path.parent)} lets --fix write there"))


@dataclass
class _Work:
    """One spec, mended round by round."""

    file: Path
    look: Look
    allowed: tuple[Path, ...]
    mended: Mended = field(default_factory=Mended)
    now: Seen = Seen()
    refused: set[tuple[object, ...]] = field(default_factory=set)

    def words(self) -> None:
        """Edits that say what stands there in our words: what comes to light behind them was there before."""
        self.now = self.seen(self.mended.new)
        for _ in range(ROUNDS):
            if not self.step([p for p in self.now.told if p.rule in OF_WORDS], _says_the_same):
                break

    def structure(self) -> None:
        """Edits that change the network: none that brings a problem which was not there, and is not mended by those that follow."""
        for _ in range(ROUNDS):
            if not self.step([p for p in self.now.told if p.rule not in OF_WORDS], _nothing_new):
                break
            self.words()

    def step(self, problems: list[Problem], good: Judge) -> bool:
        """The edits of all problems together, or else of each alone; whether any could be kept."""
        problems = [p for p in problems if p.edits and _key(p) not in self.refused and all(self.may(e) for e in p.edits)]
        problems = [p for p in problems if all(e.kind not in MOVE for e in p.edits)] or problems  # as long as lines keep their numbers
        if not problems:
            return False
        if self.tried(problems, good):
            return True
        if len(problems) == 1:
            return False
        kept: list[Problem] = []
        for p in problems[:ALONE]:
            if not self.displaced(p, kept) and self.tried([p], good):
                kept.append(p)
        return bool(kept)

    def displaced(self, problem: Problem, kept: list[Problem]) -> bool:
        """Whether what was changed since a problem was seen may have moved the places of its edits: the next round sees it anew."""
        first = {_path(e): min(k.place.line for q in kept for k in q.edits if _path(k) == _path(e)) for p in kept for e in p.edits}
        return any(e.place.line >= first.get(_path(e), e.place.line + 1) for e in problem.edits)

    def tried(self, problems: list[Problem], good: Judge) -> bool:
        texts, made = self.rewritten(problems)
        after = self.seen(texts) if made else Seen()
        if made and not good(self.now, after, made):
            texts, after = self.followed(texts, after, good, made)
        if not made or not good(self.now, after, made):
            if len(problems) == 1:
                self.refused.add(_key(problems[0]))
            return False
        for path, text in texts.items():
            past = self.mended.texts.setdefault(path, [self.mended.old[path]])
            past += [text] if text != past[-1] else []
        self.mended.new, self.now = texts, after
        self.mended.done += [(e.place, e.says) for p in made for e in p.edits]
        return True

    def followed(self, texts: Texts, after: Seen, good: Judge, made: list[Problem]) -> tuple[Texts, Seen]:
        """What comes of it if new problems that carry edits are mended as well."""
        for _ in range(ROUNDS):
            known = Counter(map(_says, self.now.told))
            new = [p for p in after.told if _says(p) not in known]
            if good is not _nothing_new or not new or not all(p.edits and all(self.may(e) for e in p.edits) for p in new):
                break
            texts, more = self.rewritten(new, texts)
            if not more:
                break
            made += more
            after = self.seen(texts)
            if good(self.now, after, made):
                break
        return texts, after

    def rewritten(self, problems: list[Problem], texts: Texts | None = None) -> tuple[Texts, list[Problem]]:
        """The texts with the edits of problems, and the problems whose edits are in them."""
        texts = dict(self.mended.new if texts is None else texts)
        made: list[Problem] = []
        for path in {_path(e): None for p in problems for e in p.edits}:
            own = [p for p in problems if all(_path(e) == path for e in p.edits)]
            text = texts.get(path)
            if text is None:
                text = self.mended.old[path] = read(path)
            body = text.removeprefix(BOM)
            body_new, numbers = rewrite(body, [p.edits for p in own])
            texts[path] = text[: len(text) - len(body)] + body_new
            made += [own[n] for n in numbers]
        return texts, made

    def seen(self, texts: Texts) -> Seen:
        token = HELD.set(texts)
        try:
            return self.look()
        finally:
            HELD.reset(token)

    def may(self, edit: Edit) -> bool:
        """Whether the file is the spec's own, or lies in a folder that is allowed; what comes with nnspec is not changed."""
        from nnspec.spec.include import shipped

        path = _path(edit)
        if path == self.file.resolve():
            return True
        return path.is_file() and any(map(path.is_relative_to, self.allowed)) and not path.is_relative_to(shipped().resolve())


Judge = Callable[[Seen, Seen, list[Problem]], bool]


def _says_the_same(before: Seen, after: Seen, made: list[Problem]) -> bool:
    """Whether what was mended is gone, and what is new was only hidden."""
    old, new = Counter(map(_says, before.told)), Counter(map(_says, after.told))
    if any(new[_says(p)] >= old[_says(p)] for p in made):
        return False
    fresh = [p for p in after.told if _says(p) not in old]
    first = min((e.place.line, e.place.column) for p in made for e in p.edits)
    if any(p.rule in OF_TEXT and not (any(q.rule in OF_TEXT for q in made) and p.place and (p.place.line, p.place.column) > first) for p in fresh):
        return False
    given = [f"'{e.text}'" for p in made for e in p.edits if e.kind == "word"]
    return not any(p.message.startswith(word) and not p.edits for p in fresh for word in given)


def _nothing_new(before: Seen, after: Seen, made: list[Problem]) -> bool:
    """Whether there are fewer problems, and none that was not there; behind errors nobody has looked for warnings."""
    old = Counter(map(_says, before.told))
    new = Counter(map(_says, after.errors if before.errors else after.told))
    return not new - old and new.total() < old.total()


def _says(problem: Problem) -> tuple[str, str, str]:
    return problem.place.file if problem.place else "", problem.rule, problem.message


def _key(problem: Problem) -> tuple[object, ...]:
    place = problem.place
    return (*_says(problem), place.line if place else 0, place.column if place else 0)


def _path(edit: Edit) -> Path:
    return Path(edit.place.file).resolve()
