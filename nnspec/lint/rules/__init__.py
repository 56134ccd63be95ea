"""Every rule by its number, in the order of the numbers; a family of them a file."""

from nnspec.lint.rule import Rule
from nnspec.lint.rules import data, dead, decay, layers, losses, optimizer, outputs, receptive, regular, rows, schedule, silence, spec, windows

RULES: dict[str, type[Rule]] = dict(sorted(Rule.registry.items()))

__all__ = ["RULES", "data", "dead", "decay", "layers", "losses", "optimizer", "outputs", "receptive", "regular", "rows", "schedule", "silence",
           "spec", "windows"]  # fmt: skip
