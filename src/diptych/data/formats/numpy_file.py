"""NumPy arrays in files (.npy): values of any type that diptych uses, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from diptych.config import ValueType
from diptych.data.archive import readable
from diptych.data.encoding import TYPES, Array
from diptych.data.formats.pillow import MAX_PIXELS
from diptych.data.image import DecodedImage
from diptych.errors import PictureError

MAX_CHANNELS = 64
"""A larger last dimension is probably a width: the channels come first, or the array is something else."""


@contextmanager
def open_numpy(path: Path) -> Iterator["NumpyFile"]:
    """Opens ``path``. Raises what ``NumpyFile`` raises, and errors of NumPy; ``open_picture`` converts them."""
    source = readable(path)
    with nullcontext() if isinstance(source, Path) else source:
        yield NumpyFile(path, np.load(source, mmap_mode="r" if isinstance(source, Path) else None, allow_pickle=False))


class NumpyFile:
    """An array ``(H, W)`` or ``(H, W, C)``, which may be mapped into memory and not read yet.

    Raises:
        PictureError: it has another shape, or a type that diptych does not use.
        DecompressionBombError: it is too large.
    """

    can_be_reduced, orientation, num_frames, mode = False, 1, 1, "L"

    def __init__(self, path: Path, values: Array) -> None:
        is_flat = values.ndim == 2
        shape = " × ".join(map(str, values.shape))
        if (not is_flat and (values.ndim != 3 or values.shape[2] > MAX_CHANNELS)) or not values.size:
            problem = f"{path} is an array of {shape or 'one number'}, not of height × width × channels"
            raise PictureError(problem, cure="save it as (H, W) or (H, W, C), with np.moveaxis if C comes first")
        if values.dtype.name not in TYPES:
            raise PictureError(f"{path} holds {values.dtype}", cure=f"save it as {', '.join(TYPES)}")
        if values.shape[0] * values.shape[1] > MAX_PIXELS:
            raise Image.DecompressionBombError
        self.values: Array = values[:, :, None] if is_flat else values

    @property
    def channels(self) -> int:
        """The number of channels."""
        return int(self.values.shape[2])

    @property
    def dtype(self) -> ValueType:
        """The type of the values."""
        return cast(ValueType, self.values.dtype.name)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return int(self.values.shape[1]), int(self.values.shape[0])

    def decode(
        self, target: tuple[int, int] | None = None, *, columns: int = 1, bands: int | None = None
    ) -> DecodedImage:
        """The values; the arguments do nothing."""
        del target, columns, bands
        native = np.array(self.values, self.values.dtype.newbyteorder("="), order="C", subok=False)
        return DecodedImage(native).with_missing()


def write_numpy(path: Path, image: DecodedImage) -> None:
    """Writes the values of ``image``, ``(H, W)`` if there is one channel.

    Raises:
        OSError: it cannot be written.
    """
    values = image.values
    with path.open("wb") as file:
        np.save(file, values[:, :, 0] if values.shape[2] == 1 else values, allow_pickle=False)
