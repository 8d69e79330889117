"""Writes pyramidal TIFF, OME-TIFF and GeoTIFF from a raw file, a row of tiles at a time."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffFile, TiffWriter

from diptych.atomic import atomic_write
from diptych.data.encoding import GREY, Array
from diptych.data.formats.cog import write_cog
from diptych.data.formats.tiff_writing import tiff_options
from diptych.data.metadata import Metadata

TILE = 512
SMALLEST = 1024
"""Levels are added until both sides are at most this."""


@dataclass(frozen=True)
class RawImage:
    """``(H, W, C)`` in a file, read and written by areas. No memory is mapped between two calls."""

    path: Path
    shape: tuple[int, int, int]
    dtype: str
    fill: tuple[int, ...] = ()
    """The value of each channel where nothing is written, which takes no space; by default 0. For integers."""

    def create(self) -> None:
        """Makes the file, with nothing written."""
        with self.path.open("wb") as file:
            file.truncate(int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize)

    def read(self, rows: slice, columns: slice) -> Array:
        """A copy of an area."""
        return self._relative(np.array(self._mapped("r")[rows, columns]))

    def write(self, rows: slice, columns: slice, values: Array, *, flush: bool = True) -> None:
        """Replaces an area; ``flush``: on the disk, so that it outlives a crash of the system."""
        mapped = self._mapped("r+")
        mapped[rows, columns] = self._relative(values)
        if flush:
            mapped.flush()

    def is_blank(self, values: Array) -> bool:
        """Whether ``values`` are those of an area where nothing is written."""
        return not self._relative(values).any()

    def _relative(self, values: Array) -> Array:
        """``values`` in which ``fill`` is 0, or the other way round."""
        return values ^ np.array(self.fill, self.dtype) if self.fill else values

    def _mapped(self, mode: Any) -> Any:
        return np.memmap(self.path, self.dtype, mode, shape=self.shape)


def write_pyramid(path: Path, base: RawImage, *, mpp: float | None, metadata: Metadata = Metadata()) -> None:
    """Writes ``base`` as tiled BigTIFF with halved resolutions; OME-TIFF if ``path`` ends in ``.ome.tif`` or
    ``.ome.tiff``. Atomically. ``mpp``: micrometres per pixel, only if ``metadata`` has no resolution. Other metadata is
    kept. With a georeference or nodata, there are no other resolutions, except in a COG, where GDAL makes them.

    Resolutions are reduced images in the chain of directories, as OpenSlide, GDAL and libvips read them. In OME-TIFF,
    they are also SubIFDs of the first one, as its specification wants (6.0, "Sub-resolutions").

    Raises:
        OSError: the disk is full or not writable; ``path`` is unchanged.
    """
    is_ome, num_levels = ".ome" in path.suffixes[-2:-1], 0
    has_levels = not metadata.geo and metadata.nodata is None
    while has_levels and max(base.shape[:2]) >> num_levels > SMALLEST:
        num_levels += 1
    scale: dict[str, Any] = {}
    if mpp:
        scale = {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    physical = {"PhysicalSizeX": mpp, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": mpp, "PhysicalSizeYUnit": "µm"}
    axes = {"axes": "YX" if base.shape[2] == GREY else "YXS", **(physical if mpp else {})} if is_ome else None
    options = tiff_options(metadata, base.shape[2])
    options = {key: value for key, value in options.items() if key not in ("bigtiff", "tile")}
    if is_ome and "planarconfig" in options:
        options["planarconfig"] = "contig"
    plain = {key: value for key, value in options.items() if key not in ("extratags", "description")}
    with atomic_write(path) as temporary, TiffWriter(temporary, bigtiff=True, ome=is_ome) as writer:
        _write_level(writer, base, subifds=num_levels if is_ome else 0, metadata=axes, **options, **scale)
        level = base
        for number in range(num_levels):
            finer, level = level, _halved(level, path.with_name(f".{path.name}.level{number + 1}"))
            if finer is not base:
                finer.path.unlink()
            _write_level(writer, level, subfiletype=1, metadata=None, **plain)
        if level is not base:
            level.path.unlink()
        writer.close()
        if is_ome and num_levels:
            _chain_levels(temporary)
        if metadata.is_cog:
            write_cog(temporary)


def _chain_levels(path: Path) -> None:
    """Makes the first SubIFD of the first directory of a BigTIFF the directory that follows it. tifffile has chained
    the others."""
    with TiffFile(path, mode="r+") as file:
        page, handle = file.pages.first, file.filehandle
        handle.seek(page.offset)
        num_tags = int.from_bytes(handle.read(8), sys.byteorder)
        handle.seek(page.offset + 8 + 20 * num_tags)  # 20 bytes for each tag
        handle.write(int(page.tags["SubIFDs"].value[0]).to_bytes(8, sys.byteorder))


def _write_level(writer: TiffWriter, image: RawImage, **options: Any) -> None:
    height, width, channels = image.shape
    is_planar = options.get("planarconfig") == "separate"
    shape = (height, width) if channels == GREY else (channels, height, width) if is_planar else image.shape
    writer.write(
        _planes(image) if is_planar else _tiles(image, slice(None)),
        shape=shape,
        dtype=image.dtype,
        tile=(TILE, TILE),
        compression="adobe_deflate",
        predictor=np.dtype(image.dtype).kind != "f",
        **options,
    )


def _planes(image: RawImage) -> Iterator[Array]:
    """The tiles of each channel, one channel after the other."""
    for channel in range(image.shape[2]):
        yield from _tiles(image, slice(channel, channel + 1))


def _tiles(image: RawImage, channels: slice) -> Iterator[Array]:
    """Tiles of ``TILE`` pixels, row by row, padded with zeros."""
    height, width, _ = image.shape
    for top in range(0, height, TILE):
        band = image.read(slice(top, min(top + TILE, height)), slice(0, width))[:, :, channels]
        for left in range(0, width, TILE):
            tile = np.zeros((TILE, TILE, band.shape[2]), image.dtype)
            part = band[:, left : left + TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile if band.shape[2] > GREY else tile[:, :, 0]


def _halved(image: RawImage, path: Path) -> RawImage:
    """The mean of each 2×2 pixels, in a new file."""
    height, width, channels = (image.shape[0] // 2, image.shape[1] // 2, image.shape[2])
    half = RawImage(path, (height, width, channels), image.dtype, image.fill)
    half.create()
    is_float = np.dtype(image.dtype).kind == "f"
    wide: Any = np.float64 if is_float else np.int32 if np.dtype(image.dtype).itemsize < 4 else np.int64
    for top in range(0, height, TILE):
        bottom = min(top + TILE, height)
        band = image.read(slice(2 * top, 2 * bottom), slice(0, 2 * width)).astype(wide)
        total: Any = band[0::2, 0::2] + band[1::2, 0::2] + band[0::2, 1::2] + band[1::2, 1::2]
        mean = (total / 4 if is_float else (total + 2) // 4).astype(image.dtype)
        for left in range(0, width, TILE):
            part = mean[:, left : left + TILE]
            if not half.is_blank(part):
                half.write(slice(top, bottom), slice(left, left + part.shape[1]), part, flush=False)
    return half
