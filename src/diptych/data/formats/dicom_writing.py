"""Writes a translation as DICOM: with the header of its input, as a derived image of a series of its own.

Source: DICOM PS3.3, C.7.6.1.1.2 (image type).
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np

from diptych.data.encoding import RGB, Array
from diptych.data.formats.dicom import GREYS, require_dicom, stored_of
from diptych.data.image import DecodedImage

STALE = ("SmallestImagePixelValue", "LargestImagePixelValue", "NumberOfFrames", "FrameIncrementPointer")
OF_OTHER_VALUES = (
    "PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter", "WindowWidth", "RescaleType", "ModalityLUTSequence",
    "VOILUTSequence",
)  # fmt: skip
"""What describes the values of the input, and not those of a translation in other units."""
DESCRIPTION = "Translated by diptych"


def write_dicom(path: Path, image: DecodedImage) -> None:
    """Writes ``image``, whose metadata has a header. Values keep the header's slope and intercept if these hold them.

    Raises:
        OSError: it cannot be written.
    """
    require_dicom()
    header = copy.deepcopy(image.metadata.header)
    for name in STALE:
        header.pop(name, None)
    if image.values.shape[2] == RGB:
        header.PlanarConfiguration = 0
        _set_pixels(header, image.values, "RGB", 8)
    else:
        _set_grey(header, image.values[:, :, 0])
    _describe(header)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.save_as(path, enforce_file_format=True)


def _set_grey(header: Any, values: Array) -> None:
    photometric = str(header.PhotometricInterpretation)
    stored = stored_of(values, header) if photometric in GREYS else None
    if stored is not None:
        _set_pixels(header, stored, photometric, int(header.BitsStored))
        return
    for name in OF_OTHER_VALUES:
        header.pop(name, None)
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu" and low >= -(2**15) and high < 2**15
    slope = 1.0 if whole else max(high - low, 1e-30) / (2**16 - 1)
    header.RescaleSlope, header.RescaleIntercept = f"{slope:.10g}", "0"
    if not whole:
        header.RescaleIntercept = f"{low + 2**15 * slope:.10g}"
    header.PixelRepresentation = 1
    levels = np.rint((values.astype(np.float64) - float(header.RescaleIntercept)) / float(header.RescaleSlope))
    _set_pixels(header, levels.clip(-(2**15), 2**15 - 1).astype(np.int16), "MONOCHROME2", 16)


def _set_pixels(header: Any, stored: Array, photometric: str, bits: int) -> None:
    header.set_pixel_data(np.ascontiguousarray(stored), photometric, bits, generate_instance_uid=True)


def _describe(header: Any) -> None:
    """Marks ``header`` as that of a derived image. The images of one series get one new series."""
    from pydicom.uid import generate_uid

    kinds = list(header.get("ImageType", []) or [])
    header.ImageType = ["DERIVED", "SECONDARY", *kinds[2:]]
    header.DerivationDescription = DESCRIPTION
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[str(header.get("SeriesInstanceUID", "")), DESCRIPTION])
    header.SeriesDescription = f"{header.get('SeriesDescription', '')} {DESCRIPTION}".strip()[:64]
