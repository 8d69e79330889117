"""A lock on a run folder. The operating system releases it when the process ends, even after a crash."""

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
    """Context manager: no other process can lock ``folder``.

    Raises:
        RunError: another process holds the lock.
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
    """Takes the lock if it is free; returns whether it was free. Closing ``file`` releases it."""
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
