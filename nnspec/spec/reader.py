"""PyYAML's events become nodes; every problem on the way is collected, and nothing passes the limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from nnspec.errors import Place, Problem, Source, SpecError
from nnspec.records import dataclass, field
from nnspec.spec import edits, refused
from nnspec.spec.nodes import MOST_LEVELS, MOST_NODES, Mapping, Node, Scalar, Sequence, Value
from nnspec.spec.scalars import resolve
from nnspec.spec.syntax import at, explain
from nnspec.spec.torn import torn

MOST_PROBLEMS = 100
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What no spec needs: control characters, and line ends that editors do not show as such.
STRANGE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*[ \t]+)*(?=[^\s#])")


class Mark(NamedTuple):
    """An event of PyYAML by its offsets: ``Scalar``, ``Alias``, or where a ``Sequence`` or ``Mapping`` starts or ends."""

    kind: str
    start: int
    end: int
    style: str  # of a scalar: a quote, | or >; of what starts in brackets: flow
    value: str
    anchor: bool


def marks(text: str) -> Iterator[Mark]:
    """The events of a text; raises ValueError where it is not YAML."""
    try:
        e: Any
        for e in yaml.parse(text, Loader=LOADER):
            style = "flow" if getattr(e, "flow_style", False) and text[e.end_mark.index - 1 : e.end_mark.index] in ("[", "{") else ""
            yield Mark(type(e).__name__.removesuffix("Event"), e.start_mark.index, e.end_mark.index, getattr(e, "style", None) or style,
                       getattr(e, "value", ""), bool(getattr(e, "anchor", None)))  # fmt: skip
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


@dataclass(slots=True)
class _Key:
    text: str
    place: Place
    kept: bool
    spaced: bool = True  # not as in {a:1}


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come. ``size`` and ``height`` count what it holds, aliases replaced."""

    node: Sequence | Mapping
    anchor: str | None
    index: int
    size: int = 1
    height: int = 1
    key: _Key | None = None


@dataclass(slots=True)
class _Anchor:
    node: Node | None  # None while it is open
    size: int = 1
    height: int = 0


class _Full(Exception):  # a limit is passed: reading on makes no sense
    pass


