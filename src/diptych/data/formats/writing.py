"""Writes a picture in the format of its path: converted to what the format holds, with its metadata."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diptych.atomic import atomic_write
from diptych.data.encoding import GREY, PEAK, RGB, TYPES, UNSIGNED, Encoding, eight_bits, sixteen_bits
from diptych.data.formats import FORMATS
from diptych.data.formats.dicom_writing import write_dicom
from diptych.data.formats.exif import save_options
from diptych.data.formats.numpy_file import write_numpy
from diptych.data.formats.png import deep_png
from diptych.data.formats.tiff_writing import write_tiff
from diptych.data.image import DecodedImage, to_pillow
from diptych.data.volumes import suffix_of
from diptych.errors import PictureError

SAVE_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
LOSSLESS_WEBP = {"lossless": True, "exact": True, "quality": 80}


@dataclass(frozen=True)
class Holds:
    """What a format holds."""

    types: tuple[str, ...] = ("uint8",)
    metadata: tuple[str, ...] = ()
    """Fields of ``Metadata``."""
    has_alpha: bool = True
    has_bands: bool = False
    """Whether it holds other numbers of channels than 1 and 3."""


FORMATS_HOLD = {
    "PNG": Holds(UNSIGNED, ("icc", "exif", "xmp", "resolution")),
    "JPEG": Holds(metadata=("icc", "exif", "xmp", "resolution"), has_alpha=False),
    "WEBP": Holds(metadata=("icc", "exif", "xmp")),
    "BMP": Holds(metadata=("resolution",), has_alpha=False),
    "GIF": Holds(),
    "TIFF": Holds(TYPES, ("icc", "exif", "xmp", "resolution", "nodata", "texts", "geo"), has_bands=True),
    "NPY": Holds(TYPES, has_alpha=False, has_bands=True),
    "DICOM": Holds(TYPES, ("header", "nodata"), has_alpha=False),
}
Writer = Callable[[Path, DecodedImage], None]
WRITERS: dict[str, Writer] = {"TIFF": write_tiff, "NPY": write_numpy, "DICOM": write_dicom}
OTHER_NAME = "give a name that ends in .tif or .npy; for a folder, --format tif"


def storable(image: DecodedImage, path: Path, encoding: Encoding | None = None) -> DecodedImage:
    """``image``, converted to what the format of ``path`` can hold. Its note says if values change.

    ``encoding`` is that of the values. If the format does not hold their type, its range is mapped to the whole range
    of a type that the format holds. Formats without transparency get the image on white. In GIF, a pixel is fully
    transparent or fully opaque.

    Raises:
        PictureError: the format does not hold so many channels, or values of a type that has no range; or it is NIfTI,
            or DICOM for an image without the header of one.
    """
    kind, alpha, channels = FORMATS.get(suffix_of(path), ""), image.alpha, image.values.shape[2]
    holds = FORMATS_HOLD.get(kind, Holds())
    if kind == "DICOM" and image.metadata.header is None:
        raise PictureError(f"{path} cannot be DICOM, since its input is not and has no header for it", cure=OTHER_NAME)
    if kind == "NIFTI":
        raise PictureError(f"{path} cannot be NIfTI, since its input is no volume", cure=OTHER_NAME)
    if not holds.has_bands and channels not in (GREY, RGB):
        raise PictureError(f"{path} cannot hold {channels} channels, but 1 or 3", cure=OTHER_NAME)
    if image.values.dtype.name not in holds.types:
        image = _of_held_type(image, path, holds, encoding)
    if alpha is not None and kind == "GIF":
        alpha = np.where(eight_bits(alpha) < 128, 0, PEAK).astype(np.uint8)
    is_kept = holds.has_alpha and image.values.dtype.name in UNSIGNED
    return image._replace(alpha=alpha if is_kept else None)


def _of_held_type(image: DecodedImage, path: Path, holds: Holds, encoding: Encoding | None) -> DecodedImage:
    """``image`` with the largest type of ``holds``."""
    values, peak = image.values, np.iinfo(holds.types[-1]).max
    if encoding is not None and encoding.has_range:
        low, high = encoding.limits
        values = encoding.normalised(np.nan_to_num(values, nan=low))
        note = f"{path} cannot hold values from {low:g} to {high:g}: they are written as 0 to {peak}"
    elif values.dtype == np.uint16:
        note = f"{path} cannot hold 16 bits: it is written with 8"
    else:
        raise PictureError(f"{path} cannot hold {values.dtype}", cure=OTHER_NAME)
    if peak == PEAK:
        values = eight_bits(values)
    elif values.dtype == np.float32:
        values = np.rint(values * np.float32(peak / PEAK)).astype(np.uint16)
    return image._replace(values=values, note=note)


def not_kept(image: DecodedImage, path: Path) -> str:
    """One line about what the format of ``path`` does not keep of ``image``, the same for all such pictures; empty if
    it keeps all."""
    kind = FORMATS.get(suffix_of(path), "")
    holds = FORMATS_HOLD.get(kind, Holds())
    dropped = [name for field, name in image.metadata.parts() if field not in holds.metadata]
    if image.alpha is not None and not (holds.has_alpha and image.values.dtype.name in UNSIGNED):
        dropped.insert(0, "transparency")
    dropped += [name for name in image.metadata.lost if name not in dropped]
    return f"{kind} files do not keep {', '.join(dropped)}" if dropped else ""


def write_picture(path: Path, image: DecodedImage, encoding: Encoding | None = None) -> None:
    """Writes ``image`` to ``path`` in the format of its suffix, converted by ``storable``; atomically.

    Raises:
        PictureError: the format cannot hold the image.
        OSError: the disk is full or not writable; ``path`` is unchanged.
    """
    image = storable(image, path, encoding)
    try:
        kind = FORMATS[suffix_of(path)]
        if writer := WRITERS.get(kind):
            with atomic_write(path) as temporary:
                writer(temporary, image)
            return
        content = _encoded(image, kind)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        height, width, _ = image.values.shape
        problem = f"{path} cannot be written in this format ({width}×{height} pixels; {error})"
        raise PictureError(problem, cure="give a name that ends in .png") from None
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _encoded(image: DecodedImage, kind: str) -> bytes:
    """The bytes of a file of ``kind``, by Pillow where it can."""
    values, alpha, metadata = image.values, image.alpha, image.metadata
    if values.dtype == np.uint16 or (kind == "PNG" and alpha is not None and alpha.dtype == np.uint16):
        return deep_png(sixteen_bits(values), None if alpha is None else sixteen_bits(alpha), metadata)
    made, content = to_pillow(values, alpha), io.BytesIO()
    if kind == "GIF" and made.mode == "LA":  # Pillow drops the alpha of LA in a GIF
        made = made.convert("RGBA")
    options = LOSSLESS_WEBP if kind == "WEBP" and metadata.is_lossless else SAVE_OPTIONS.get(kind, {})
    made.save(content, format=kind, **options, **save_options(metadata, kind))
    return content.getvalue()
