"""Writes a translated volume as NIfTI, a slice at a time: with the affine and the header of its input."""

import gzip
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from diptych.atomic import atomic_write
from diptych.data.encoding import Array, Encoding
from diptych.data.formats.nifti import Volume, turned_back
from diptych.data.volumes import suffix_of

MIN_LEVELS = 2**12
"""A slope is kept if it stores all integers, or at least this many levels in the range of the translation."""


class VolumeWriter:
    """The translation of ``volume`` in values of ``encoding``. A context manager; ``save`` writes it to ``target``.

    The stored type, slope and intercept are those of the input if they hold all values of ``encoding``. Otherwise the
    values are stored as they are. Slices wait in an unnamed temporary file beside ``target``.
    """

    def __init__(self, volume: Volume, encoding: Encoding, target: Path) -> None:
        self.volume, self.target, self.header = volume, target, volume.header.copy()
        self.is_kept = _holds(volume, encoding)
        self.slope, self.intercept = (volume.slope, volume.intercept) if self.is_kept else (1.0, 0.0)
        if not self.is_kept:
            self.header.set_data_dtype(np.dtype(encoding.dtype))
            self.header["cal_min"] = self.header["cal_max"] = 0  # the window for showing the input's values
        self.header.set_data_shape(volume.shape)
        self.header["vox_offset"] = 0
        if (self.slope, self.intercept) != (1, 0):
            self.header.set_slope_inter(self.slope, self.intercept)
        self.file = tempfile.TemporaryFile(dir=target.parent, prefix=".")  # noqa: SIM115
        self.header.write_to(self.file)
        self.dtype = self.header.get_data_dtype()
        self.offset = int(self.header["vox_offset"])
        self.file.truncate(self.offset + int(np.prod(volume.shape)) * self.dtype.itemsize)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def write(self, axis: int, index: int, values: Array) -> None:
        """Writes slice ``index`` across ``axis``: ``(H, W)``, turned as ``Volume.slab`` returns it."""
        stored: Any = turned_back(values)
        if self.is_kept and self.volume.is_scaled:
            stored = (stored.astype(np.float64) - self.intercept) / self.slope
            stored = np.rint(stored) if self.dtype.kind in "iu" else stored
        mapped: Any = np.memmap(self.file, self.dtype, "r+", self.offset, self.volume.shape, "F")
        cut = [slice(None)] * 3
        cut[axis] = slice(index, index + 1)
        mapped[tuple(cut)] = np.expand_dims(stored, axis)
        mapped.flush()

    def save(self) -> None:
        """Writes the file, packed if its name ends in ``.gz``; atomically.

        Raises:
            OSError: the disk is full or not writable.
        """
        self.file.seek(0)
        is_packed = suffix_of(self.target) == ".nii.gz"
        with (
            atomic_write(self.target) as temporary,
            gzip.open(temporary, "wb", 6) if is_packed else temporary.open("wb") as file,
        ):
            shutil.copyfileobj(self.file, file, 2**20)


def _holds(volume: Volume, encoding: Encoding) -> bool:
    """Whether the stored type, slope and intercept of ``volume`` hold the values of ``encoding``."""
    is_whole, was_whole = (np.dtype(dtype).kind in "iu" for dtype in (encoding.dtype, volume.dtype))
    if is_whole != was_whole:
        return False
    if volume.stored.kind == "f":
        return encoding.dtype == volume.dtype
    kind = np.iinfo(volume.stored)
    ends = sorted((limit - volume.intercept) / volume.slope for limit in encoding.limits)
    is_fine = (is_whole and abs(volume.slope) <= 1) or ends[1] - ends[0] >= MIN_LEVELS
    return is_fine and kind.min <= ends[0] and ends[1] <= kind.max
