"""How wide a text is without asking a font, how one is made to fit, and how a stranger's is made safe."""

from __future__ import annotations

from unicodedata import east_asian_width

FONT = "Helvetica, Arial, 'Liberation Sans', Arimo, sans-serif"

# Advance widths in thousandths of the font size: Helvetica's, which Arial and Liberation Sans share.
_REGULAR = {
    191: "'", 222: "ijl", 260: "|", 278: " !,./:;I[\\]ft·", 333: "()-`r", 334: "{}", 355: '"', 389: "*", 469: "^",
    500: "Jckvsxyz", 556: "#$0123456789?L_abdeghnopqu", 584: "+<=>~×−", 611: "FTZ", 667: "&ABEKPSVXY", 722: "CDHNRUw",
    778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1000: "…", 1015: "@",
}  # fmt: skip
_BOLD = {
    238: "'", 278: " ,./I\\ijl·", 280: "|", 333: "!()-:;[]`ft", 389: "*r{}", 474: '"', 500: "z",
    556: "#$0123456789J_aceksvxy", 584: "+<=>^~×−", 611: "?FLTZbdghnopqu", 667: "EPSVXY", 722: "&ABCDHKNRU",
    778: "GOQw", 833: "M", 889: "%m", 944: "W", 975: "@", 1000: "…",
}  # fmt: skip
_WIDTHS = {bold: {letter: size for size, letters in table.items() for letter in letters} for bold, table in ((False, _REGULAR), (True, _BOLD))}
_NARROW, _SQUARE = 700, 1000  # letters that are not in the tables


def width(text: str, size: float, bold: bool = False) -> float:
    """The width of ``text`` in the units of ``size``; letters outside the tables are squares or two thirds of one."""
    table = _WIDTHS[bold]
    return sum(table.get(letter) or _unknown(letter) for letter in text) * size / 1000


def _unknown(letter: str) -> int:
    return _SQUARE if east_asian_width(letter) in "WFA" else _NARROW


def shorten(text: str, limit: float, size: float, bold: bool = False) -> str:
    """``text`` if it is at most ``limit`` wide, else with its middle replaced by an ellipsis so that it is."""
    if len(text) * size <= limit or (len(text) < 1000 and width(text, size, bold) <= limit):
        return text
    room = limit - width("…", size, bold)
    table, head, tail = _WIDTHS[bold], 0, 0
    while head + tail < len(text):
        from_head = head <= tail
        letter = text[head] if from_head else text[-1 - tail]
        room -= (table.get(letter) or _unknown(letter)) * size / 1000
        if room < 0:
            break
        head, tail = head + from_head, tail + (not from_head)
    return text[:head] + "…" + text[len(text) - tail :]


def clean(text: object, limit: int = 2000) -> str:
    """Text on one line without control, direction or unpaired characters, which pictures and terminals obey."""
    one_line = str(text)[: limit + 1].replace("\n", " ").replace("\t", " ")
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in one_line)
    return shown if len(shown) <= limit else shown[:limit] + "…"


def escape(text: object, limit: int = 2000) -> str:
    """``clean`` text as XML character data or as the inside of an attribute in double or single quotes."""
    safe = clean(text, limit)
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        safe = safe.replace(letter, entity)
    return safe
