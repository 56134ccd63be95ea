"""Which columns each augmentation of a spec changes, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from nnspec.data.augment import Crop, Mixup
from nnspec.data.column import Augmented, Column
from nnspec.data.section import Section, find
from nnspec.errors import Problem, nearest, one_of


def augmentations(section: Section, columns: Mapping[str, Column], targets: tuple[str, ...]) -> tuple[Augmented, ...]:
    """The steps in order, each with its images, and the masks that move along. Adds what is wrong to the section."""
    images = [name for name, column in columns.items() if column.kind == "image"]
    steps = []
    for position, (step, node) in enumerate(section.augment):
        last = position == len(section.augment) - 1
        if isinstance(step, Mixup):
            if not last:
                section.wrong.append(Problem("mixup comes last", node.place, hint="move it to the end of augment", rule="bad-value"))
            if step.columns is not None:
                section.wrong.append(Problem("mixup works on all inputs", node.place, hint="leave columns out", rule="bad-value"))
            classes = [n for n, c in columns.items() if c.classes is not None and c.dtype == "int64" and n not in (*targets, *_aside(section))]
            if classes:
                what = f"mixup cannot mix the classes of column '{classes[0]}'"
                hint = f"prepare: [one_hot: {classes[0]}]"
                section.wrong.append(Problem(what, node.place, found=columns[classes[0]].kind, hint=hint, rule="bad-value"))
            steps.append(Augmented(step, (), (), f"data/augment/{position}"))
            continue
        names = (step.columns,) if isinstance(step.columns, str) else step.columns or tuple(images)
        if not names:
            section.wrong.append(Problem(f"{step.kind} works on images, and the data has none", node.place, found=_kinds(columns),
                                         wanted="a column of shape height x width x channels", rule="bad-value"))  # fmt: skip
        good = []
        for name in names:
            if name not in columns:
                section.wrong.append(Problem(f"{step.kind} wants the column '{name}', which the data does not have", find(node, name),
                                             wanted=one_of(columns), hint=nearest(name, columns), rule="unknown-column"))  # fmt: skip
            elif columns[name].kind != "image":
                section.wrong.append(Problem(f"{step.kind} works on images, and column '{name}' is none", find(node, name),
                                             found=columns[name].kind, wanted=one_of(images) if images else "images", rule="bad-value"))  # fmt: skip
            else:
                good.append(name)
                h, w = columns[name].shape[:2]
                if isinstance(step, Crop) and step.size and (step.size[0] > h + 2 * step.padding or step.size[1] > w + 2 * step.padding):
                    section.wrong.append(Problem(f"a window of {step.size[0]} x {step.size[1]} does not fit column '{name}'", node.place,
                                                 found=f"images of {h} x {w} with padding {step.padding}",
                                                 wanted="a smaller size", rule="bad-value"))  # fmt: skip
        sizes = {columns[name].shape[:2] for name in good}
        masks = tuple(n for n, c in columns.items() if step.moves and c.dtype == "int64" and c.shape in sizes)
        other = next((n for n, c in columns.items() if step.moves and c.dtype == "int64" and len(c.shape) == 2 and n not in masks), None)
        if other is not None and good:
            section.wrong.append(Problem(f"{step.kind} moves images, and the mask '{other}' has another size", node.place,
                                         found=f"{_size(columns[other])}, images {_size(columns[good[0]])}",
                                         wanted="equal height and width", rule="bad-value"))  # fmt: skip
        steps.append(Augmented(step, tuple(good), masks, f"data/augment/{position}"))
    return tuple(steps)


def _aside(section: Section) -> tuple[str | None, ...]:
    return (section.split.order, section.split.group) if section.split else ()


def _kinds(columns: Mapping[str, Column]) -> str:
    return ", ".join(f"{c.name}: {c.kind}" for c in list(columns.values())[:6])


def _size(column: Column) -> str:
    return " x ".join(map(str, column.shape[:2]))


def balanced(section: Section, columns: Mapping[str, Column], targets: tuple[str, ...]) -> str | None:
    """The column whose classes are drawn equally often. Adds what is wrong to the section."""
    given = section.loading.balance
    if given is False:
        return None
    classes = [name for name in targets if columns[name].kind == "category"]
    node = section.node
    place = find(node, "balance") if given is True else find(node, str(given))
    if given is True and len(classes) == 1:
        return classes[0]
    if given is True:
        section.wrong.append(Problem("balance wants a target of classes, and there is " + ("none" if not classes else "more than one"), place,
                                     found=_kinds(columns), wanted="balance: COLUMN", rule="bad-value"))  # fmt: skip
        return None
    column = columns.get(str(given))
    if column is None:
        section.wrong.append(Problem(f"balance wants the column '{given}', which the data does not have", place, wanted=one_of(columns),
                                     hint=nearest(str(given), columns), rule="unknown-column"))  # fmt: skip
    elif column.classes is None or column.kind not in ("category", "one_hot"):
        section.wrong.append(Problem(f"balance wants a category, and column '{given}' is none", place, found=column.kind,
                                     hint=f"columns: {{{given}: category}}" if column.kind == "number" else "", rule="bad-value"))  # fmt: skip
    return str(given)
