"""What a rule is: one class with its number, its page, two example specs, and how it looks for what it warns of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from textwrap import dedent
from typing import ClassVar, Literal

from nnspec.errors import Edit, Place, Problem
from nnspec.lint.view import View

MARK = "# <-"  # stands in the bad example at the end of the line that is reported


class Rule(ABC):
    """A rule; its docstring's first line is its summary, a sentence.

    ``why`` says what goes wrong, with the source where there is one; ``bad`` and ``good`` are whole specs, of which the first is reported
    on the line that is marked, and the second not at all. A rule of severity ``error`` is found while a spec is built.
    """

    registry: ClassVar[dict[str, type[Rule]]] = {}
    number: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Literal["error", "warning"]] = "warning"
    why: ClassVar[str]
    hint: ClassVar[str]
    fixes: ClassVar[bool] = False  # whether ``check --fix`` mends it
    bad: ClassVar[str]
    good: ClassVar[str]

    def __init_subclass__(cls, number: int = 0, name: str = "") -> None:
        super().__init_subclass__()
        if number:
            cls.number, cls.name = f"NN{number:03}", name
            cls.bad, cls.good = dedent(cls.bad).strip("\n") + "\n", dedent(cls.good).strip("\n") + "\n"
            assert cls.number not in Rule.registry, f"{cls.number} is taken"
            Rule.registry[cls.number] = cls

    @abstractmethod
    def find(self, view: View) -> Iterator[Problem]:
        """Every place of a spec where it is broken."""

    def at(self, place: Place, message: str, found: str = "", wanted: str = "", hint: str = "", edits: tuple[Edit, ...] = ()) -> Problem:
        """What it reports; the hint is the rule's own unless there is a better one. ``edits`` mend it, where that is beyond doubt."""
        return Problem(message, place, found=found, wanted=wanted, hint=hint or self.hint, rule=self.number, edits=edits)

    @classmethod
    def summary(cls) -> str:
        return (cls.__doc__ or "").split("\n")[0]

    @classmethod
    def page(cls) -> str:
        """The rule's page, as Markdown."""
        how = "An error: the spec is refused." if cls.severity == "error" else "A warning: `nnspec check --strict` fails on it."
        mends = " `nnspec check --fix` mends it." if cls.fixes else ""
        silence = "" if cls.severity == "error" else (
            f"\n\nWhere it is meant, the spec says so with a reason, on the line or on one of its own above it:\n\n```yaml\n"
            f"# nnspec: {cls.number} why it is meant here\n```")  # fmt: skip
        parts = {"Why": dedent(cls.why).strip(), "Instead": f"{cls.hint[:1].upper()}{cls.hint[1:]}.", "Reported": f"```yaml\n{cls.bad}```",
                 "Not reported": f"```yaml\n{cls.good}```{silence}"}  # fmt: skip
        body = "\n\n".join(f"## {head}\n\n{text}" for head, text in parts.items())
        return f"# {cls.number} {cls.name}\n\n{cls.summary()}\n\n{how}{mends}\n\n{body}\n"
