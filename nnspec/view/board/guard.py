"""Who is answered: a browser on this machine that knows the key, on the address that was printed; and what every answer carries.

A page of somebody else's in the same browser can send requests to this port, and a name of theirs can be made to lead here (DNS
rebinding): so the request must name this host and port, and, where the browser says who asks, come from a page of ours. Other users
of the machine reach the port as well, with any header that they like: so every path begins with a key that was drawn at the start.
"""

from __future__ import annotations

from hmac import compare_digest
from secrets import token_urlsafe
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LONGEST = 8192  # characters of a path
POSTED, LARGEST = "api/own", 1 << 24  # the only address that anything is sent to: an image, kept in memory; and its bytes at most


class Guard:
    """Passes on what may pass, without the key; everything else is refused in a line."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.port = app, port
        self.key, self._once = token_urlsafe(24), token_urlsafe(24)
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"}
        if port == 80:
            self.hosts |= {"127.0.0.1", "localhost", "[::1]"}

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"http://127.0.0.1:{self.port}/{self.key}/"

    @property
    def once(self) -> str:
        """An address that leads there a single time: it may stand in a list of processes, as a browser's call does."""
        return f"http://127.0.0.1:{self.port}/once/{self._once}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*((n, v) for n, v in message.get("headers", ()) if n.decode("latin-1") not in HEADERS), *own]}
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await _say(sealed, *refused)
            return
        _, key, rest = scope["path"].split("/", 2) if scope["path"].count("/") > 1 else ("", "", "")
        if key == "once" and self._once and compare_digest(rest.encode("utf-8", "replace"), self._once.encode()):
            self._once = ""
            await _say(sealed, 303, "", {"location": f"/{self.key}/"})
        elif compare_digest(key.encode("utf-8", "replace"), self.key.encode()):
            await self.app({**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode(), "root_path": ""}, receive, sealed)
        else:
            await _say(sealed, 404, "There is nothing here. The address with its key was printed where nnspec view was started.")

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason for what may not pass."""
        named: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            named.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip().lower())
        if (hosts := named.get("host", [])) != hosts[:1] or not set(hosts) or not set(hosts) <= self.hosts:
            return 421, "This is not the address of this page."
        if any(origin not in {f"http://{host}" for host in hosts} for origin in named.get("origin", ())):
            return 403, "This page answers none but its own."
        opens = named.get("sec-fetch-mode") == ["navigate"] and named.get("sec-fetch-dest") == ["document"]
        if any(site not in ("same-origin", "none") for site in named.get("sec-fetch-site", ())) and not opens:
            return 403, "This page answers none but its own."
        if scope["method"] == "POST" and scope["path"].split("/", 2)[2:] == [POSTED]:
            return self._refused_image(named)
        if scope["method"] != "GET":
            return 405, "Nothing can be changed here."
        return (414, "The address is too long.") if len(scope["path"]) > LONGEST else None


    def _refused_image(self, named: dict[str, list[str]]) -> tuple[int, str] | None:
        """An image comes from a page of ours that says so, in one piece of a known length, as no form of another page can send it."""
        length = named.get("content-length", [])
        if len(named.get("origin", [])) != 1 or named.get("sec-fetch-site", ["same-origin"]) != ["same-origin"]:
            return 403, "This page answers none but its own."
        if named.get("content-type") != ["application/octet-stream"] or "content-encoding" in named:
            return 415, "An image is sent as application/octet-stream."
        if len(length) != 1 or not (length[0].isascii() and length[0].isdecimal()) or "transfer-encoding" in named:
            return 411, "How long it is must be said."
        if len(length[0]) > 9 or int(length[0]) > LARGEST:
            return 413, f"An image has at most {LARGEST >> 20} MiB."
        return None


async def _say(send: Send, status: int, text: str, more: dict[str, str] | None = None) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", **({"allow": "GET"} if status == 405 else {}), **(more or {})}
    body = f"{text}\n".encode()
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*named, (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
