"""Which names an entry can read: its own list first, then the lists around it, then the network's inputs; only backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nnspec.errors import Place, Problem, SpecError, nearest
from nnspec.network.graph import Port
from nnspec.records import dataclass, field
from nnspec.spec import meant


@dataclass(frozen=True)
class Ref:
    """What a name stands for: one or several ports, further outputs, and parameters that can be read."""

    ports: tuple[Port, ...]
    place: Place
    outputs: Mapping[str, Port] = field(default_factory=dict)
    explicit: bool = True
    path: str = ""  # the entry's own, which another may share


@dataclass
class Scope:
    """The names of one list. ``below`` are the names that stand in it but have not been reached."""

    parent: Scope | None = None
    names: dict[str, Ref] = field(default_factory=dict)
    below: dict[str, Place] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()  # the entries around this list, which no entry inside can read

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def define(self, name: str, ref: Ref) -> None:
        """Names an entry; an explicit name twice in sight is an error."""
        self.below.pop(name, None)
        for scope in self.chain():
            known = scope.names.get(name)
            if known is not None and (scope is self or (known.explicit and ref.explicit)):
                raise SpecError(Problem(f"the name '{name}' stands twice in sight", ref.place, found=f"first on line {known.place.line}",
                                        wanted="a name of its own", hint=f"call this one name: {name}_2", rule="repeated-name"))
        self.names[name] = ref

    def find(self, text: str, place: Place) -> tuple[Port, ...]:
        """The ports behind ``name`` or ``name.output``."""
        name, _, output = text.partition(".")
        for scope in self.chain():
            if name in scope.names:
                return self._output(scope.names[name], name, output, place)
        raise SpecError(self._missing(name, place, output))

    def one(self, text: str, place: Place, rows: bool = True) -> Port:
        """The one output behind a name: what ends a network or a block, or is measured; it has ``rows`` unless they are not asked for."""
        ports = self.find(text, place)
        if len(ports) > 1:
            ref = next(s.names[text] for s in self.chain() if text in s.names)
            wanted = " or ".join(f"{text}.{output}" for output in ref.outputs) or "the name of one of the layers inside, or merge them"
            raise SpecError(Problem(f"'{text}' has {len(ports)} outputs", place, wanted=wanted, rule="several-outputs"))
        if rows and not ports[0].batched:
            raise SpecError(Problem(f"'{text}' is a parameter", place, wanted="a layer or an input: what has rows", rule="inputs"))
        return ports[0]

    def entry(self, name: str, place: Place) -> Ref:
        """The entry of a name, whose weights another shares."""
        for scope in self.chain():
            if (ref := scope.names.get(name)) is not None:
                if not ref.path:
                    raise SpecError(Problem(f"'{name}' has no weights to share", place, wanted="an entry above this one", rule="share"))
                return ref
        raise SpecError(self._missing(name, place))

    def _output(self, ref: Ref, name: str, output: str, place: Place) -> tuple[Port, ...]:
        if not output:
            return ref.ports
        if output not in ref.outputs and ref.ports and all(p.type is None for p in ref.ports):
            return (Port(""),)  # it failed, and has been reported
        if output not in ref.outputs:
            known = list(ref.outputs)
            raise SpecError(Problem(f"'{name}' has no output called '{output}'", place, wanted=", ".join(known) or f"'{name}' alone",
                                    hint=nearest(output, known), rule="unknown-name"))
        return (ref.outputs[output],)

    def _missing(self, name: str, place: Place, output: str = "") -> Problem:
        for scope in self.chain():
            if name in scope.below:
                return Problem(f"'{name}' stands below: this would be a cycle", place, found=f"'{name}' on line {scope.below[name].line}",
                               wanted="a layer above this one", rule="cycle")
            if name in scope.unfinished:
                return Problem(f"'{name}' is around this layer: this would be a cycle", place, wanted="a layer above this one", rule="cycle")
        known = [n for scope in self.chain() for n in scope.names]
        return Problem(f"no layer or input in sight is called '{name}'", place, wanted=f"one of {', '.join(known[-8:])}" if known else "a name",
                       hint=(hint := nearest(name, known)), rule="unknown-name", edits=() if output else meant.of_name(name, known, place, hint))
