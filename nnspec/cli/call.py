"""One call of the command line: what was asked is done, what went wrong is said, and its exit status is given."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

import click

from nnspec.cli import INTERRUPTED
from nnspec.cli.commands import Commands
from nnspec.errors import NnspecError, Problem, ResourceError, printable

CLOSED, BUG = 141, 70
FULL = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM)


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 an expectation failed, 2 the spec or the call is wrong, 3 a data or model file is, "
    "4 stopped on numbers (NaN), 5 resources, 130 and 143 interrupted.",
)
@click.version_option(package_name="nnspec", message="nnspec %(version)s")
def nnspec() -> None:
    """Neural networks written in YAML: check, compile, train and use them.

    Start with `nnspec new mlp` and `nnspec run mlp.yaml`.
    """


def status(args: Sequence[str] | None = None) -> int:
    """The exit status of a call; what went wrong is on standard error."""
    try:
        return _called(args)
    except OSError as e:  # not even what is wrong could be written
        return CLOSED if isinstance(e, BrokenPipeError) else ResourceError.status
    except KeyboardInterrupt:  # while it was said
        return INTERRUPTED


def _called(args: Sequence[str] | None) -> int:
    try:
        code = nnspec.main(args=args, prog_name="nnspec", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as e:
        e.show(sys.stderr)
        return 2
    except NnspecError as e:
        return _refuse(e)
    except (click.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click makes the second of the first
        return CLOSED
    except MemoryError:
        return _refuse(ResourceError(Problem("out of memory", hint="a smaller batch_size, or a smaller network")))
    except OSError as e:
        return _refuse(_of_the_machine(e))
    except Exception as e:
        return _bug(e)


def _refuse(error: NnspecError) -> int:
    print(error.render(), file=sys.stderr)
    return error.status


def _of_the_machine(e: OSError) -> NnspecError:
    """What the system refused: a full disk is a matter of resources, any other file one of the call."""
    what = f"{e.filename}: {e.strerror}" if e.filename else e.strerror or str(e)
    kind = ResourceError if e.errno in FULL else NnspecError
    return kind(Problem(what, hint="free some space" if e.errno == errno.ENOSPC else ""))


def _bug(e: Exception) -> int:
    if os.environ.get("NNSPEC_DEBUG"):
        raise e
    lines = str(e).splitlines() or [""]
    print(
        f"internal error: {type(e).__name__}: {printable(lines[0])[:300]}\n"
        "   this is a bug of nnspec: please report it with the spec and the command; NNSPEC_DEBUG=1 shows where it is",
        file=sys.stderr,
    )
    return BUG
