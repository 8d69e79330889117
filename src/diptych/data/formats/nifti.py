"""NIfTI volumes, a slice at a time, in the units of the header's slope and intercept. Needs the extra ``nifti``.

Source: the NIfTI-1 standard (nifti1.h), fields scl_slope and scl_inter.
"""

import gzip
import io
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from PIL import Image

from diptych.config import ValueType
from diptych.data.archive import open_file, size_and_time
from diptych.data.encoding import TYPES, Array
from diptych.data.formats.pillow import MAX_PIXELS
from diptych.data.image import DecodedImage
from diptych.data.volumes import SlicePath, Slices, file_of, slice_path
from diptych.errors import MissingExtraError, PictureError

KEPT_BYTES = 2**27
"""The last few compressed volumes are kept unpacked up to this size: reading a slice unpacks all that is before it."""
GZIP = b"\x1f\x8b"
SIZES_OF_NIFTI_2 = (540, int.from_bytes((540).to_bytes(4, "big"), "little"))
"""The first number of a file of NIFTI-2: the size of its header, in both orders of bytes."""


def require_nifti() -> None:
    """Raises ``MissingExtraError`` without nibabel."""
    if find_spec("nibabel") is None:
        raise MissingExtraError("reading and writing NIfTI", "nifti")


class Volume:
    """An open volume of three axes, whose voxels are not read yet.

    Raises:
        PictureError: it has other axes, or a type that diptych does not use.
        DecompressionBombError: a slice is too large.
        Exception: nibabel raises many types of error on damaged files.
    """

    def __init__(self, path: Path) -> None:
        require_nifti()
        loaded = _loaded(path)
        self.path, self.header, self.array = path, loaded.header, loaded.dataobj
        shape = tuple(int(n) for n in loaded.shape)
        self.shape = shape[:3]
        """Voxels along i, j and k."""
        stored = self.header.get_data_dtype()
        if len(shape) < 3 or any(n != 1 for n in shape[3:]) or not np.prod(shape):
            listed = " × ".join(map(str, shape))
            problem = f"{path} is a volume of {listed}, not of three axes"
            raise PictureError(problem, cure="split it, for example with nibabel.four_to_three")
        if stored.newbyteorder("=").name not in TYPES:
            raise PictureError(f"{path} holds {stored.name}", cure=f"save it as {', '.join(TYPES)}")
        if math.prod(sorted(self.shape)[1:]) > MAX_PIXELS:
            raise Image.DecompressionBombError
        self.stored = stored
        self.slope, self.intercept = float(self.array.slope), float(self.array.inter)
        """A value is the stored number times the slope plus the intercept."""

    @property
    def is_scaled(self) -> bool:
        return (self.slope, self.intercept) != (1, 0)

    @property
    def dtype(self) -> ValueType:
        """The smallest type that holds the values: the stored one if they are not scaled."""
        if not self.is_scaled:
            return cast(ValueType, self.stored.newbyteorder("=").name)
        if self.stored.kind != "f" and not self.slope % 1 and not self.intercept % 1:
            kind = np.iinfo(self.stored)
            ends = [limit * self.slope + self.intercept for limit in (kind.min, kind.max)]
            types: tuple[ValueType, ...] = ("uint8", "int8", "uint16", "int16", "int32")
            fits = (name for name in types if np.iinfo(name).min <= min(ends) <= max(ends) <= np.iinfo(name).max)
            return next(fits, "float64")
        return "float64" if self.stored.itemsize > 4 else "float32"

    def slab(self, axis: int, start: int, stop: int) -> Array:
        """``(H, W, C)``: the slices from ``start`` to ``stop``, each turned so that j goes up and i to the right, if k
        is the axis across them."""
        cut = [slice(None)] * 3
        cut[axis] = slice(start, stop)
        extra = (0,) * (len(self.array.shape) - 3)
        values = np.asarray(self.array[(*cut, *extra)])
        values = np.rint(values) if np.dtype(self.dtype).kind in "iu" and values.dtype.kind == "f" else values
        return turned(np.moveaxis(values, axis, 2)).astype(self.dtype)

    def picture(self, slices: Slices, index: int) -> Array:
        """``(H, W, C)``: slice ``index`` and its neighbours; outside of the volume, the first or the last one."""
        reach, last = slices.number // 2, self.shape[slices.axis] - 1
        start, stop = max(0, index - reach), min(last, index + reach) + 1
        slab = self.slab(slices.axis, start, stop)
        return slab[:, :, [min(max(n, 0), last) - start for n in range(index - reach, index + reach + 1)]]


