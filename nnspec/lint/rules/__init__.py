"""Every rule by its number, in the order of the numbers; a family of them a file."""

from nnspec.lint.rule import Rule
from nnspec.lint.rules import layers, losses, outputs, silence

RULES: dict[str, type[Rule]] = dict(sorted(Rule.registry.items()))

__all__ = ["RULES", "layers", "losses", "outputs", "silence"]
