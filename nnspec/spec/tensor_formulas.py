"""Formulas over tensors: which parts of the grammar they have, their functions, and the names that they read."""

from __future__ import annotations

from nnspec.errors import Place, Problem, SpecError, nearest
from nnspec.records import dataclass
from nnspec.spec import expressions as e
from nnspec.spec.arithmetic import FUNCTIONS as HOST
from nnspec.spec.expressions import Expression, children
from nnspec.spec.grammar import parse, within


@dataclass(frozen=True)
class Function:
    """How many tensors a function takes, and the keys it has."""

    least: int
    most: int
    example: str
    keys: tuple[str, ...] = ()


FUNCTIONS: dict[str, Function] = {
    **{name: Function(1, 1, f"{name}(x)") for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "cosh", "sigmoid", "erf", "abs", "sign")},
    **{name: Function(2, 16, f"{name}(a, b)") for name in ("minimum", "maximum")},
    "where": Function(3, 3, "where(condition, a, b)"),
    **{name: Function(1, 1, f"{name}(x), or {name}(x, axis=0)", ("axis", "keep")) for name in ("sum", "mean", "max", "min")},
}


def read(text: str, place: Place) -> Expression:
    """The tree of a formula over tensors; raises SpecError where the grammar, a function or its arguments do not fit."""
    tree = parse(text, place)
    problems: list[Problem] = []

    def visit(part: Expression, axes: bool) -> None:
        fault = _fault(part, axes)
        if fault is not None:
            message, wanted, hint = fault
            found = text if len(text) <= 80 else text[:77] + "…"
            problems.append(Problem(message, within(place, text, part.at), found=found, wanted=wanted, hint=hint, rule="formula"))
            return
        keyed = [value for _, value in part.keywords] if isinstance(part, e.Call) else []
        if isinstance(part, e.Attribute) and name_of(part):
            return
        for child in children(part):
            visit(child, axes or child in keyed)

    visit(tree, False)
    if not problems and not names_of(tree):
        problems.append(Problem("the formula reads no input", place, found=text[:80], wanted="x, or a name in sight", rule="formula"))
    if problems:
        raise SpecError(*problems)
    return tree


def _fault(part: Expression, axes: bool) -> tuple[str, str, str] | None:
    """What is wrong with one part: message, what is wanted, hint."""
    match part:
        case e.String():
            return "a text in a formula over tensors", "numbers and names", ""
        case e.Constant(value=None):
            return "'null' in a formula over tensors", "numbers and names", ""
        case e.ListLiteral() if not axes:
            return "a list in a formula over tensors", "numbers and names", "lists stand after axis= alone; constant holds several numbers"
        case e.Index():
            return "'[…]' in a formula over tensors", "numbers, names and functions", "slice and gather take parts of a tensor"
        case e.Attribute() if not name_of(part):
            return "'.' in a formula over tensors", "the name of an output: top_k_1.indices", ""
        case e.Call():
            return _call_fault(part)
    return None


def _call_fault(part: e.Call) -> tuple[str, str, str] | None:
    name = part.function
    known = FUNCTIONS.get(name)
    if known is None:
        where = f"'{name}' works on numbers, inside $(…)" if name in HOST else ""
        return f"there is no function '{name}' over tensors", f"one of {', '.join(FUNCTIONS)}", nearest(name, FUNCTIONS) or where
    given = len(part.arguments)
    if not known.least <= given <= known.most:
        hint = {"max": "maximum(a, b) compares two", "min": "minimum(a, b) compares two", "minimum": "min(x) goes along axes",
                "maximum": "max(x) goes along axes"}.get(name, "")
        return f"'{name}' takes {known.least} value{'s' if known.least > 1 else ''} and got {given}", known.example, hint
    wrong = [key for key, _ in part.keywords if key not in known.keys]
    if wrong:
        hint = nearest(wrong[0], known.keys) or {"keepdims": "in nnspec this is 'keep'", "dim": "in nnspec this is 'axis'"}.get(wrong[0], "")
        return f"'{name}' takes no '{wrong[0]}='", known.example, hint
    if len({key for key, _ in part.keywords}) < len(part.keywords):
        return f"a key of '{name}' stands twice", known.example, ""
    return None


def name_of(part: Expression) -> str:
    """``a`` or ``a.output``; nothing where the part is no name."""
    if isinstance(part, e.Name):
        return part.name
    if isinstance(part, e.Attribute) and isinstance(part.of, e.Name):
        return f"{part.of.name}.{part.name}"
    return ""


def names_of(tree: Expression) -> dict[str, int]:
    """The names that a formula reads, in the order in which they stand, and where each first does."""
    found: dict[str, int] = {}

    def visit(part: Expression) -> None:
        name = name_of(part)
        if name:
            at = part.of.at if isinstance(part, e.Attribute) else part.at
            found[name] = min(at, found.get(name, at))
            return
        for child in children(part):
            visit(child)

    visit(tree)
    return dict(sorted(found.items(), key=lambda item: item[1]))
