"""Serves the page on the loopback addresses of this machine until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from nnspec.errors import Problem, ResourceError
from nnspec.view.board.app import app, need_extra
from nnspec.view.board.guard import Guard
from nnspec.view.board.own import Own
from nnspec.view.board.shelf import Shelf

if TYPE_CHECKING:
    from uvicorn import Server

TRIES = 20  # ports that are free on one of the addresses and not on the other


def listen(port: int) -> tuple[list[socket.socket], int]:
    """Sockets on 127.0.0.1 and, where there is one, on ::1, of one port; 0 takes a free one. Raises ResourceError."""
    for left in reversed(range(TRIES if port == 0 else 1)):
        try:
            first = _bound(socket.AF_INET, "127.0.0.1", port)
        except OSError as e:
            found = e.strerror or str(e)
            raise ResourceError(Problem(f"port {port} cannot be had", found=found, hint="without --port a free one is taken", rule="port")) from None
        number = first.getsockname()[1]
        try:
            return [first, _bound(socket.AF_INET6, "::1", number)], number
        except OSError:
            if not left or not _has_six():
                return [first], number
            first.close()
    raise AssertionError("the last try returns")


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _has_six() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    try:
        _bound(socket.AF_INET6, "::1", 0).close()
    except OSError:
        return False
    return True


def server(shelf: Shelf, port: int, own: Own | None = None) -> tuple[Server, Guard]:
    """A server for a port that is listened to. Raises MissingExtraError."""
    need_extra()
    import uvicorn

    guard = Guard(app(shelf, own), port)
    config = uvicorn.Config(
        guard, log_config=None, access_log=False, lifespan="off", ws="none", http="h11", loop="asyncio", server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=1, timeout_keep_alive=30, limit_concurrency=64,
    )  # fmt: skip
    return uvicorn.Server(config), guard


def serve(shelf: Shelf, port: int, ready: Callable[[Guard], None], own: Own | None = None) -> None:
    """Serves until the process is told to end; ``ready`` is called once addresses are listened to. Raises ResourceError, MissingExtraError."""
    need_extra()
    sockets, number = listen(port)
    running, guard = server(shelf, number, own)
    for held in sockets:
        held.listen(64)
    ready(guard)
    running.run(sockets=sockets)
