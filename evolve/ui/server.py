"""The explorer's server: one page, its data, and requests to a run.

Loopback by default, where it only reads. Bound elsewhere, or allowed to control, it wants the token that it
printed, in a header, so that no other site's form or script can speak for the reader. A name in the Host
header that is not this machine's is refused: such a page would have rebound its own name to this address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from importlib.resources import files as resource
from threading import Thread
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evolve.types import BadInput, EvolveError, Json
from evolve.ui.control import leave
from evolve.ui.following import Followed, Runs

AHEAD = 8  # runs that are read before anybody asks
LOOK_EVERY_SECONDS = 0.6
PING_EVERY_SECONDS = 15.0
MOST_BYTES = 64_000  # of a request
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Who may ask what; and the headers of every answer."""

    def __init__(self, app: ASGIApp, names: frozenset[str], token: str | None) -> None:
        self._app, self._names, self._token = app, names, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        refused = self._refusal(scope["path"], scope["method"], Headers(scope=scope))
        await (self._app if refused is None else refused)(scope, receive, sending)

    def _refusal(self, path: str, method: str, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not self._ours(host):
            return said(403, "this server answers to its own names only, not to the one in the Host header")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return said(403, "requests of other sites are refused")
        if self._token is not None and path.startswith("/api/"):
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), self._token.encode()):
                return said(401, "a token is needed: open the address that evolve ui has printed")
        return None

    def _ours(self, host: str) -> bool:
        """An address, which nobody can rebind, or a name of this machine."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self._names
        return True


def said(status: int, error: str) -> Response:
    """An answer that says what is wrong."""
    return _json({"error": error}, status)


def _json(value: Json, status: int = 200) -> Response:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(text, status, media_type="application/json")


def explorer(runs: Runs, control: bool, stopping: Callable[[], bool]) -> FastAPI:
    """The application; `stopping`: whether streams must end, because the server does."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    static = resource("evolve.ui") / "static"
    page = (static / "index.html").read_bytes()
    app.mount("/static", StaticFiles(directory=str(static)))

    @app.exception_handler(EvolveError)
    def complain(request: Request, error: EvolveError) -> Response:
        return said(400 if isinstance(error, BadInput) else 503, str(error))

    def of(key: str) -> Followed:
        found = runs.get(key)
        if found is None:
            raise BadInput("run", "one that this explorer shows", repr(key)[:80])
        return found

    @app.get("/")
    def index() -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    @app.get("/api/runs")
    def listed() -> Response:
        return _json({"runs": [each.listed() for each in runs.all()], "control": control})

    @app.get("/api/runs/{key}")
    def whole(key: str) -> Response:
        run = of(key)
        run.look()
        return _json(run.told())

    @app.get("/api/runs/{key}/follow")
    async def follow(key: str, rows: int, epoch: int) -> Response:
        stream = _news(await run_in_threadpool(of, key), rows, epoch, stopping)
        return StreamingResponse(stream, media_type="text/event-stream")

    @app.get("/api/runs/{key}/variants/{id}")
    def variant(key: str, id: str) -> Response:
        return _json(of(key).variant(id))

    @app.get("/api/runs/{key}/variants/{id}/files.zip")
    def files(key: str, id: str) -> Response:
        return Response(of(key).zipped(id), media_type="application/zip")

    @app.get("/api/runs/{key}/duels/{number}")
    def duel(key: str, number: int) -> Response:
        with of(key).opened() as (_, view):
            found = view.duel(number)
        return said(404, f"duel {number}: there is none") if found is None else _json(found)

    @app.get("/api/runs/{key}/heat")
    def heat(key: str) -> Response:
        with of(key).opened() as (_, view):
            return _json(view.heat())

    @app.get("/api/runs/{key}/plane")
    def plane(key: str) -> Response:
        with of(key).opened() as (_, view):
            return _json(view.plane())

    @app.post("/api/runs/{key}/control")
    async def ask(key: str, request: Request) -> Response:
        if not control:
            return said(403, "this explorer only looks; evolve ui --allow-control would do more")
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return said(415, "a request is JSON")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return said(413, f"a request of more than {MOST_BYTES:,} bytes")
        try:
            value = json.loads(body)
        except ValueError as error:
            return said(400, f"request: expected JSON, got {error}")
        return _json({"says": await run_in_threadpool(leave, of(key), value)})

    return app


async def _news(run: Followed, rows: int, epoch: int, stopping: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: what is new of a run, whenever there is something."""
    known: tuple[Any, ...] = ()
    quiet = 0.0
    yield ": here\n\n"
    while not stopping():
        events = await run_in_threadpool(run.look)
        now = (run.epoch, events, run.live, run.trouble)
        if now != known:
            known = now
            if run.trouble is not None:
                yield _event({"error": run.trouble})
            else:
                reset = run.epoch != epoch
                told = await run_in_threadpool(run.told, 0 if reset else rows)
                epoch = told["epoch"]
                rows = (0 if reset else rows) + len(told["rows"].get("id", ()))
                yield _event({**told, "reset": reset})
            quiet = 0.0
        elif quiet > PING_EVERY_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        quiet += LOOK_EVERY_SECONDS


def _event(value: Json) -> str:
    return f"data: {json.dumps(value, allow_nan=False, separators=(',', ':'))}\n\n"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket; without a port, the usual one or any that is free. Raises BadInput where taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for wanted in (port,) if port is not None else (USUAL_PORT, 0):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, wanted))
            listening.listen(128)  # whoever reads the address may come before the server runs
            return listening
        except OSError as error:
            listening.close()
            complaint = error
    raise BadInput("--port" if port else "--host", "an address that is free", f"{host}: {complaint.strerror}")


USUAL_PORT = 8730


def serve(runs: Runs, host: str, port: int | None, control: bool, tell: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; `tell` hears the address to open."""
    listening = bind(host, port)
    token = None if is_loopback(host) and not control else secrets.token_urlsafe(24)
    names = frozenset({"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()})
    config = uvicorn.Config(
        app=lambda: None,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    server = uvicorn.Server(config)
    config.app = Guard(explorer(runs, control, lambda: server.should_exit), names, token)
    # whoever opens the page should not wait for runs to be read
    Thread(target=lambda: [run.look() for run in runs.all()[:AHEAD]], daemon=True).start()
    shown = f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1"}.get(host, host)
    tell(f"http://{shown}:{listening.getsockname()[1]}/" + (f"#token={token}" if token else ""))
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
        runs.close()
