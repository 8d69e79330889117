"""TIFFs of any size, read a part at a time: tiled and pyramidal TIFF, OME-TIFF, SVS, NDPI, GeoTIFF."""

import math
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import numpy as np
from tifffile import TIFF, TiffFile, TiffFileError, TiffPage

from diptych.config import ValueType
from diptych.data.encoding import GREY, RGB, TYPES, Array, Encoding
from diptych.data.formats.slide_interface import CACHE_BYTES, Slide
from diptych.data.formats.tiff_tags import read_metadata
from diptych.errors import PictureError, first_line

COARSEST_MPP = 20.0
"""Resolution tags of photographs mean paper, such as 72 dpi (353 µm). Those of microscopes are finer than this."""
MICROMETRES = {"µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3}
ORIENTATION = 274
GREYS, COLOURS = (1,), (2, 6)
"""Photometric interpretations: black as zero; RGB, and YCbCr, which tifffile converts to RGB."""
SAMPLE_FORMATS = {1: "uint", 2: "int", 3: "float"}
JPEGS = (6, 7, 33007, 34892)
"""Compressions whose tables may be outside of the tiles."""
TRANSPARENCY = (1, 2)
"""Extra samples that are transparency."""


@contextmanager
def open_tiff_slide(path: Path) -> Iterator[Slide]:
    """Opens ``path``.

    Raises:
        PictureError: not a TIFF, or samples that are not read in parts.
    """
    try:
        file = TiffFile(path)
    except Exception as error:  # damaged files make tifffile raise many types of error, also below
        raise _unreadable(path, error) from None
    with file:
        try:
            slide = TiffSlide(path, file)
        except PictureError:
            raise
        except Exception as error:
            raise _unreadable(path, error) from None
        yield slide


def _unreadable(path: Path, error: Exception) -> PictureError:
    reason = f" ({first_line(error)})" if isinstance(error, OSError | TiffFileError) else ""
    cure = "copy the file again, or save it as OME-TIFF"
    return PictureError(f"{path} is no TIFF that can be read{reason}", cure=cure)


class TiffSlide(Slide):
    """A slide that tifffile reads: the first picture of the file, with its resolutions.

    Raises:
        PictureError: samples that are not read in parts.
    """

    def __init__(self, path: Path, file: TiffFile) -> None:
        if file.is_bif or file.is_scn:
            suffix, vendor = (".bif", "Ventana") if file.is_bif else (".scn", "Leica")
            raise PictureError(f"{path} is a slide by {vendor}", cure=f"rename it to {path.with_suffix(suffix).name}")
        self.path, series = path, file.series[0]
        pages = [level.keyframe for level in series.levels]
        self._levels = [_Level(path, page) for page in pages if page is not None]
        self.level_sizes = [level.size for level in self._levels]
        page, num_planes = self._levels[0].page, len(series.pages)
        dtype = _type_of(page)
        colours = {**dict.fromkeys(GREYS, GREY), **dict.fromkeys(COLOURS, RGB)}.get(int(page.photometric), 0)
        is_usable = (
            num_planes == 1
            and dtype in TYPES
            and colours > 0
            and page.samplesperpixel == colours + len(page.extrasamples)
            and not any(extra in TRANSPARENCY for extra in page.extrasamples)
            and page.imagedepth == 1
            and page.tags.valueof(ORIENTATION, default=1) == 1
        )
        if not is_usable:
            kind = f"{num_planes} planes of {page.samplesperpixel} samples of {page.dtype}"
            extra = " with transparency" if any(extra in TRANSPARENCY for extra in page.extrasamples) else ""
            raise PictureError(
                f"{path} holds {kind}{extra}, which diptych cannot read a part at a time",
                cure="save it as grey, RGB or bands, upright",
            )
        self.encoding = Encoding(page.samplesperpixel, cast(ValueType, dtype))
        if page.compression not in TIFF.DECOMPRESSORS or page.predictor not in TIFF.UNPREDICTORS:
            problem = f"{path} is compressed by {getattr(page.compression, 'name', page.compression)}"
            if find_spec("imagecodecs"):
                raise PictureError(f"{problem}, which diptych does not read", cure="save it with another compression")
            raise PictureError(f"{problem}, which needs", cure="pip install 'diptych[images]'")
        self.mpp = _micrometres_per_pixel(file, page)
        self.is_georeferenced = page.is_geotiff
        metadata = replace(read_metadata(file, page, 1), exif=None)
        self.metadata = metadata if page.is_geotiff else replace(metadata, texts=(), resolution=None)
        """Texts and the resolution of a slide describe its levels; a translation has ``mpp``."""

    def read(self, rows: slice, columns: slice, level: int = 0) -> Array:
        """``(h, w, C)``: an area of a level.

        Raises:
            PictureError: a part of it is missing or damaged.
        """
        return self._levels[level].read(rows, columns)


def _type_of(page: TiffPage) -> str:
    """The type of the samples, such as uint8; not always one that numpy has."""
    return f"{SAMPLE_FORMATS.get(page.sampleformat or 0)}{page.bitspersample}"


class _Level:
    """One resolution of a slide."""

    def __init__(self, path: Path, page: TiffPage) -> None:
        self.path, self.page, self.size = path, page, (page.imagelength, page.imagewidth)
        self._parts: OrderedDict[int, Array] = OrderedDict()
        self._part_height, self._part_width = page.chunks[:2] if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        self._num_across = -(-page.imagewidth // self._part_width)
        self._num_down = -(-page.imagelength // self._part_height)
        self._planes = page.samplesperpixel if page.planarconfig == 2 else 1
        """How many times the area is stored: for each band, or once."""

    def read(self, rows: slice, columns: slice) -> Array:
        height, width = self._part_height, self._part_width
        values = np.empty(
            (rows.stop - rows.start, columns.stop - columns.start, self.page.samplesperpixel), _type_of(self.page)
        )
        for y in range(rows.start // height, -(-rows.stop // height)):
            for x in range(columns.start // width, -(-columns.stop // width)):
                part = self._part(y * self._num_across + x)
                top, left = max(rows.start, y * height), max(columns.start, x * width)
                bottom, right = min(rows.stop, (y + 1) * height), min(columns.stop, (x + 1) * width)
                values[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = part[
                    top - y * height : bottom - y * height, left - x * width : right - x * width
                ]
        return values

    def _part(self, index: int) -> Array:
        """``(h, w, C)``: a tile or strip of all bands."""
        step = self._num_across * self._num_down
        planes = [self._decoded(index + plane * step) for plane in range(self._planes)]
        return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)

    def _decoded(self, index: int) -> Array:
        """A decoded tile or strip."""
        if index in self._parts:
            self._parts.move_to_end(index)
            return self._parts[index]
        page, tables = self.page, {}
        if page.compression in JPEGS:
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        try:
            data, _ = next(
                page.parent.filehandle.read_segments(
                    [page.dataoffsets[index]], [page.databytecounts[index]], indices=[index], flat=True
                )
            )
            decoded, _, _ = page.decode(data, index, **tables)
        except Exception as error:  # decoders raise many types of error on damaged files
            raise PictureError(
                f"{self.path}: tile {index} cannot be read ({error})", cure="copy the file again"
            ) from None
        if decoded is None:
            raise PictureError(f"{self.path}: tile {index} is missing", cure="copy the file again")
        part: Array = decoded[0].astype(_type_of(page), copy=False)
        self._parts[index] = part
        while len(self._parts) > 1 and sum(each.nbytes for each in self._parts.values()) > CACHE_BYTES:
            self._parts.popitem(last=False)
        return part


def _micrometres_per_pixel(file: TiffFile, page: TiffPage) -> float | None:
    """By OME-XML, Aperio's description, or resolution tags; None if none says so."""
    description = page.description or ""
    if file.is_ome and file.ome_metadata:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        if pixels is not None and (size := pixels.get("PhysicalSizeX")):
            return float(size) * MICROMETRES.get(pixels.get("PhysicalSizeXUnit", "µm"), math.nan) or None
    if found := re.search(r"MPP\s*=\s*([0-9.]+)", description):
        return float(found[1])
    if page.tags.valueof("XResolution") is None or page.tags.valueof("ResolutionUnit", default=1) == 1:
        return None
    per_micrometre = page.get_resolution("MICROMETER")[0]
    mpp = 1 / per_micrometre if per_micrometre else math.inf
    return mpp if mpp < COARSEST_MPP else None
