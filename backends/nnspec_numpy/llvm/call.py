"""A compiled function over a table of addresses and numbers, bound once."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Any

PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # its calls let other threads run


class Call(partial[object]):
    """What compiled code can call as well: the address of a ``function``, and of the ``table`` that it takes."""

    function: int
    table: int
    keep: list[Any]  # whose memory the addresses are of


def call(function: int, table: int, *keep: Any) -> Call:
    """A call of a function, which keeps what its addresses lead to."""
    made = Call(_callable(function), ctypes.c_void_p(table))
    made.function, made.table, made.keep = function, table, list(keep)
    return made


def _callable(function: int) -> Any:
    return PROTOTYPE(function)
