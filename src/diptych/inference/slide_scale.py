"""A slide at the scale of training: at one of its levels, resampled if none fits."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from diptych.data.encoding import Array
from diptych.data.formats.slide_interface import Slide
from diptych.data.nodata import in_type
from diptych.errors import PictureError
from diptych.networks.windows import Area

SCALE_TOLERANCE = 0.1
"""A slide is resampled if its scale differs from that of training by more than this fraction."""
MARGIN = 4
"""Margin that is read around an area to resample it, in pixels of the result."""
COARSE = 16
"""``coarse`` uses a level that is at most this many times smaller."""


@dataclass(frozen=True)
class ScaledSlide:
    """A level of a slide, resampled by ``factor`` (at most 1) to ``height`` × ``width`` pixels."""

    slide: Slide
    level: int
    factor: float
    height: int
    width: int
    mpp: float | None

    def read(self, area: Area) -> Array:
        """The values of ``area``: ``(h, w, C)``, in the type of the slide."""
        return self._resampled(area, lambda rows, columns: self.slide.read(rows, columns, self.level))

    def scanned(self, area: Area) -> Array:
        """``(h, w)``: which pixels were scanned. A resampled pixel counts if at least half of it was scanned."""

        def read(rows: slice, columns: slice) -> Array:
            return self.slide.scanned(rows, columns, self.level)[:, :, None] * np.uint8(2)

        return np.asarray(self._resampled(area, read)[:, :, 0] >= 1)

    def coarse(self, area: Area) -> tuple[slice, slice, int]:
        """``area`` in the coarsest level that ``COARSE`` allows: its rows, its columns, and the number of the level."""
        sizes = self.slide.level_sizes
        number = max(n for n, size in enumerate(sizes) if n == 0 or size[0] * COARSE >= self.height)
        rows, columns = (
            slice(s.start * n // size, max(s.start * n // size + 1, s.stop * n // size))
            for s, n, size in zip(area, sizes[number], (self.height, self.width), strict=True)
        )
        return rows, columns, number

    def _resampled(self, area: Area, read: Callable[[slice, slice], Array]) -> Array:
        """``(h, w, C)``: ``area``, resampled from what ``read`` returns for rows and columns of the level."""
        if self.factor == 1:
            return read(*area.slices)
        height, width = self.slide.level_sizes[self.level]
        scale = (height / self.height, width / self.width)
        spans = list(zip(area, scale, (height, width), strict=True))
        slices = [
            slice(max(0, int((s.start - MARGIN) * k)), min(n, int((s.stop + MARGIN) * k) + 1)) for s, k, n in spans
        ]
        values = read(slices[0], slices[1])
        (top, bottom), (left, right) = (
            (s.start * k - part.start, s.stop * k - part.start) for (s, k, _), part in zip(spans, slices, strict=True)
        )
        size = (area.columns.length, area.rows.length)
        planes = [
            np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom)))
            for plane in np.moveaxis(values.astype(np.float32), 2, 0)
        ]
        return in_type(np.stack(planes, 2), values.dtype)


def at_scale(slide: Slide, trained: float | None, given: float | None) -> ScaledSlide:
    """``slide`` at the scale of training, ``trained`` micrometres per pixel; at its own if either is unknown, or if it
    is georeferenced. ``given`` is its scale if the file does not say it.

    Raises:
        PictureError: the slide is coarser than that.
    """
    mpp, (height, width) = slide.mpp or given, slide.size
    if slide.is_georeferenced:
        return ScaledSlide(slide, 0, 1.0, height, width, None)
    if mpp is None or trained is None or abs(mpp / trained - 1) <= SCALE_TOLERANCE:
        return ScaledSlide(slide, 0, 1.0, height, width, mpp)
    if mpp > trained:
        problem = f"{slide.path} has {mpp:.3g} µm per pixel, and the model was trained at {trained:.3g}"
        raise PictureError(problem, cure="give a finer scan")
    wanted, sizes = (round(height * mpp / trained), round(width * mpp / trained)), slide.level_sizes
    level = max(n for n, size in enumerate(sizes) if size[0] >= wanted[0] * (1 - SCALE_TOLERANCE / 2))
    if abs(sizes[level][0] / wanted[0] - 1) <= SCALE_TOLERANCE / 2:
        wanted = sizes[level]
        return ScaledSlide(slide, level, 1.0, *wanted, mpp * height / wanted[0])
    return ScaledSlide(slide, level, wanted[0] / sizes[level][0], *wanted, trained)
