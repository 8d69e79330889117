"""Images in memory: the array, its transparency, and conversions between grey and colour."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from diptych.data.encoding import GREY, Array, Encoding, eight_bits

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601, as in Pillow)."""


class DecodedImage(NamedTuple):
    """A decoded picture.

    ``values`` are ``(H, W, C)``, C 1 or 3, uint8 or uint16 over the whole range of the type. ``alpha`` is ``(H, W)``
    uint8 where the file has transparency; ``values`` are then composited on white. ``note`` is for the user: what was
    converted or left out.
    """

    values: Array
    alpha: Array | None = None
    note: str | None = None

    @property
    def encoding(self) -> Encoding:
        """Type and channels of ``values``."""
        return Encoding.of(self.values)


def with_channels(values: Array, channels: int) -> Array:
    """``(H, W, 1 or 3)`` with 1 or 3 channels: grey is repeated, colour becomes its luma."""
    if values.shape[2] == channels:
        return values
    if channels == GREY:
        luma: Array = np.rint(values @ np.asarray(LUMA)).astype(values.dtype)
        return luma[:, :, None]
    return np.repeat(values, channels, axis=2)


def to_pillow(values: Array, alpha: Array | None = None) -> Image.Image:
    """``(H, W, 1 or 3)`` and ``(H, W)`` as a Pillow image.

    Pillow holds 16 bits only for grey without transparency; everything else is rounded to 8 bits.
    """
    if values.shape[2] != GREY or alpha is not None:
        values = eight_bits(values)
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == GREY else values))
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image
