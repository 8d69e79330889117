"""A lock on a run folder. The operating system releases it when the process ends, even after a crash."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diptych.errors import RunError, os_problem, path_cure

NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Context manager: no other process can lock ``folder``.

    Raises:
        RunError: another process holds the lock, or the disk cannot lock files.
    """
    with (folder / NAME).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # closing the file releases it
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise RunError(f"{folder} is being trained by {owner}", cure="wait for it, or give another --run") from None
        except OSError as error:
            raise RunError(f"{folder} cannot be locked ({os_problem(error)})", cure=path_cure(error)) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
