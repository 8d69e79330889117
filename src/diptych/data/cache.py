"""Decoded images kept for the next epoch: in memory while they fit, then in a temporary file."""

import shutil
import tempfile
import threading
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diptych.data.encoding import Array

MIN_FREE_BYTES = 4 * 2**30
"""Bytes of disk space left free for other files, such as checkpoints."""


class Slot(NamedTuple):
    """Where an image is stored in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class PictureCache:
    """Images ``(H, W, C)`` by index: in memory up to ``memory_bytes``, then on disk up to ``disk_bytes``.

    Nothing is evicted: every image is equally likely to be drawn next. The file in ``folder`` has no name, so the
    system removes it when the process ends, even if it is killed. An image that cannot be written or read back is
    decoded again: no error is raised, and no result depends on the cache.
    """

    def __init__(self, memory_bytes: int = 0, *, disk_bytes: int = 0, folder: Path | None = None) -> None:
        self.memory_left, self.disk_left, self.folder = memory_bytes, disk_bytes, folder
        self.in_memory: dict[int, Array] = {}
        self.on_disk: dict[int, Slot] = {}
        self.file: FileIO | None = None
        self.end = 0
        self.lock = threading.Lock()

    def get(self, index: int) -> Array | None:
        """The image stored as ``index``, or None."""
        if (stored := self.in_memory.get(index)) is not None:
            return stored
        slot = self.on_disk.get(index)
        return None if slot is None else self._read(slot)

    def put(self, index: int, values: Array) -> None:
        """Stores ``values`` as ``index`` if there is room, channels first in memory: batches are built faster."""
        with self.lock:
            if index in self.in_memory or index in self.on_disk:
                return
            if values.nbytes <= self.memory_left:
                self.memory_left -= values.nbytes
                self.in_memory[index] = np.ascontiguousarray(values.transpose(2, 0, 1)).transpose(1, 2, 0)
            elif values.nbytes <= self.disk_left and (slot := self._write(values)):
                self.disk_left -= values.nbytes
                self.on_disk[index] = slot

    def _write(self, values: Array) -> Slot | None:
        planes = np.ascontiguousarray(values.transpose(2, 0, 1))
        try:
            file = self._opened()
            if shutil.disk_usage(self.folder or ".").free < MIN_FREE_BYTES + planes.nbytes:
                return None
            file.seek(self.end)
            if file.write(planes.data) < planes.nbytes:
                return None
        except OSError:
            return None
        self.end += planes.nbytes
        return Slot(self.end - planes.nbytes, planes.shape, planes.dtype)

    def _opened(self) -> FileIO:
        if self.file is None:
            file = tempfile.TemporaryFile(buffering=0, dir=self.folder, prefix=".diptych-", suffix=".tmp")  # noqa: SIM115
            assert isinstance(file, FileIO)
            self.file = file
        return self.file

    def _read(self, slot: Slot) -> Array | None:
        planes: Array = np.empty(slot.shape, slot.dtype)
        try:
            with self.lock:
                assert self.file is not None
                self.file.seek(slot.offset)
                num_read = self.file.readinto(planes.data.cast("B"))
        except OSError:
            return None
        return planes.transpose(1, 2, 0) if num_read == planes.nbytes else None
