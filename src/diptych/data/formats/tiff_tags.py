"""The metadata in the tags of a TIFF file."""

from contextlib import suppress

from tifffile import TiffFile, TiffPage

from diptych.data.encoding import RGB
from diptych.data.formats.cog import can_write_cog, is_cog
from diptych.data.formats.tiff_exif import read_exif
from diptych.data.metadata import GDAL_METADATA, Metadata, Resolution, Tag

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, XMP, ICC = 274, 282, 283, 296, 700, 34675
NODATA = 42113
"""GDAL's tag for the value of pixels without data, as a text."""
GEO = (33550, 33922, 34264, 34735, 34736, 34737, GDAL_METADATA)
"""Pixel scale, tie points, transformation, the keys of GeoTIFF and their numbers and texts; and GDAL's metadata."""
DESCRIPTION = 270
TEXTS = (DESCRIPTION, 269, 271, 272, 306, 315, 316, 33432)
"""Description, document, make, model, date, artist, computer, copyright."""
ASCII, BLACK_IS_ZERO = 2, 1


def read_metadata(file: TiffFile, page: TiffPage, orientation: int) -> Metadata:
    """The metadata of ``page``, for its pixels turned upright."""

    def tags(codes: tuple[int, ...]) -> tuple[Tag, ...]:
        found = [page.tags[code] for code in codes if code in page.tags]
        return tuple(Tag(tag.code, int(tag.dtype), tag.count, tag.value) for tag in found)

    texts, geo = tags(TEXTS), tags(GEO)
    exif, lost = None, list[str]()
    try:
        exif = read_exif(file, page)
    except Exception:  # damaged EXIF makes Pillow raise many types of error; the pixels are intact
        lost += ["EXIF data that Pillow cannot read"]
    if file.is_shaped or file.is_imagej or file.is_ome:  # the description is of all pages, and of their layout
        texts = tuple(tag for tag in texts if tag.code != DESCRIPTION)
        lost += ["the description of all pages"] * (file.is_imagej or file.is_ome)
    is_written_as_cog = is_cog(file) and can_write_cog()
    if is_cog(file) and not is_written_as_cog:
        lost += ["the layout of a COG, which needs: pip install 'diptych[geo]'"]
    if page.is_geotiff and any(isinstance(each, TiffPage) and each.is_mask for each in file.pages):
        lost += ["a mask of pixels without data"]
    if exif and is_written_as_cog:
        exif, lost = None, [*lost, "EXIF data of a COG"]
    if geo and orientation != 1:
        geo, lost = (), [*lost, "the georeference of a rotated picture"]
    return Metadata(
        icc=_bytes(page, ICC),
        exif=exif,
        xmp=_bytes(page, XMP),
        resolution=_resolution(page, is_sideways=orientation > 4),
        nodata=_nodata(page),
        texts=tuple(tag for tag in texts if tag.dtype == ASCII),
        geo=geo,
        is_planar=page.planarconfig == 2 and page.samplesperpixel > 1,
        is_big=file.is_bigtiff,
        is_tiled=page.is_tiled,
        is_cog=is_written_as_cog,
        is_unnamed=page.photometric == BLACK_IS_ZERO and page.samplesperpixel >= RGB,
        lost=tuple(lost),
    )


def _bytes(page: TiffPage, code: int) -> bytes | None:
    value = page.tags.valueof(code)
    return bytes(value) if isinstance(value, bytes) and value else None


def _resolution(page: TiffPage, *, is_sideways: bool) -> Resolution | None:
    with suppress(TypeError, ZeroDivisionError, KeyError):
        x, y = (page.tags[code].value for code in (X_RESOLUTION, Y_RESOLUTION))
        numbers = (x[0] / x[1], y[0] / y[1])
        return Resolution(*(numbers[::-1] if is_sideways else numbers), int(page.tags.valueof(RESOLUTION_UNIT, 2)))
    return None


def _nodata(page: TiffPage) -> float | None:
    with suppress(TypeError, ValueError):
        return float(str(page.tags[NODATA].value).strip("\0 ")) if NODATA in page.tags else None
    return None


def nodata_tag(nodata: float) -> Tag:
    """The tag for ``nodata``."""
    text = f"{nodata:.17g}" if nodata % 1 else f"{nodata:.0f}" if abs(nodata) < 1e15 else repr(nodata)
    return Tag(NODATA, ASCII, 0, text)
