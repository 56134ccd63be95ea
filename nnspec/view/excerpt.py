"""Which lines of a YAML text an entry takes, from where it begins."""

from __future__ import annotations

from collections.abc import Sequence


def last_line(lines: Sequence[str], line: int, column: int) -> int:
    """The number of the last line of the entry that begins at a line and column, which count from 1.

    Within brackets an entry ends before the comma or bracket that follows it, else before the next line that is
    indented no deeper than its dash.
    """
    if not 0 < line <= len(lines):
        return line
    before = lines[line - 1][: column - 1]
    if before.strip(" -"):
        return _in_brackets(lines, line, column)
    least = column - 1 if "-" in before else column  # of an item of a list its further keys stand as far right as the first
    last = line
    for number in range(line + 1, len(lines) + 1):
        text = lines[number - 1].lstrip(" ")
        deep = len(lines[number - 1]) - len(text) >= least
        if text and not deep and not text.startswith("#"):
            break
        if text and deep:
            last = number
    return last


def _in_brackets(lines: Sequence[str], line: int, column: int) -> int:
    depth, quote = 0, ""
    for number in range(line, len(lines) + 1):
        previous = " "
        for letter in lines[number - 1][column - 1 if number == line else 0 :]:
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "\"'" and previous in " [{,:":
                quote = letter
            elif letter == "#" and previous == " ":
                break
            elif letter in "[{":
                depth += 1
            elif letter in "]}," and not depth:
                return number
            elif letter in "]}":
                depth -= 1
            previous = letter
    return line
