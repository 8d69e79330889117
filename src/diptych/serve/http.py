"""What guards the server: which addresses there are, how large and how slow a request may be, and uploads."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from diptych.serve.files import Store
from diptych.serve.limits import MB, Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
EXACT = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt", f"{API}/info", f"{API}/upload")
BELOW = ("/assets/", "/static/", "/svelte/", f"{API}/queue/", f"{API}/call/", f"{API}/file=", f"{API}/heartbeat/")
OTHERS = (f"{API}/startup-events", f"{API}/app_id", f"{API}/upload_progress", f"{API}/cancel", f"{API}/reset")
"""The addresses of Gradio that the page and its clients use. All others do not exist here: some of them fetch addresses
that a visitor names."""
MAX_PATH = 1000
"""Length of the longest path of a file. Those of the store are shorter."""
FORM_MB = 1
"""Size of a request without files, in millions of bytes."""
HEAD_SECONDS, SLOWEST_BYTES = 10.0, 50_000
"""How long the head of a request may take, and the fewest bytes per second of a body."""


class RequestLimits:
    """ASGI middleware that refuses requests to other addresses, larger ones, and those whose body comes too slowly.

    ``is_call`` says of an address and the JSON that is sent to it if Gradio can answer. Where it cannot, Gradio itself
    would print a traceback.
    """

    def __init__(self, app: App, limits: Limits, is_call: Callable[[str, Any], bool]) -> None:
        self.app, self.limits, self.is_call = app, limits, is_call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        path, is_upload = scope["path"], scope["path"].rstrip("/") == f"{API}/upload"
        if not is_open(path):
            await PlainTextResponse("not found", status_code=404)(scope, receive, send)
            return
        most = FORM_MB * MB + (self.limits.max_files * self.limits.max_bytes if is_upload else 0)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared) > most:
            await PlainTextResponse("the request is too large", status_code=413)(scope, receive, send)
            return
        receive = _bounded(receive, most)
        if scope["method"] == "POST" and not is_upload:
            body = await _body(receive)
            problem = "the request is cut off" if body is None else self.problem(path, body)
            if body is None or problem:
                await PlainTextResponse(problem, status_code=400)(scope, receive, send)
                return
            receive = _replayed(body, receive)
        await self.app(scope, receive, send)

    def problem(self, path: str, body: bytes) -> str:
        """What is wrong with JSON that is sent to ``path``; empty if nothing is."""
        try:
            value = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return "this is no JSON"
        if names_address(value):
            return "no such file"
        return "" if self.is_call(path, value) else "there is no such call, or its values are not those that it takes"


def is_open(path: str) -> bool:
    """Whether there is such an address."""
    if path.startswith(f"{API}/file=") and ":/" in path:
        return False
    return path.rstrip("/") in {each.rstrip("/") for each in (*EXACT, *OTHERS)} or path.startswith(BELOW)


def names_address(value: Any) -> bool:
    """Whether JSON has a file whose path is an address, which Gradio would fetch, or one that no file can have."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = str(value.get("path"))
            if "://" in path or "\0" in path or len(path) > MAX_PATH:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the sender stops, or sends too much or too slowly."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` that gives ``body`` first."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> MutableMapping[str, Any]:
        return waiting.pop() if waiting else await receive()

    return replayed


def _bounded(receive: Receive, most: int) -> Receive:
    """``receive`` that reports a disconnected client after ``most`` bytes, or if they come too slowly."""
    seen, started, ended = 0, asyncio.get_running_loop().time(), False

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal seen, ended
        if ended:  # waits for the end of the connection, which may take as long as the answer
            return await receive()
        patience = HEAD_SECONDS + seen / SLOWEST_BYTES - (asyncio.get_running_loop().time() - started)
        try:
            message = await asyncio.wait_for(receive(), max(0.1, patience))
        except TimeoutError:
            ended = True
            return {"type": "http.disconnect"}
        seen += len(message.get("body", b""))
        ended = message["type"] != "http.request" or not message.get("more_body", False)
        if seen > most:
            ended = True
            return {"type": "http.disconnect"}
        return message

    return bounded


class Protocol(H11Protocol):
    """Closes a connection on which the head of a request takes too long: uvicorn itself would wait for ever."""

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self.deadline is None:
            self.deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _cancel(self) -> None:
        if self.deadline:
            self.deadline.cancel()
            self.deadline = None


def upload_route(store: Store, limits: Limits) -> Callable[[Request], Awaitable[Any]]:
    """The address that takes files. Gradio's own gives equal files of two visitors one path."""

    async def upload(request: Request) -> Any:
        if store.num_bytes() > limits.max_stored_bytes:
            return PlainTextResponse("the server is full: try again in some minutes", status_code=503)
        try:
            async with request.form(max_files=limits.max_files, max_fields=2) as form:
                files = [each for each in form.getlist("files") if not isinstance(each, str)]
                if any((each.size or 0) > limits.max_bytes for each in files):
                    words = f"a file is larger than {limits.max_mb:g} MB: give a smaller file"
                    return PlainTextResponse(words, status_code=413)
                paths = []
                for each in files:
                    path = store.new_folder() / safe_name(each.filename or "")
                    path.write_bytes(await each.read())
                    paths.append(str(path))
                return JSONResponse(paths)
        except MultiPartException as error:
            return PlainTextResponse(error.message, status_code=400)

    return upload


async def upload_progress(_: Request) -> StreamingResponse:
    """Reports an upload as done, whenever the page asks for its progress."""
    return StreamingResponse(iter(['data: {"msg": "done"}\n\n']), media_type="text/event-stream")


def safe_name(name: str) -> str:
    """The last part of ``name``, without characters that have a meaning for a shell, a browser or a file system."""
    last = Path(name.replace("\\", "/")).name
    kept = "".join(letter if letter.isalnum() or letter in "-_. ()" else "_" for letter in last).strip(" .")
    stem, suffix = Path(kept).stem, Path(kept).suffix
    return f"{stem.encode()[:100].decode(errors='ignore') or 'picture'}{suffix[:12]}"
