"""Numbers as a person says them: 1.2 M parameters, 3.4 GFLOP, 12 MiB."""

from __future__ import annotations

_THOUSANDS = ("", "k", "M", "G", "T", "P", "E")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def count(number: object) -> str:
    """``1234567`` -> ``1.23 M``; below a thousand the number itself. What is no number is said as it is."""
    mantissa, prefix = _scale(number, 1000, _THOUSANDS)
    return f"{mantissa} {prefix}".strip()


def flops(number: object) -> str:
    """``3400000000`` -> ``3.4 GFLOP``."""
    mantissa, prefix = _scale(number, 1000, _THOUSANDS)
    return f"{mantissa} {prefix}FLOP"


def memory(number: object) -> str:
    """``12582912`` bytes -> ``12 MiB``."""
    return " ".join(_scale(number, 1024, _BINARY))


def _scale(number: object, base: int, prefixes: tuple[str, ...]) -> tuple[str, str]:
    if not isinstance(number, int | float) or number != number:
        return str(number), prefixes[0]
    level, divisor = 0, 1
    while level + 1 < len(prefixes) and abs(number) >= divisor * base:
        level, divisor = level + 1, divisor * base
    mantissa = number / divisor
    if level and round(mantissa) >= base and level + 1 < len(prefixes):  # 999,999 is 1 M, not 1000 k
        level, mantissa = level + 1, mantissa / base
    digits = f"{mantissa:.0f}" if abs(mantissa) >= 100 or isinstance(number, int) and level == 0 else f"{mantissa:.3g}"
    return digits, prefixes[level]
