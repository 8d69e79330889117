"""A server of ``diptych serve`` in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diptych.serve.limits import Limits
from diptych.serve.models import load_models
from diptych.serve.server import application, listen, uvicorn_server

LIMITS = Limits(max_mb=2, max_megapixels=1, max_seconds=60, max_files=5, max_waiting=64, keep_minutes=10)


@contextmanager
def serving(paths: list[Path], limits: Limits = LIMITS) -> Iterator[str]:
    """The address of a server for the models in ``paths``, without a slash at its end."""
    catalogue = load_models(
        paths, device="cpu", precision="fp32", engine="torch", trust_code=False, report=lambda _: None
    )
    listener = listen("127.0.0.1", 0)
    with application(catalogue, limits) as app:
        server = uvicorn_server(app)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
