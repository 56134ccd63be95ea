"""``nnspec check --fix``: the edits that problems carry, put into files, and kept only where they make nothing worse."""

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from difflib import unified_diff
from pathlib import Path

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
BOM = "\ufeff"


@dataclass
class Mended:
    """Files whose text changes, with what they were read as; what was done; what could not be written."""

    old: dict[Path, str] = field(default_factory=dict)
    new: dict[Path, str] = field(default_factory=dict)
    done: list[tuple[Place, str]] = field(default_factory=list)

    @property
    def changed(self) -> list[Path]:
        return [path for path, text in self.new.items() if text != self.old[path]]

    def diff(self) -> str:
        """What would be written, as a unified diff."""
        return "".join(part for path in self.changed for part in _diff(_shown(path), self.old[path], self.new[path]))

    def write(self) -> None:
        """Writes every file that changes, each as a whole; raises SpecError where one may not be, before any is."""
        for path in self.changed:
            _writable(path, self.old[path])
        for path in self.changed:
            _write(path, self.new[path].encode())


def mend(file: str, look: Look, allowed: tuple[Path, ...] = ()) -> Mended:
    """Whatever edits of a spec's problems make it better; nothing is written. ``look`` reads the spec anew."""
    work = _Work(Path(file), look, tuple(p.resolve() for p in allowed))
    work.words()
    work.structure()
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
    for place, what in sorted(mended.done, key=lambda told: (told[0].file, told[0].line)):
        say(printable(f"{place.file}:{place.line}: {what}"))


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
        return sum(self.tried([p], good) for p in problems[:ALONE]) > 0

    def tried(self, problems: list[Problem], good: Judge) -> bool:
        texts, made = self.rewritten(problems)
        after = self.seen(texts) if made else Seen()
        if made and not good(self.now, after, made):
            texts, after = self.followed(texts, after, good, made)
        if not made or not good(self.now, after, made):
            if len(problems) == 1:
                self.refused.add(_key(problems[0]))
            return False
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
                text = self.mended.old[path] = _read(path)
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
        """Whether the file is the spec's own, or lies in its folder or one that is allowed; what comes with nnspec is not changed."""
        from nnspec.spec.include import shipped

        path, own = _path(edit), self.file.resolve()
        if path == own:
            return True
        folders = [f for f in (own.parent, *self.allowed) if path.is_relative_to(f)]
        return path.is_file() and bool(folders) and not path.is_relative_to(shipped().resolve())


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


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _shown(path: Path) -> str:
    """The path from here, where it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _diff(name: str, old: str, new: str) -> Iterator[str]:
    def lines(text: str) -> list[str]:
        return text.splitlines(keepends=True)

    for line in unified_diff(lines(old), lines(new), f"a/{name.lstrip('/')}", f"b/{name.lstrip('/')}"):
        text = printable(line.rstrip("\r\n").replace("\t", "  ")) if not line.endswith("\n") or "\r" in line[:-2] else line.rstrip("\n")
        yield f"{text}\n" if line.endswith(("\n", "\r")) else f"{text}\n\\ No newline at end of file\n"


def _writable(path: Path, read: str) -> None:
    """Raises SpecError where a file is not to be written to, or is no longer what was read."""
    found = ""
    try:
        if not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH) or not os.access(path, os.W_OK):
            found = "the file is read-only"
        elif not os.access(path.parent, os.W_OK):
            found = "its folder is read-only"
        elif _read(path) != read:
            found = "it was changed while it was checked"
    except (OSError, ValueError) as e:
        found = getattr(e, "strerror", None) or str(e)
    if found:
        hint = "check it again" if "changed" in found else "--diff shows what would be written"
        raise SpecError(Problem(f"{_shown(path)} cannot be written", found=found, hint=hint, rule="file"))


def outside(file: str, allowed: Iterable[Path]) -> Problem | None:
    """The problem of a link that leads out of its folder, or to itself."""
    path = Path(file)
    try:
        target = path.resolve()
    except RuntimeError:
        return Problem(f"{file}: the file cannot be read", found="a link that leads to itself", wanted="a spec: a text file in YAML", rule="file")
    if not path.is_symlink() or any(target.is_relative_to(f.resolve()) for f in (path.parent, *allowed)):
        return None
    hint = f"nnspec check --fix {target}, or --allow-include {target.parent}"
    return Problem(f"{file} is a link that leads out of its folder", found=str(target), wanted="the file itself", hint=hint, rule="file")


def _write(path: Path, data: bytes) -> None:
    """The new content under another name, which then takes the place of the old; its rights stay."""
    from nnspec.runtime.atomic import refused, sync

    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as e:
        with suppress(OSError):
            os.unlink(temporary)
        raise refused(path, e) from e
