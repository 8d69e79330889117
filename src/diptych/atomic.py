"""Atomic writes: a file or a line appears whole or not at all."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``. At the end it is flushed to disk and renamed to ``path``.

    If anything fails, the temporary file is removed and ``path`` is unchanged. The temporary name does not contain the
    final name, which may already have the maximal length.

    Raises:
        OSError: the disk is full or read-only.
    """
    temporary = path.with_name(f".{_host()}-{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # safetensors creates files that only their owner may read
        _flush(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(path.parent)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files in ``folder`` of processes of this machine that were killed."""
    mine = re.compile(rf"\.{re.escape(_host())}-([0-9]+)-[0-9]+\.tmp")
    for file in folder.iterdir():
        if (match := mine.fullmatch(file.name)) and not _is_running(int(match[1])):
            file.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user, or no number of a process
    return True


def _host() -> str:
    """The name of this machine, short and without the characters that separate names."""
    return re.sub(r"\W", "", socket.gethostname())[:32]


def append_line(path: Path, line: str, *, flush: bool = False) -> None:
    """Appends ``line`` to the file ``path``, whole or not at all. ``flush`` waits until it is on the disk.

    A last line that a power failure cut off gets an end first.

    Raises:
        OSError: the disk is full or read-only.
    """
    with path.open("a+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1))
        is_cut_off = file.read(1) not in (b"", b"\n")
        try:
            file.write(b"\n" * is_cut_off + line.encode() + b"\n")
            file.flush()
            if flush:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _umask() -> int:
    """The umask of this process. Reading it requires setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
