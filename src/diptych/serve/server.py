"""The server: Gradio's page behind limits of requests, on uvicorn."""

import errno
import os
import signal
import socket
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import files
from typing import Any

import uvicorn
from fastapi import FastAPI

from diptych.errors import OptionError, os_problem
from diptych.serve.files import open_store
from diptych.serve.http import API, Protocol, RequestLimits, upload_progress, upload_route
from diptych.serve.limits import Limits
from diptych.serve.models import Catalogue

CONNECTIONS = 512
"""The most connections at the same time. Each open page has two or three."""
OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "64",
}
"""Gradio's settings: it asks nothing of other machines, and remembers the duration of few requests."""

CONTRAST = {
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "body_text_color_subdued": "*neutral_500",
}
"""Colours of the theme with more contrast than Gradio's: WCAG asks for 4.5 to 1."""


@contextmanager
def application(catalogue: Catalogue, limits: Limits) -> Iterator[Any]:
    """The page as an ASGI application. All files of visitors are removed at the end."""
    with open_store(60 * limits.keep_minutes) as store, _environment(OFFLINE | {"GRADIO_TEMP_DIR": str(store.root)}):
        import gradio as gr

        from diptych.serve.app import build
        from diptych.serve.calls import is_call

        app = FastAPI(openapi_url=None)
        app.add_api_route(f"{API}/upload", upload_route(store, limits), methods=["POST"])
        app.add_api_route(f"{API}/upload_progress", upload_progress, methods=["GET"])
        blocks = build(catalogue, limits, store)
        gr.mount_gradio_app(
            app, blocks, "/",
            theme=gr.themes.Base(
                font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"], primary_hue="blue"
            ).set(**CONTRAST),
            css=files("diptych.serve").joinpath("style.css").read_text(encoding="utf-8"),
            footer_links=["api"], run_history=False, ssr_mode=False, mcp_server=False, max_file_size=limits.max_bytes,
            allowed_paths=[], show_error=False, enable_monitoring=False, pwa=False,
        )  # fmt: skip
        yield RequestLimits(app, limits, partial(is_call, blocks))


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets variables of the environment, which Gradio reads, and restores them at the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def serve(
    catalogue: Catalogue, limits: Limits, *, host: str, port: int, open_browser: bool, report: Callable[[str], None]
) -> None:
    """Serves until it is stopped by Ctrl-C or SIGTERM. ``report`` gets the address when it answers.

    Raises:
        OptionError: the port is taken, or there is no such address.
    """
    with application(catalogue, limits) as app:
        listener = listen(host, port)
        shown = "localhost" if host in ("127.0.0.1", "::1") else host
        address = f"http://{shown}:{listener.getsockname()[1]}"
        report(f"open {address} in a browser; Ctrl-C ends it")
        if open_browser:
            webbrowser.open(address)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # uvicorn sends itself the signal again at the end
        with suppress(KeyboardInterrupt):
            uvicorn_server(app).run([listener])


def uvicorn_server(app: Any) -> uvicorn.Server:
    """The server for ``app``. Its sockets are those that its ``run`` gets."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        http=Protocol,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
        server_header=False,
        access_log=False,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Port 0 is any that is free.

    Raises:
        OptionError: the port is taken, or there is no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        cure = "give another --port" if error.errno == errno.EADDRINUSE else "give another --host"
        raise OptionError(f"port {port} of {host} cannot be used ({os_problem(error)})", cure=cure) from None
    return listener
