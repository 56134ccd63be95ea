"""What is wrong with a text that is not YAML, in plain words."""

from __future__ import annotations

import re

from nnspec.errors import Place, Problem, Source
from nnspec.spec.grammar import MOST_CHARACTERS
from nnspec.spec.torn import START, formula_end, whole

_WORD = re.compile(r"[\w./$-]*")


def at(source: Source, line: int, column: int) -> Place:
    """The place of a mark (counted from 0), moved into the text where it stands behind its end."""
    if line >= len(source.lines):
        line = max(0, len(source.lines) - 1)
        column = len(source.line(line + 1))
    return Place(source, line + 1, min(column, len(source.line(line + 1))) + 1)


def explain(error: Exception, source: Source, brackets: list[Place], quote: Place | None) -> Problem:
    """A syntax error as a problem. ``brackets`` are still open, ``quote`` is the last quoted text of several lines."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem("this is not YAML", Place(source), found=str(error)[:200], wanted="a text in YAML", rule="yaml")
    return _Case(error, source, brackets, quote).problem()


class _Case:
    """One syntax error: what PyYAML says, and what stands there."""

    def __init__(self, error: Exception, source: Source, brackets: list[Place], quote: Place | None) -> None:
        mark, context_mark = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
        assert mark is not None
        self.source, self.brackets, self.quote = source, brackets, quote
        self.said = str(getattr(error, "problem", "") or "")
        self.context = str(getattr(error, "context", "") or "")
        self.place = at(source, mark.line, mark.column)
        self.context_place = at(source, context_mark.line, context_mark.column) if context_mark else self.place
        self.index = mark.index
        self.ended = mark.line >= len(source.lines) or not source.text[mark.index :].strip()
        self.line = source.line(self.place.line)
        self.before, self.rest = self.line[: self.place.column - 1], self.line[self.place.column - 1 :]

    def problem(self) -> Problem:
        said, context = self.said, self.context
        if (found := self.torn()) is not None:
            return found
        if self.rest.startswith("\t") or "tab" in said.split():
            return self.tab()
        if "mapping values" in said:
            return self.colon()
        if "quoted scalar" in context:
            return self.quoted()
        if "could not find expected ':'" in said or "simple key" in context:
            return self.no_colon(self.context_place)
        if "alias" in context or "anchor" in context:
            return self.reserved(self.context_place, "an alias" if "alias" in context else "an anchor")
        if "cannot start any token" in said:
            return self.reserved(self.place, "nothing in YAML")
        if "directive" in context or "directive" in said or "incompatible YAML" in said:
            return self.make("a line that begins with '%' is a directive", hint="leave it out")
        if self.ended and self.brackets:
            return self.unclosed()
        if "flow sequence" in context or "flow mapping" in context or "flow node" in context:
            return self.flow()
        if "block sequence entries" in said:
            return self.make(
                "a list begins on a line of its own", wanted="the '-' on the next line, indented; or [a, b]"
            )
        return self.block()

    def make(
        self, message: str, place: Place | None = None, wanted: str = "", hint: str = "", found: str = ""
    ) -> Problem:
        return Problem(message, place or self.place, found=found, wanted=wanted, hint=hint, rule="yaml")

    def torn(self) -> Problem | None:
        """A formula around the place where YAML gave up."""
        first = self.source.text.rfind("\n", 0, max(0, self.index - len(self.before))) + 1
        for match in START.finditer(self.source.text, max(first, self.index - MOST_CHARACTERS), self.index):
            begin = match.start(1)
            end = formula_end(self.source.text, begin, len(self.source.text))
            if not begin < self.index < end:
                continue
            before = _WORD.match(self.source.text[max(first, begin - 100) : begin][::-1])
            start = begin - (before.end() if before else 0)
            if self.source.text[max(0, start - 1)] not in "'\"":
                column = self.place.column - (self.index - start)
                return whole(self.source, Place(self.source, self.place.line, column), start, begin, end).problem
        return None

    def tab(self) -> Problem:
        tabbed = self.line.find("\t")
        place = Place(self.source, self.place.line, tabbed + 1) if tabbed >= 0 else self.place
        indents = not self.line[: max(tabbed, 0)].strip()
        return self.make(
            "a tab indents this line" if indents else "a tab stands where YAML wants spaces",
            place,
            wanted="spaces",
            hint="let your editor replace tabs by two spaces",
        )

    def colon(self) -> Problem:
        """``a: b: c``, or a line that is indented below a finished value."""
        if re.search(r"[^\s:]\s*:\s", self.before.split(" #")[0]):
            return self.make(
                "a second ':' on one line",
                hint=f"quote the text, or go on below it: {self.before.split(':')[0].strip(' -')[:40]}: {{…}}",
            )
        above = self.above()
        if above is None:
            return self.make("a ':' where no key can stand", hint="quote the text if the ':' belongs to it")
        text = self.source.line(above.line).split(" #")[0]
        key = Place(self.source, self.place.line, len(self.line) - len(self.line.lstrip()) + 1)
        if re.search(r":\s", text):
            return self.make(
                "this line is indented below a line that already has a value",
                key,
                hint=f"begin it in column {above.column} as line {above.line} does, or leave that line without a value",
            )
        if (
            self.line[: len(self.line) - len(self.line.lstrip())] == text[: len(text) - len(text.lstrip())]
            or ":" not in text
        ):
            return self.no_colon(above)
        return self.make("a ':' where no key can stand", hint="quote the text if the ':' belongs to it")

    def above(self) -> Place | None:
        """The first word of the nearest line above that says something."""
        for number in range(self.place.line - 1, 0, -1):
            text = self.source.line(number)
            if text.strip() and not text.lstrip().startswith("#"):
                return Place(self.source, number, len(text) - len(text.lstrip("- ")) + 1)
        return None

    def quoted(self) -> Problem:
        if "escape" in self.said or "hexdecimal" in self.said or "hexadecimal" in self.said or "Unicode" in self.said:
            place = self.place
            return self.make(
                "a backslash in double quotes begins an escape that YAML does not know",
                place,
                found=self.rest[:4],
                hint="use single quotes, or write the backslash twice",
            )
        mark = self.source.line(self.context_place.line)[self.context_place.column - 1 : self.context_place.column]
        return self.make("a quote is never closed", self.context_place, wanted=mark or "a quote")

    def no_colon(self, place: Place) -> Problem:
        text = self.source.line(place.line)[place.column - 1 :].split(" #")[0].strip()
        if match := re.match(r"([\w-]+):(\S+)", text):
            return self.make("a space is missing after ':'", place, wanted=f"{match[1]}: {match[2]}"[:80])
        return self.make(
            "this line is no 'key: value'",
            place,
            found=text[:60],
            wanted="key: value",
            hint="is the ':' missing, or the line above not finished?" if text else "",
        )

    def reserved(self, place: Place, what: str) -> Problem:
        text = self.source.line(place.line)[place.column - 1 :]
        word = re.match(r"[^\s,\]}]*", text)
        shown = word[0][:60] if word else text[:1]
        quoted = f'"{shown}"' if '"' not in shown and "\\" not in shown else f"'{shown}'"
        return self.make(
            f"'{text[:1]}' begins {what}" if what != "nothing in YAML" else f"a text cannot begin with '{text[:1]}'",
            place,
            hint=f"quote the text: {quoted}",
        )

    def unclosed(self) -> Problem:
        place = self.brackets[-1]
        opening = self.source.line(place.line)[place.column - 1 : place.column]
        return self.make(f"'{opening}' is never closed", place, wanted="']'" if opening == "[" else "'}'")

    def flow(self) -> Problem:
        """Inside ``[...]`` or ``{...}``."""
        place = self.brackets[-1] if self.brackets else self.context_place
        opening = self.source.line(place.line)[place.column - 1 : place.column]
        close = "]" if opening == "[" else "}"
        if self.rest[:1] in ("]", "}") and self.rest[:1] != close:
            return self.make(
                f"'{self.rest[0]}' closes nothing here", wanted=f"'{close}' for the '{opening}' on line {place.line}"
            )
        if (
            self.place.line > place.line
            and re.search(r"^\s*(- )?[\w\"'-]+\s*$", self.before)
            and self.rest.startswith(":")
        ):
            return self.make(
                f"'{opening}' is never closed",
                place,
                wanted=f"'{close}'",
                hint=f"line {self.place.line} seems to be the next key",
            )
        if self.rest[:1] == ":" and re.search(r":\s", self.before):
            return self.make("a second ':'", hint="quote the text, or put braces around what belongs together")
        if self.rest[:1] == ",":
            return self.make("nothing stands before this ','", hint="leave one ',' out, or put a value before it")
        if re.match(r"\S", self.rest) and self.rest[:1] not in "-?:":
            return self.make(f"a ',' is missing before this, or a '{close}'", wanted=f"',' or '{close}'")
        return self.make(
            f"this cannot stand between '{opening}' and '{close}'",
            wanted=f"',' or '{close}'",
            hint=f"the '{opening}' is on line {place.line}",
        )

    def block(self) -> Problem:
        """Between the lines of a block."""
        if self.rest[:1] in ("]", "}"):
            return self.make(
                f"'{self.rest[0]}' closes nothing", hint="one bracket too many, or the opening one is missing"
            )
        hint = ""
        if self.quote is not None:
            hint = f"is the quote on line {self.quote.line} closed where it should be?"
        if self.rest[:1] == ":" and not self.before.strip(" -"):
            return self.make("a key is missing before ':'", wanted="key: value")
        if "document start" in self.said and not self.before.strip():
            return self.make(
                "the document is finished before this line",
                hint=hint or "leave '...' out, and begin the line where its neighbours begin",
            )
        if self.before.strip(" -"):
            return self.make(
                "the value is finished before this text",
                found=self.rest[:40],
                wanted="the end of the line",
                hint=hint or "quote the whole text",
            )
        if re.match(r"-(\s|$)", self.rest):
            return self.make(
                "a list entry stands among keys",
                wanted="key: value",
                hint=hint or "indent the list below its key, or give it a key",
            )
        if "'-' indicator" in self.said or "block collection" in self.context or "block sequence" in self.context:
            return self.make(
                "a list entry is wanted here",
                found=self.rest[:40],
                wanted="- …",
                hint=hint or "begin the line with '- ', indent it into the entry above, or end the list",
            )
        if "mapping" in self.context:
            return self.make(
                "this line's indentation fits no line above",
                hint=hint
                or f"begin it in column {self.context_place.column}, as line "
                f"{self.context_place.line} does, or indent it as its neighbours",
            )
        return self.make("this is not YAML here", found=self.rest[:40], hint=hint or self.said)
