"""Writes pyramidal TIFF and OME-TIFF from a raw file, a row of tiles at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffWriter

from diptych.atomic import atomic_write
from diptych.data.encoding import GREY, Array

TILE = 512
SMALLEST = 1024
"""Levels are added until both sides are at most this."""


@dataclass(frozen=True)
class RawImage:
    """``(H, W, C)`` in a file, read and written by areas. No memory is mapped between two calls."""

    path: Path
    shape: tuple[int, int, int]
    dtype: str

    def create(self) -> None:
        """Makes the file: zeros, which take no space yet."""
        with self.path.open("wb") as file:
            file.truncate(int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize)

    def read(self, rows: slice, columns: slice) -> Array:
        """A copy of an area."""
        return np.array(self._mapped("r")[rows, columns])

    def write(self, rows: slice, columns: slice, values: Array) -> None:
        """Replaces an area."""
        mapped = self._mapped("r+")
        mapped[rows, columns] = values
        mapped.flush()

    def _mapped(self, mode: Any) -> Any:
        return np.memmap(self.path, self.dtype, mode, shape=self.shape)


def write_pyramid(path: Path, base: RawImage, *, mpp: float | None) -> None:
    """Writes ``base`` as tiled BigTIFF with halved resolutions; OME-TIFF if ``path`` ends in ``.ome.tif`` or
    ``.ome.tiff``. Atomically. ``mpp``: micrometres per pixel.

    Raises:
        OSError: the disk is full or not writable; ``path`` is unchanged.
    """
    is_ome, num_levels = ".ome" in path.suffixes[-2:-1], 0
    while max(base.shape[:2]) >> num_levels > SMALLEST:
        num_levels += 1
    scale: dict[str, Any] = {}
    if mpp:
        scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    physical = {"PhysicalSizeX": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": mpp, "PhysicalSizeYUnit": "µm"}
    metadata = {"axes": "YXS" if base.shape[2] > 1 else "YX", **(physical if mpp else {})} if is_ome else None
    with atomic_write(path) as temporary, TiffWriter(temporary, bigtiff=True, ome=is_ome) as writer:
        _write_level(writer, base, subifds=num_levels, metadata=metadata, **scale)
        level = base
        for number in range(num_levels):
            finer, level = level, _halved(level, path.with_name(f".{path.name}.level{number + 1}"))
            if finer is not base:
                finer.path.unlink()
            _write_level(writer, level, subfiletype=1, metadata=None)
        if level is not base:
            level.path.unlink()


def _write_level(writer: TiffWriter, image: RawImage, **options: Any) -> None:
    height, width, channels = image.shape
    shape = (height, width, channels) if channels > GREY else (height, width)
    writer.write(
        _tiles(image),
        shape=shape,
        dtype=image.dtype,
        tile=(TILE, TILE),
        photometric="rgb" if channels > GREY else "minisblack",
        compression="adobe_deflate",
        predictor=True,
        **options,
    )


def _tiles(image: RawImage) -> Iterator[Array]:
    """Tiles of ``TILE`` pixels, row by row, padded with zeros."""
    height, width, channels = image.shape
    for top in range(0, height, TILE):
        band = image.read(slice(top, min(top + TILE, height)), slice(0, width))
        for left in range(0, width, TILE):
            tile = np.zeros((TILE, TILE, channels), image.dtype)
            part = band[:, left : left + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile if channels > GREY else tile[:, :, 0]


def _halved(image: RawImage, path: Path) -> RawImage:
    """The mean of each 2×2 pixels, in a new file."""
    height, width, channels = (image.shape[0] // 2, image.shape[1] // 2, image.shape[2])
    half = RawImage(path, (height, width, channels), image.dtype)
    half.create()
    for top in range(0, height, TILE):
        bottom = min(top + TILE, height)
        band = image.read(slice(2 * top, 2 * bottom), slice(0, 2 * width)).astype(np.uint32)
        total = band[0::2, 0::2] + band[1::2, 0::2] + band[0::2, 1::2] + band[1::2, 1::2]
        half.write(slice(top, bottom), slice(0, width), ((total + 2) // 4).astype(image.dtype))
    return half