@dataclass
class Reader:
    """Builds nodes from events, and collects problems on the way."""

    source: Source
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchor] = field(default_factory=dict)
    root: Node | None = None
    count: int = 0
    debris: int = 0  # up to this offset stands what is left of a torn formula
    quote: Place | None = None

    def document(self) -> Node:
        documents = 0
        try:
            for event in yaml.parse(self.source.text, Loader=LOADER):
                documents += isinstance(event, yaml.DocumentStartEvent)
                if documents > 1:
                    self.report(
                        "a second document begins", self.place(event), hint="a spec is one document: leave '---' out"
                    )
                    break
                self.take(event)
        except yaml.YAMLError as error:
            self.syntax(error)
        except _Full:
            pass
        if self.problems:
            raise SpecError(*self.problems)
        return self.root or Scalar(Place(self.source), None, "", False)

    def take(self, event: Any) -> None:
        """One event; keys, values and list entries all come through here."""
        if isinstance(event, yaml.DocumentStartEvent):
            for problem in refused.directives(event, self.place(event)):
                self.say(problem)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            self.close()
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self.open(event)

    def place(self, event: Any) -> Place:
        """Where a node's content begins: behind its anchor, where that is on the same line."""
        mark = event.start_mark
        column = mark.column
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            line = self.source.line(mark.line + 1)
            match = _PROPERTIES.match(line, column)
            column = match.end() if match else column
        return at(self.source, mark.line, column)

    def report(
        self,
        message: str,
        place: Place,
        index: int = -1,
        found: str = "",
        wanted: str = "",
        hint: str = "",
        rule: str = "yaml",
    ) -> None:
        self.say(Problem(message, place, found=found, wanted=wanted, hint=hint, rule=rule), index)

    def say(self, problem: Problem, index: int = -1) -> None:
        """A problem, unless it is of what is left of a torn formula."""
        if index < 0 or index >= self.debris:
            self.problems.append(problem)
        if len(self.problems) >= MOST_PROBLEMS:
            raise _Full

    def full(self, message: str, place: Place, wanted: str, hint: str = "") -> None:
        self.report(message, place, wanted=wanted, hint=hint, rule="too-large")
        raise _Full

    def scalar(self, event: Any) -> None:
        place, text, start = self.place(event), event.value, event.start_mark.index
        self.tag(event)
        quoted = event.style not in (None, "")
        if quoted and event.style in "'\"" and event.end_mark.line > event.start_mark.line:
            self.quote = place
        value: Value = text
        if event.style == '"' and (strange := STRANGE.search(text)):
            self.report(
                "a character that is not text",
                place,
                start,
                found=f"U+{ord(strange[0]):04X}",
                hint="leave the escape out",
                rule="character",
            )
        if not quoted:
            value = self.plain_value(text, place, start)
            if (
                "$" in text
                and start >= self.debris
                and (found := torn(self.source, place, start, event.end_mark.index, self.in_flow))
            ):
                self.say(found.problem)
                self.debris = found.end
        node = Scalar(place, value, text, quoted)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(node)
        self.add(node, 1, 0, start)

    def plain_value(self, text: str, place: Place, index: int) -> Value:
        try:
            return resolve(text)
        except ValueError as e:
            self.report(str(e), place, index, found=text[:40], hint="quote it if it is a text", rule="number")
            return text

    @property
    def in_flow(self) -> bool:
        return bool(self.stack) and self.stack[-1].node.flow

    def tag(self, event: Any) -> None:
        if event.tag is not None:
            self.say(refused.tag(self.source, event.start_mark), event.start_mark.index)

    def open(self, event: Any) -> None:
        place = self.place(event)
        self.tag(event)
        if len(self.stack) >= MOST_LEVELS:
            self.full("lists and mappings are nested too deeply", place, wanted=f"at most {MOST_LEVELS} levels")
        flow = (
            self.source.text[event.end_mark.index - 1 : event.end_mark.index] in ("[", "{")
            and event.flow_style
            or False
        )
        self.count_nodes(1, place)
        node = Sequence(place, [], flow) if isinstance(event, yaml.SequenceStartEvent) else Mapping(place, {}, {}, flow)
        if event.anchor:
            self.anchors[event.anchor] = _Anchor(None)
        self.stack.append(_Open(node, event.anchor, event.start_mark.index))

    def close(self) -> None:
        done = self.stack.pop()
        if done.anchor:
            self.anchors[done.anchor] = _Anchor(done.node, done.size, done.height)
        self.add(done.node, done.size, done.height, done.index, counted=True)

    def alias(self, event: Any) -> None:
        place, index = self.place(event), event.start_mark.index
        anchor = self.anchors.get(event.anchor)
        opens_key = bool(self.stack) and isinstance(self.stack[-1].node, Mapping) and self.stack[-1].key is None
        if anchor is None:
            self.say(refused.unknown_anchor(event.anchor, self.anchors, place), index)
        elif anchor.node is None:
            self.say(refused.endless_alias(event.anchor, place), index)
        elif opens_key:
            self.say(refused.alias_as_key(event.anchor, place), index)
        elif len(self.stack) + anchor.height > MOST_LEVELS:
            hint = f"count what '*{event.anchor}' stands for"
            self.full("lists and mappings are nested too deeply", place, wanted=f"at most {MOST_LEVELS} levels", hint=hint)
        else:
            self.add(anchor.node, anchor.size, anchor.height, index)
            return
        if opens_key:
            self.stack[-1].key = _Key("", place, False)
            return
        self.add(Scalar(place, None, "", False), 1, 0, index)

    def count_nodes(self, size: int, place: Place) -> None:
        self.count += size
        if self.count > MOST_NODES:
            self.full(
                "too many values",
                place,
                wanted=f"at most {MOST_NODES:,}, with every alias replaced by what it stands for",
                hint="keep data in files of its own",
            )

    def add(self, node: Node, size: int, height: int, index: int, counted: bool = False) -> None:
        """Puts a finished node where it belongs: the root, a list, a key or a value."""
        if not counted:
            self.count_nodes(size, node.place)
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += size
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self.key(node, parent.node, index)
        else:
            key, parent.key = parent.key, None
            if not key.spaced and isinstance(node, Scalar) and not node.text and not node.quoted:
                spaced = ": ".join(key.text.split(":", 1))
                mend = (edits.text(key.place, key.text, spaced),)
                self.say(Problem("a space is missing after ':'", key.place, found=key.text[:40], wanted=spaced[:40], rule="key", edits=mend))
            if key.kept:
                parent.node.pairs[key.text], parent.node.keys[key.text] = node, key.place

    def key(self, node: Node, parent: Mapping, index: int) -> _Key:
        """A key, kept if it is a word that has not been there."""
        problem = refused.key(node, parent)
        if problem is not None:
            self.say(problem, index)
        if not isinstance(node, Scalar):
            return _Key("", node.place, False)
        spaced = node.quoted or not parent.flow or re.match(r"[\w-]+:\S", node.text) is None
        return _Key(node.text, node.place, problem is None and index >= self.debris, spaced)

    def syntax(self, error: Exception) -> None:
        """Where YAML gives up; what follows from a torn formula is not told twice."""
        mark = getattr(error, "problem_mark", None)
        if self.debris and mark is not None and "\n" not in self.source.text[self.debris : mark.index].strip():
            return
        brackets = [o.node.place for o in self.stack if o.node.flow]
        self.problems.append(explain(error, self.source, brackets, self.quote))
