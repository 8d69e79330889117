"""DICOM files: values in the units that the header gives, such as Hounsfield units. Needs the extra ``dicom``.

Source: DICOM PS3.3, C.7.6.3 (image pixel) and C.11.1 (modality LUT: rescale slope and intercept).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from diptych.config import ValueType
from diptych.data.archive import open_file
from diptych.data.encoding import GREY, RGB, Array
from diptych.data.formats.pillow import MAX_PIXELS
from diptych.data.image import DecodedImage, frames_note
from diptych.data.metadata import Metadata
from diptych.errors import MissingExtraError, PictureError, first_line

INVERTED = "MONOCHROME1"
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""The class of images whose frames are tiles of a slide (VL Whole Slide Microscopy Image Storage)."""
GREYS, COLOURS = ("MONOCHROME2", INVERTED), ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
DECOMPRESS = "decompress it, for example with dcmdjpeg or gdcmconv --raw"


def require_dicom() -> None:
    """Raises ``MissingExtraError`` without pydicom."""
    if find_spec("pydicom") is None:
        raise MissingExtraError("reading and writing DICOM", "dicom")


@contextmanager
def open_dicom(path: Path) -> Iterator["DicomFile"]:
    """Opens ``path``. Raises what ``DicomFile`` raises, and errors of pydicom; ``open_picture`` converts them."""
    require_dicom()
    import pydicom

    with open_file(path) as file:
        yield DicomFile(path, pydicom.dcmread(cast(Any, file)))


def rescale_of(header: Any) -> tuple[float, float]:
    """Slope and intercept: a value is the stored number times the slope plus the intercept."""
    return float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)


def stored_limits(header: Any) -> tuple[int, int]:
    """The smallest and the largest number that can be stored."""
    bits = int(header.BitsStored)
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)


def type_of(header: Any) -> ValueType:
    """The smallest type that holds all values, of 8 bits only if 8 are allocated; float32 if slope or intercept are no
    whole numbers."""
    slope, intercept = rescale_of(header)
    if slope % 1 or intercept % 1:
        return "float32"
    ends = [limit * slope + intercept for limit in stored_limits(header)]
    types: tuple[ValueType, ...] = ("uint8", "uint16", "int8", "int16")
    if header.BitsAllocated > 8:
        types = ("uint16", "int16")
    fits = (name for name in types if np.iinfo(name).min <= min(ends) <= max(ends) <= np.iinfo(name).max)
    return next(fits, "int32")


class DicomFile:
    """An image in DICOM, whose header is read.

    Raises:
        PictureError: it holds no image, or one that diptych does not use.
        DecompressionBombError: it is too large.
    """

    can_be_reduced, orientation = False, 1

    def __init__(self, path: Path, header: Any) -> None:
        self.path, self.header = path, header
        if "PixelData" not in header:
            kind = getattr(header.get("SOPClassUID"), "name", "unknown")
            raise PictureError(f"{path} holds no image ({kind})", cure="remove it")
        if header.get("SOPClassUID") == WHOLE_SLIDE:
            raise PictureError(
                f"{path} is a part of a slide in DICOM, which is not read", cure="save the slide as OME-TIFF"
            )
        self.photometric = str(header.PhotometricInterpretation)
        is_usable = self.photometric in GREYS or (self.photometric in COLOURS and header.BitsAllocated == 8)
        if not is_usable or header.BitsAllocated not in (8, 16):
            problem = f"{path} holds {self.photometric} of {header.BitsAllocated} bits, which diptych cannot use"
            raise PictureError(problem, cure="save it as grey of 8 or 16 bits, or as RGB of 8")
        if int(header.Columns) * int(header.Rows) > MAX_PIXELS:
            raise Image.DecompressionBombError

    @property
    def channels(self) -> int:
        """1 or 3."""
        return GREY if self.photometric in GREYS else RGB

    @property
    def mode(self) -> str:
        """The nearest of Pillow's modes."""
        return "L" if self.channels == GREY else "RGB"

    @property
    def dtype(self) -> ValueType:
        """The type of the values."""
        return type_of(self.header) if self.channels == GREY else "uint8"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return int(self.header.Columns), int(self.header.Rows)

    @property
    def num_frames(self) -> int:
        """How many frames there are."""
        return int(self.header.get("NumberOfFrames", 1) or 1)

    def decode(
        self, target: tuple[int, int] | None = None, *, columns: int = 1, bands: int | None = None
    ) -> DecodedImage:
        """The first frame in its units, with black as the lowest value; the arguments do nothing.

        Raises:
            PictureError: it is compressed by something that pydicom does not read here.
        """
        del target, columns, bands
        import pydicom.pixels

        try:
            stored: Array = pydicom.pixels.pixel_array(self.header, index=0)
        except RuntimeError as error:
            name = self.header.file_meta.TransferSyntaxUID.name
            raise PictureError(f"{self.path} is compressed by {name} ({first_line(error)})", cure=DECOMPRESS) from None
        metadata = Metadata(header=self.header, nodata=self._nodata())
        note = frames_note(self.num_frames, self.path)
        if self.channels == RGB:
            return DecodedImage(stored, note=note, metadata=metadata)
        values = in_units(stored, self.header)[:, :, None]
        return DecodedImage(values, note=note, metadata=metadata).with_missing(metadata.nodata)

    def _nodata(self) -> float | None:
        padding = self.header.get("PixelPaddingValue")
        if padding is None or self.channels == RGB:
            return None
        slope, intercept = rescale_of(self.header)
        return float(_upright(np.asarray(int(padding)), self.header)) * slope + intercept


def _upright(stored: Array, header: Any) -> Array:
    """Inverts numbers of MONOCHROME1, in which high is black, unless they are rescaled to a unit. Its own inverse."""
    is_inverted = header.PhotometricInterpretation == INVERTED and rescale_of(header) == (1, 0)
    return sum(stored_limits(header)) - stored.astype(np.int64) if is_inverted else stored


def in_units(stored: Array, header: Any) -> Array:
    """The values of ``stored`` numbers, in ``type_of(header)``."""
    slope, intercept = rescale_of(header)
    return np.asarray((_upright(stored, header) * slope + intercept).astype(type_of(header)))


def stored_of(values: Array, header: Any) -> Array | None:
    """The inverse of ``in_units``, rounded; None if some cannot be stored with this header."""
    slope, intercept = rescale_of(header)
    stored = _upright(np.rint((values.astype(np.float64) - intercept) / slope).astype(np.int64), header)
    low, high = stored_limits(header)
    if values.dtype != type_of(header) or stored.min() < low or stored.max() > high:
        return None
    return stored.astype(f"{'int' if header.PixelRepresentation else 'uint'}{header.BitsAllocated}")
