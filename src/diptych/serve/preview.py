"""Pictures of any depth as 8-bit files that a browser shows."""

from pathlib import Path

import numpy as np
from PIL import Image

from diptych.data.encoding import Array, Encoding, eight_bits
from diptych.data.formats.reading import read_picture
from diptych.data.image import DecodedImage, displayed, prepared, to_pillow
from diptych.errors import PictureError

MAX_SIDE = 2048
"""The longest side of a preview. The download has all pixels."""


def write_preview(path: Path, target: Path, encoding: Encoding) -> Path:
    """Writes the picture in ``path`` as an 8-bit PNG, with the range of ``encoding`` where its values have that type.

    Raises:
        PictureError: ``path`` cannot be read.
    """
    image = read_picture(path, bands=encoding.channels)
    made = to_pillow(displayed(_eight_bits(image, encoding)))
    if max(made.size) > MAX_SIDE:
        made.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    made.save(target, compress_level=1)
    return target


def _eight_bits(image: DecodedImage, encoding: Encoding) -> Array:
    """The values as uint8: by the range of their domain, or of their type, or from the lowest to the highest."""
    own = image.encoding
    for each in (encoding, own) if encoding.dtype == own.dtype else (own,):
        try:
            return eight_bits(prepared(image, each))
        except PictureError:
            continue
    values = np.nan_to_num(image.values.astype(np.float64))
    low, high = values.min(), values.max()
    return np.asarray((255 * (values - low) / max(high - low, 1e-12)).round(), np.uint8)
