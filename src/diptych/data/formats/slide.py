"""Slides: who reads which file.

tifffile reads TIFFs whose tiles lie side by side: SVS, NDPI, OME-TIFF, GeoTIFF and others, of any type and number of
bands. OpenSlide (extra ``slides``) reads what is no TIFF, and TIFFs whose tiles overlap or lie anywhere: 8 bits of RGB.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tifffile import TiffFile

from diptych.data.archive import member_of
from diptych.data.formats import OPENSLIDE_SUFFIXES, SLIDE_SUFFIXES, format_of, head_of
from diptych.data.formats.pillow import MAX_PIXELS
from diptych.data.formats.slide_interface import Slide
from diptych.data.formats.slide_openslide import open_with_openslide
from diptych.data.formats.slide_tiff import open_tiff_slide
from diptych.errors import PictureError


def is_slide(path: Path) -> bool:
    """Whether ``path`` is read in parts: by its suffix, or if it is a TIFF, by its resolutions or its size."""
    if path.suffix.lower() in SLIDE_SUFFIXES:
        return True
    try:
        if format_of(head_of(path)) != "TIFF":
            return False
        with TiffFile(path) as file:
            page = file.pages.first
            is_pyramid = len(file.series[0].levels) > 1 and not page.is_geotiff
            return is_pyramid or page.imagewidth * page.imagelength > MAX_PIXELS
    except Exception:  # a damaged file makes tifffile raise many types of error; reading it says what is wrong
        return False


@contextmanager
def open_slide(path: Path) -> Iterator[Slide]:
    """Opens ``path``.

    Raises:
        PictureError: no slide, samples that are not read in parts, or a package is missing.
    """
    if member_of(path):
        raise PictureError(f"{path} is a slide in a zip", cure="unpack it")
    opener = open_with_openslide if path.suffix.lower() in OPENSLIDE_SUFFIXES else open_tiff_slide
    with opener(path) as slide:
        yield slide
