"""The command ``nnspec``: one file a command, imported when it is called; only NnspecError reaches a user.

Nothing is imported before Ctrl-C is heard: at any moment from here on it ends the call with status 130 and no traceback.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn, TextIO

INTERRUPTED = 130


class Stopped(KeyboardInterrupt):
    """Ctrl-C. ``python -m`` ends by the signal, whatever status it is given, when a KeyboardInterrupt itself has left code that was
    compiled from text, even if it is caught: while a dataclass was made, say. Of its subclasses it knows nothing.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and leaves with its exit status."""
    code = INTERRUPTED
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored
            _on_interrupt(_stop)
        code = _run(args)
    except KeyboardInterrupt:
        _say("interrupted")
    finally:
        _on_interrupt(lambda *_: os._exit(code))  # all is done, but what is said may wait for whoever reads it
    for stream in (sys.stdout, sys.stderr):
        _drain(stream)
    atexit.register(_on_interrupt, signal.SIG_IGN)
    sys.exit(code)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _on_interrupt(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _say(text: str) -> None:
    from contextlib import suppress

    with suppress(OSError, KeyboardInterrupt):
        print(text, file=sys.stderr)


def _run(args: Sequence[str] | None) -> int:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever has called
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open until the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show does not stop it
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins takes a tenth of the time of a check
    gc.set_threshold(100_000)  # most of what a command makes stays: looking through it for garbage takes a fifth of the time of a check
    return status(args)


def status(args: Sequence[str] | None = None) -> int:
    """The exit status of a call; what went wrong is on standard error."""
    from nnspec.cli.call import status as called

    return called(args)


def _drain(stream: TextIO) -> None:
    """Writes what is left; where nobody reads it, or no room is for it, nothing more is said at the interpreter's end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
