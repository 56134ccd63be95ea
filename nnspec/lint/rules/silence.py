"""The rule about silences themselves."""

from __future__ import annotations

from collections.abc import Iterator

from nnspec.errors import Problem
from nnspec.lint.rule import Rule
from nnspec.lint.view import View


class IdleSilence(Rule, number=90, name="idle-silence"):
    """A comment silences a rule that nothing here breaks."""

    why = """
        A silence that outlives its mistake hides the next one. It is about its own line and what is indented below it; on a line of its
        own, about the line below; above the first key, about the whole file. (Not reported of a spec whose entries come and go by `when`.)
        """
    hint = "leave the comment out"
    bad = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: 3   # nnspec: NN003 it was there once   # <-
        """
    good = """
        nnspec: 1
        inputs: {features: {shape: [8]}}
        layers:
          - dense: {units: 3, activation: softmax}
          - softmax    # nnspec: NN003 as published
        """

    def find(self, view: View) -> Iterator[Problem]:
        return iter(())  # found once all others have been
