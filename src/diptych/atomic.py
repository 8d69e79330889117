"""Atomic writes: a file appears whole or not at all."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``. At the end it is flushed to disk and renamed to ``path``.

    If anything fails, the temporary file is removed and ``path`` is unchanged. The temporary name does not contain the
    final name, which may already have the maximal length.
    """
    temporary = path.with_name(f".{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # safetensors creates files that only their owner may read
        _flush(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(path.parent)


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
