"""Every rule by its number, in the order of the numbers; a family of them a file."""

from nnspec.lint.rule import Rule
from nnspec.lint.rules import (
           batches,
           data,
           dead,
           decay,
           division,
           layers,
           losses,
           optimizer,
           outputs,
           receptive,
           regular,
           rows,
           schedule,
           silence,
           spec,
           starts,
           windows,
)

RULES: dict[str, type[Rule]] = dict(sorted(Rule.registry.items()))

__all__ = ["RULES", "batches", "data", "dead", "decay", "division", "layers", "losses", "optimizer", "outputs", "receptive", "regular", "rows",
           "schedule", "silence", "spec", "starts", "windows"]  # fmt: skip
