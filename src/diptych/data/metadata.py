"""What a picture file says beside its values: colour profile, EXIF data, resolution, georeference, nodata."""

import io
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from PIL import ImageCms

INCH, CENTIMETRE = 2, 3
"""Units of a resolution, as TIFF numbers them."""
COLOUR_SPACES = {1: b"GRAY", 3: b"RGB "}
"""Bytes 16 to 19 of a colour profile, by the number of channels that it is for."""
EXIF_TEXTS = (270, 271, 272, 305, 306, 315, 33432)
"""Description, make, model, software, date, artist and copyright: EXIF data that TIFF keeps as tags of the page."""
GDAL_METADATA = 42112
"""Statistics and names of bands."""


class Tag(NamedTuple):
    """A field of a TIFF file, in tifffile's words: number, type, number of values, values."""

    code: int
    dtype: int
    number: int
    value: Any


class Resolution(NamedTuple):
    """Pixels per unit."""

    x: float
    y: float
    unit: int = INCH
    """A number of TIFF; 1 is no unit."""

    @property
    def dpi(self) -> tuple[float, float] | None:
        """In pixels per inch; None if there is no unit."""
        factor = {INCH: 1.0, CENTIMETRE: 2.54}.get(self.unit)
        return None if factor is None else (self.x * factor, self.y * factor)


@dataclass(frozen=True)
class Metadata:
    """The metadata of one picture, for its translation. Pixels are upright: no orientation is kept."""

    icc: bytes | None = None
    """The colour profile (ICC)."""
    exif: bytes | None = None
    """EXIF data, as Pillow takes it, without the orientation."""
    xmp: bytes | None = None
    resolution: Resolution | None = None
    nodata: float | None = None
    """The value of pixels without data, if the file names one."""
    texts: tuple[Tag, ...] = ()
    """Texts of a TIFF file, such as its description and its author."""
    geo: tuple[Tag, ...] = ()
    """Where on Earth the pixels of a TIFF file are (GeoTIFF), and what GDAL notes."""
    header: Any = None
    """The header of a DICOM file: a data set of pydicom."""
    is_planar: bool = False
    """Whether a TIFF file stores its bands one after the other."""
    is_big: bool = False
    """Whether a TIFF file has 64-bit offsets (BigTIFF)."""
    is_tiled: bool = False
    """Whether a TIFF file stores tiles, not rows."""
    is_cog: bool = False
    """Whether a TIFF file is a cloud-optimised GeoTIFF."""
    is_unnamed: bool = False
    """Whether three bands have no names: they are not called red, green and blue."""
    is_lossless: bool = False
    """Whether a WebP file is lossless."""
    lost: tuple[str, ...] = ()
    """What was found, but cannot be kept, in words for a user."""

    def without_profile(self) -> "Metadata":
        """The metadata of a translation whose values cannot be converted to the colour profile."""
        return replace(self, icc=None, lost=(*self.lost, "the colour profile: the translation is in sRGB"))

    @property
    def profile_name(self) -> str:
        """The name of the colour profile; empty if there is none, or if it is one of sRGB."""
        if self.icc is None:
            return ""
        return _profile_name(self.icc)

    def parts(self) -> Iterator[tuple[str, str]]:
        """The fields that are set, each with its name for a user."""
        names = {
            "icc": "the colour profile",
            "exif": "EXIF data",
            "xmp": "XMP data",
            "resolution": "the resolution",
            "nodata": "the nodata value",
            "texts": "texts",
            "geo": "the georeference",
            "header": "the DICOM header",
        }
        if self.exif and all(tag.code in EXIF_TEXTS and tag.value.isascii() for tag in self.texts):
            del names["texts"]  # the EXIF data has them
        yield from ((field, name) for field, name in names.items() if getattr(self, field) not in (None, ()))

    def of_other_pixels(self) -> "Metadata":
        """The metadata of a part of the picture, or of another size: without resolution and georeference."""
        return replace(self, resolution=None, geo=())

    def of_other_channels(self, channels: int) -> "Metadata":
        """The metadata of a translation with another number of channels: without what describes each channel."""
        geo = tuple(tag for tag in self.geo if tag.code != GDAL_METADATA)
        return replace(self.for_channels(channels), geo=geo, is_unnamed=False)

    def for_channels(self, channels: int) -> "Metadata":
        """The metadata of a picture of ``channels``: a colour profile for another number of channels is dropped."""
        if self.icc is None or self.icc[16:20] == COLOUR_SPACES.get(channels):
            return self
        return replace(self, icc=None, lost=(*self.lost, "the colour profile, which is for other channels"))


@lru_cache(maxsize=64)
def _profile_name(icc: bytes) -> str:
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip()
        return "" if "sRGB" in name else name
    return "a profile that cannot be read"
