"""A lock of the operating system's on a folder: it dies with its process, so none is ever left behind."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from diptych.errors import RunError

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While this lasts, no other process enters it for ``folder``.

    Raises:
        RunError: another process is in it.
    """
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        if not _take(file):
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunError(f"{folder} is being trained by {owner}", cure="wait for it, or give another --run")
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _take(file: TextIO) -> bool:
    """Whether the lock was free; it is held until ``file`` is closed, by whatever means."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(1 << 30)  # a byte beyond the text, so that the text stays readable
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
