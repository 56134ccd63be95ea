"""``ignore`` of a loss, once it is known what classes there are: which number it has, and whether the output has a unit for it."""

from __future__ import annotations

from nnspec.errors import Place, Problem, SpecError, nearest, one_of
from nnspec.ir.graph import Value
from nnspec.training.classification import Classification
from nnspec.training.void import Void

Classes = tuple[str, ...] | None


def void_of(loss: Classification, y: Value, classes: Classes, number: float | None, place: Place) -> tuple[Void, Classes]:
    """What is ignored, and the classes that are left to the output. Raises SpecError."""
    given = loss.ignore
    if number is not None:
        raise SpecError(Problem("'ignore' leaves everything out of a loss whose target is one number", place,
                                found=f"ignore: {given}, target: {number:g}", hint="leave 'ignore' out", rule="classes"))
    if classes is None:
        if isinstance(given, int):
            return Void(given), None
        raise SpecError(Problem(f"'ignore' names the class '{given}', and the target has no names for its classes", place,
                                wanted="the class's number", rule="classes"))
    name = str(given)
    if name not in classes:
        raise SpecError(Problem(f"'ignore' names '{name}', which is no class of the target", place, wanted=one_of(classes),
                                hint=nearest(name, classes), rule="classes"))
    if len(classes) < 3:
        raise SpecError(Problem(f"without '{name}' one class is left, and nothing to tell it from", place, found=f"classes {', '.join(classes)}",
                                wanted="at least two classes that count", rule="classes"))
    if loss.many(y) == len(classes):
        return Void(classes.index(name)), classes
    return Void(classes.index(name), unit=False), tuple(c for c in classes if c != name)
