"""The files of a server: uploads and answers, each in a folder of its own with a name that nobody guesses."""

import math
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SWEEP_SECONDS, MEASURE_SECONDS = 30.0, 2.0
EXAMPLES = "examples"


class Store:
    """A folder of the server that holds all uploads and answers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.examples = root / EXAMPLES
        self.examples.mkdir()
        self._num_bytes, self._measured_at = 0, -math.inf

    def new_folder(self) -> Path:
        """An empty folder."""
        folder = self.root / secrets.token_urlsafe(24)
        folder.mkdir()
        return folder

    def upload(self, name: object) -> Path | None:
        """The upload with the path ``name``; None if there is no such upload."""
        try:
            path = Path(str(name)).resolve()
            is_upload = path.parent.parent == self.root and path.parent != self.examples and path.is_file()
        except (OSError, ValueError):  # a name that no file can have
            return None
        return path if is_upload else None

    def forget(self, path: Path) -> None:
        """Removes the upload ``path``."""
        shutil.rmtree(path.parent, ignore_errors=True)

    def num_bytes(self) -> int:
        """The size of all files, at most two seconds ago."""
        now = time.monotonic()
        if now - self._measured_at > MEASURE_SECONDS:
            self._num_bytes, self._measured_at = self._measure(), now
        return self._num_bytes

    def _measure(self) -> int:
        sizes = []
        for folder, _, names in os.walk(self.root):  # ignores folders that are removed meanwhile
            for name in names:
                with suppress(OSError):
                    sizes.append((Path(folder) / name).stat().st_size)
        return sum(sizes)

    def sweep(self, older_than: float) -> None:
        """Removes what was written ``older_than`` seconds ago: answers, and uploads that were never translated."""
        for folder in self.root.iterdir():
            with suppress(OSError):  # removed meanwhile
                if folder != self.examples and time.time() - folder.stat().st_mtime > older_than:
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_store(keep_seconds: float) -> Iterator[Store]:
    """A store that is swept while it is open, and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="diptych-serve-", ignore_cleanup_errors=True) as folder:
        store, stopped = Store(Path(folder).resolve()), threading.Event()

        def sweep() -> None:
            while not stopped.wait(min(SWEEP_SECONDS, keep_seconds)):
                store.sweep(keep_seconds)

        sweeper = threading.Thread(target=sweep, name="diptych-sweep", daemon=True)
        sweeper.start()
        try:
            yield store
        finally:
            stopped.set()
            sweeper.join()
