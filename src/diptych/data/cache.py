"""Decoded pictures kept for the next epoch: in memory while they fit, then in a file that ends with its process."""

import shutil
import tempfile
import threading
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diptych.data.image import Array

KEPT_FREE = 4 * 2**30
"""Bytes of the disk that are left to others, such as the run's checkpoints."""


class Place(NamedTuple):
    """Where a picture stands in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class PictureCache:
    """Pictures ``(H, W, C)`` by index: in memory up to ``memory_bytes``, then on disk up to ``disk_bytes``.

    What was kept stays: each picture is as likely as any other to come next, so that nothing is gained by making room.
    The file in ``folder`` has no name; the system removes it when the process ends, however it ends. A picture that
    cannot be written or read back is decoded again: nothing is raised, and nothing depends on what is kept.
    """

    def __init__(self, memory_bytes: int = 0, *, disk_bytes: int = 0, folder: Path | None = None) -> None:
        self.memory_room, self.disk_room, self.folder = memory_bytes, disk_bytes, folder
        self.in_memory: dict[int, Array] = {}
        self.on_disk: dict[int, Place] = {}
        self.file: FileIO | None = None
        self.end = 0
        self.lock = threading.Lock()

    def get(self, index: int) -> Array | None:
        """The picture kept as ``index``, or None."""
        if (kept := self.in_memory.get(index)) is not None:
            return kept
        place = self.on_disk.get(index)
        return None if place is None else self._read(place)

    def put(self, index: int, values: Array) -> None:
        """Keeps ``values`` as ``index``, where there is room.

        Colours are kept one after the other and not side by side, as networks take them: crops are then cheap.
        """
        with self.lock:
            if index in self.in_memory or index in self.on_disk:
                return
            if values.nbytes <= self.memory_room:
                self.memory_room -= values.nbytes
                self.in_memory[index] = np.ascontiguousarray(values.transpose(2, 0, 1)).transpose(1, 2, 0)
            elif values.nbytes <= self.disk_room and (place := self._write(values)):
                self.disk_room -= values.nbytes
                self.on_disk[index] = place

    def _write(self, values: Array) -> Place | None:
        planes = np.ascontiguousarray(values.transpose(2, 0, 1))
        try:
            file = self._opened()
            if shutil.disk_usage(self.folder or ".").free < KEPT_FREE + planes.nbytes:
                return None
            file.seek(self.end)
            if file.write(planes.data) < planes.nbytes:
                return None
        except OSError:
            return None
        self.end += planes.nbytes
        return Place(self.end - planes.nbytes, planes.shape, planes.dtype)

    def _opened(self) -> FileIO:
        if self.file is None:
            made = tempfile.TemporaryFile(buffering=0, dir=self.folder, prefix=".diptych-", suffix=".tmp")  # noqa: SIM115
            assert isinstance(made, FileIO)
            self.file = made
        return self.file

    def _read(self, place: Place) -> Array | None:
        planes: Array = np.empty(place.shape, place.dtype)
        try:
            with self.lock:
                assert self.file is not None
                self.file.seek(place.offset)
                num_read = self.file.readinto(planes.data.cast("B"))
        except OSError:
            return None
        return planes.transpose(1, 2, 0) if num_read == planes.nbytes else None
