"""What every reader of slides offers."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from diptych.data.encoding import Array, Encoding
from diptych.data.image import DecodedImage
from diptych.data.metadata import Metadata

Size = tuple[int, int]
CACHE_BYTES = 2**27
"""Decoded tiles of a slide that are kept in memory."""


class Slide(ABC):
    """An open slide: its resolutions, and its pixels by areas."""

    path: Path
    level_sizes: list[Size]
    """Height and width of each level, from fine to coarse."""
    encoding: Encoding
    metadata: Metadata = Metadata()
    mpp: float | None = None
    """Micrometres per pixel; None if unknown."""
    is_georeferenced: bool = False
    has_gaps: bool = False
    """Whether there may be pixels that were not scanned."""
    background: tuple[int, ...] = ()
    """Their red, green and blue."""
    gaps: str = ""
    """An estimate of how much was not scanned, in words for a user; empty if it is little."""

    @property
    def size(self) -> Size:
        """Height and width of the finest level."""
        return self.level_sizes[0]

    @abstractmethod
    def read(self, rows: slice, columns: slice, level: int = 0) -> Array:
        """``(h, w, C)``: an area of a level.

        Raises:
            PictureError: a part of it is missing or damaged.
        """

    def scanned(self, rows: slice, columns: slice, level: int = 0) -> Array:  # noqa: ARG002 - for slides with gaps
        """``(h, w)``: which pixels of an area were scanned: all, unless the slide ``has_gaps``.

        Raises:
            PictureError: a part of it is missing or damaged.
        """
        return np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)

    def picture(self, values: Array) -> DecodedImage:
        """The picture of an area's ``values``, which knows where there is no data."""
        return DecodedImage(values, metadata=self.metadata).with_missing(self.metadata.nodata)
