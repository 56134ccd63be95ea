"""The addresses of the page and what each answers: files of the page by a table, and what runs tell as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files as packaged
from typing import TYPE_CHECKING, Any

from nnspec.errors import MissingExtraError, NnspecError, Problem, printable
from nnspec.view.board.answers import Answers, NoRun
from nnspec.view.board.guard import POSTED
from nnspec.view.board.history import AXES
from nnspec.view.board.looks import LOOKS
from nnspec.view.board.own import Own
from nnspec.view.board.shelf import Shelf

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

INSTALL = "pip install 'nnspec[view]'"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
PLACES = {"page": "board/page", "vendor/uplot": "vendor/uplot", "picture": "page"}  # addresses, and folders below nnspec/view
MOST_RUNS = 64  # over each other
LONGEST_TEXT = 2000  # letters of a name
SLOWEST = 30.0  # seconds that an image may take to come


class Wrong(Exception):
    """A request that asks for what is not there: a status and a reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def need_extra() -> None:
    """Raises MissingExtraError where what serves pages is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtraError(Problem("pages are served with Starlette and uvicorn, which are not installed", hint=INSTALL)) from None


def pages() -> dict[str, tuple[bytes, str]]:
    """Every file of the page by its address, with its type: nothing else is ever sent from a disk."""
    found = {}
    for address, folder in PLACES.items():
        place = packaged("nnspec.view").joinpath(*folder.split("/"))
        for entry in place.iterdir() if place.is_dir() else ():
            kind = KINDS.get("." + entry.name.rpartition(".")[2])
            if kind is not None and entry.is_file():
                found[f"{address}/{entry.name}"] = entry.read_bytes(), kind
    return found


def app(shelf: Shelf, own: Own | None = None) -> Starlette:
    """The application over a shelf of runs, and rows of a person's own. Raises MissingExtraError."""
    need_extra()
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    held, answers = pages(), Answers(shelf, own or Own())

    def page(request: Request) -> Response:
        name = request.path_params.get("name") or "page/index.html"
        if name not in held:
            return _json({"error": "there is no such page"}, 404)
        content, kind = held[name]
        return Response(content, media_type=f"{kind}; charset=utf-8")

    def told(answer: Callable[[Answers, Asked], Any]) -> Callable[[Request], Response]:
        return lambda request: _answered(answers, answer, request)

    async def take(request: Request) -> Response:
        return await _taken(answers.own, request)

    return Starlette(
        routes=[
            Route("/", page),
            Route(f"/{POSTED}", take, methods=["POST"]),
            *(Route(f"/api/{name}", told(answer)) for name, answer in ADDRESSES.items()),
            Route("/{name:path}", page),
        ]
    )


class Asked:
    """A request's run and its values, each checked as it is asked for."""

    def __init__(self, request: Request) -> None:
        self._path, self._query = request.path_params, request.query_params
        self.seen = request.headers.get("if-none-match", "").strip('"')

    @property
    def run(self) -> str:
        return str(self._path["run"])

    def text(self, name: str) -> str:
        return self._query.get(name, "")[:LONGEST_TEXT]

    def words(self, name: str) -> list[str]:
        return [word for word in self._query.get(name, "").split(",") if word][:MOST_RUNS]

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        value = self._query.get(name, known[0])
        if value not in known:
            raise Wrong(400, f"'{name}' is one of {', '.join(known)}")
        return value

    def number(self, name: str, default: float) -> float:
        try:
            value = float(self._query.get(name) or default)
        except ValueError:
            value = math.nan
        if value != value:
            raise Wrong(400, f"'{name}' is a number")
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.number(name, default)
        if not low <= value <= high or value != int(value):
            raise Wrong(400, f"'{name}' is a whole number from {low} to {high}")
        return int(value)


def _curves(answers: Answers, asked: Asked) -> Any:
    span = asked.number("from", -math.inf), asked.number("to", math.inf)
    return answers.curves(asked.words("runs"), asked.words("seen"), asked.one_of("by", AXES), asked.whole("points", 1000, 16, 8000), span)


ADDRESSES: dict[str, Callable[[Answers, Asked], Any]] = {
    "runs": lambda answers, asked: answers.runs(),
    "curves": _curves,
    "compare": lambda answers, asked: answers.compare(asked.words("runs")),
    "run/{run}": lambda answers, asked: answers.run(asked.run),
    "run/{run}/network": lambda answers, asked: answers.network(asked.run),
    "run/{run}/taps": lambda answers, asked: answers.taps(asked.run, asked),
    **{f"run/{{run}}/{name}": partial(lambda name, answers, asked: answers.look(asked.run, name, asked), name) for name in LOOKS},
}


def _answered(answers: Answers, answer: Callable[[Answers, Asked], Any], request: Request) -> Response:
    """An answer as JSON, with a mark by which an equal one is not sent again; what goes wrong is said in a line."""
    from hashlib import sha256

    from starlette.responses import Response

    asked = Asked(request)
    try:
        body = _text(answer(answers, asked)).encode()
    except NoRun:
        return _json({"error": "there is no such run"}, 404)
    except Wrong as e:
        return _json({"error": e.reason}, e.status)
    except NnspecError as e:
        return _json({"error": e.render()[:4000]}, 422)
    except Exception as e:  # a bug, or a folder that changes under us: the page says so and goes on
        print(f"nnspec view: {printable(request.url.path.rpartition('/api/')[2])}: {type(e).__name__}: {printable(str(e))[:300]}", file=sys.stderr)
        return _json({"error": f"this cannot be shown: {type(e).__name__}"}, 500)
    mark = sha256(body).hexdigest()[:20]
    if asked.seen == mark:
        return Response(status_code=304, headers={"etag": f'"{mark}"'})
    return Response(body, media_type="application/json", headers={"etag": f'"{mark}"'})


async def _taken(own: Own, request: Request) -> Response:
    """Keeps an image that was chosen in the page; the guard has seen to who sends it, and how long it is."""
    import asyncio

    from starlette.requests import ClientDisconnect

    try:
        data = await asyncio.wait_for(request.body(), SLOWEST)
        own.add(request.query_params.get("name", ""), data)
    except TimeoutError:
        return _json({"error": "the image did not come in time"}, 408)
    except ClientDisconnect:
        return _json({"error": "the image did not come whole"}, 400)
    except NnspecError as e:
        return _json({"error": e.render()[:4000]}, 422)
    return _json({"version": own.version}, 200)


def _json(content: Mapping[str, Any], status: int) -> Response:
    from starlette.responses import Response

    return Response(_text(content), status, media_type="application/json")


def _text(content: Any) -> str:
    """JSON that every parser reads: what is not finite is null, lone surrogates are escaped."""
    try:
        return json.dumps(content, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(content), allow_nan=False, separators=(",", ":"))


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(k): _finite(v) for k, v in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(v) for v in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