def turned(values: Array) -> Array:
    """``(X, Y, C)`` of a volume as rows and columns of a picture."""
    return np.rot90(values)


def turned_back(values: Array) -> Array:
    """The inverse of ``turned``."""
    return np.rot90(values, -1)


def _loaded(path: Path) -> Any:
    """The image of nibabel, which reads voxels when they are asked for."""
    import nibabel

    with open_file(path) as file:
        head = file.read(4)
    is_packed = head.startswith(GZIP)
    if path.is_file() and not is_packed:
        return nibabel.load(path)
    stream: Any = io.BytesIO(kept) if (kept := _kept(path, *size_and_time(path))) else _unpacked(path)
    is_second = int.from_bytes(stream.read(4), "little") in SIZES_OF_NIFTI_2
    stream.seek(0)
    return (nibabel.Nifti2Image if is_second else nibabel.Nifti1Image).from_stream(stream)


@lru_cache(maxsize=4)
def _kept(path: Path, size: int, changed: int) -> bytes | None:
    """The content, unpacked; None if it is large."""
    del size, changed  # part of the cache key
    with _content(path) as file:
        content = file.read(KEPT_BYTES + 1)
    return content if len(content) <= KEPT_BYTES else None


def _unpacked(path: Path) -> Any:
    """The content in a temporary file without a name."""
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    with _content(path) as file:
        shutil.copyfileobj(file, unpacked, 2**20)
    unpacked.seek(0)
    return unpacked


@contextmanager
def _content(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked if it is packed."""
    with open_file(path) as file:
        is_packed = file.read(2) == GZIP
    with open_file(path) as file:
        yield cast(IO[bytes], gzip.GzipFile(fileobj=file) if is_packed else file)


@contextmanager
def open_slice(path: Path) -> Iterator["NiftiSlice"]:
    """Opens the slice ``path``. Raises what ``Volume`` raises; ``open_picture`` converts it."""
    found, volume = slice_path(path), Volume(file_of(path))
    if found is None:
        raise PictureError(f"{path} is a volume, whose slices are pictures", cure="train on it, or translate it")
    yield NiftiSlice(volume, found)


class NiftiSlice:
    """A slice of a volume, with its neighbours as channels.

    Raises:
        PictureError: the volume has no such slice.
    """

    can_be_reduced, orientation, num_frames, mode = False, 1, 1, "L"

    def __init__(self, volume: Volume, path: SlicePath) -> None:
        self.volume, self.path = volume, path
        if path.at >= (number := volume.shape[path.slices.axis]):
            raise PictureError(f"{path.volume} has {number} slices, and no slice {path.at}", cure="name another")

    @property
    def channels(self) -> int:
        """The number of slices."""
        return self.path.slices.number

    @property
    def dtype(self) -> ValueType:
        """The type of the values."""
        return self.volume.dtype

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        width, height = (n for axis, n in enumerate(self.volume.shape) if axis != self.path.slices.axis)
        return width, height

    def decode(
        self, target: tuple[int, int] | None = None, *, columns: int = 1, bands: int | None = None
    ) -> DecodedImage:
        """The values; the arguments do nothing."""
        del target, columns, bands
        return DecodedImage(self.volume.picture(self.path.slices, self.path.at)).with_missing()
