"""Slides that OpenSlide reads: MIRAX, Hamamatsu VMS and VMU, Ventana, Leica, Sakura, Zeiss. Needs the extra ``slides``.

OpenSlide gives 8 bits of RGB, transparent where nothing was scanned.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageCms

from diptych.data.encoding import PEAK, RGB, Array, Encoding
from diptych.data.formats.slide_interface import CACHE_BYTES, Slide
from diptych.data.formats.slide_parts import MIRAX, folder_of
from diptych.data.metadata import Metadata
from diptych.errors import PictureError, first_line

WHITE = "FFFFFF"
GRID = 30
"""Sampled pixels per row and per column, to estimate what was scanned."""
NEW_COPY = "copy it again with all its files, or save it as OME-TIFF"


@contextmanager
def open_with_openslide(path: Path) -> Iterator[Slide]:
    """Opens ``path``.

    Raises:
        PictureError: OpenSlide does not read it, or is not installed.
    """
    try:
        import openslide
    except (ImportError, OSError):  # the second: its C library is missing
        problem = f"{path} is a slide for OpenSlide, which needs"
        raise PictureError(problem, cure="pip install 'diptych[slides]'") from None
    if path.suffix.lower() == MIRAX and not folder_of(path).is_dir():
        problem = f"{path} has no folder {folder_of(path).name} beside it, which holds its pixels"
        raise PictureError(problem, cure="copy that too")
    try:
        file = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise _unreadable(path, error) from None
    with file:
        file.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        yield OpenSlideFile(path, file, openslide.OpenSlideError)


def _unreadable(path: Path, error: Exception) -> PictureError:
    return PictureError(f"{path} cannot be read by OpenSlide ({first_line(error)})", cure=NEW_COPY)


class OpenSlideFile(Slide):
    """A slide that OpenSlide reads; pixels that were not scanned have the colour that the file names, or white."""

    has_gaps = True

    def __init__(self, path: Path, file: Any, error: type[Exception]) -> None:
        self.path, self._file, self._error, self.encoding = path, file, error, Encoding(RGB)
        self.level_sizes = [(height, width) for width, height in file.level_dimensions]
        self.mpp = float(file.properties.get("openslide.mpp-x", 0)) or None
        with suppress(ImageCms.PyCMSError):  # a damaged profile
            self.metadata = Metadata(icc=file.color_profile and file.color_profile.tobytes())
        colour = file.properties.get("openslide.background-color", WHITE)
        self.background = tuple(bytes.fromhex(colour))
        missing = self._missing()
        self.gaps = f"about {missing:.0%} was not scanned and has the colour #{colour.lower()}" if missing else ""

    def _missing(self) -> float:
        """The fraction of pixels that were not scanned, by ``GRID``² of them, spread evenly. Coarse levels do not tell:
        their tiles cover more than was scanned."""
        height, width = self.size
        rows, columns = ([(2 * n + 1) * size // (2 * GRID) for n in range(GRID)] for size in (height, width))
        found = [self.scanned(slice(y, y + 1), slice(x, x + 1)).item() for y in rows for x in columns]
        return 1 - sum(map(bool, found)) / len(found)

    def read(self, rows: slice, columns: slice, level: int = 0) -> Array:
        """``(h, w, 3)``: an area of a level."""
        area = self._area(rows, columns, level)
        alpha = area[:, :, 3:].astype(np.uint16)
        if (alpha == PEAK).all():
            return np.ascontiguousarray(area[:, :, :3])
        blended = (area[:, :, :3] * alpha + np.array(self.background, np.uint16) * (PEAK - alpha) + PEAK // 2) // PEAK
        return np.asarray(blended.astype(np.uint8))

    def scanned(self, rows: slice, columns: slice, level: int = 0) -> Array:
        """``(h, w)``: which pixels of an area were scanned."""
        return np.asarray(self._area(rows, columns, level)[:, :, 3] > 0)

    def _area(self, rows: slice, columns: slice, level: int) -> Array:
        """``(h, w, 4)``: red, green, blue and alpha."""
        scale = self._file.level_downsamples[level]
        corner = (round(columns.start * scale), round(rows.start * scale))
        try:
            region = self._file.read_region(corner, level, (columns.stop - columns.start, rows.stop - rows.start))
        except self._error as error:
            raise _unreadable(self.path, error) from None
        return np.asarray(region)
