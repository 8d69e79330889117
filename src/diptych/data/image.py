"""Images in memory: values and transparency; conversion of channels, and from and to Pillow."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from diptych.data.encoding import GREY, Array, Encoding, eight_bits
from diptych.errors import PictureError

GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"})
ALPHA_MODES = frozenset({"LA", "RGBA", "RGBa", "PA"})
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601, as in Pillow)."""
EXIF_ORIENTATION = 0x0112
Turn = Image.Transpose
UPRIGHT = {
    2: Turn.FLIP_LEFT_RIGHT, 3: Turn.ROTATE_180, 4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE, 6: Turn.ROTATE_270, 7: Turn.TRANSVERSE, 8: Turn.ROTATE_90,
}  # fmt: skip
"""The transposition that makes each EXIF orientation upright. 1 is upright; other values are undefined."""


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
    """``(H, W, 1 or 3)`` with 1 or 3 ``channels``: grey is repeated, colour becomes its luma."""
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


def from_pillow(image: Image.Image, name: Path | str = "the picture") -> DecodedImage:
    """``image`` as arrays, upright; errors and notes call it ``name``. Keeps 16 bits of grey; Pillow reads 16 bits of
    colour as 8.

    Raises:
        PictureError: pixels of 32 bits, whose range is unknown.
    """
    note = f"{name} has {count} frames: the first is used" if (count := num_frames(image)) > 1 else None
    image.load()
    if image.mode in ("I", "F"):
        raise PictureError(f"{name} has pixels of 32 bits (mode {image.mode})", cure="convert it to 8 or 16 bits")
    turn = UPRIGHT.get(orientation(image))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode.startswith("I;16"):
        return DecodedImage(_values(upright).astype(np.uint16), note=note)
    mode = "L" if is_grey(upright) else "RGB"
    if upright.mode in ALPHA_MODES or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return DecodedImage(_values(flat.convert(mode)), np.asarray(rgba.getchannel("A")), note)
    return DecodedImage(_values(upright if upright.mode == mode else upright.convert(mode)), note=note)


def num_frames(image: Image.Image) -> int:
    """How many frames ``image`` has. A camera's preview (MPO) does not count."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # damaged EXIF makes Pillow raise many types of error; the pixels are intact
        return 1
    return value if value in UPRIGHT else 1


def is_grey(image: Image.Image) -> bool:
    """Whether the mode or the palette of ``image`` has no colour."""
    if image.mode not in ("P", "PA"):
        return image.mode in GREY_MODES
    palette = np.asarray(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _values(image: Image.Image) -> Array:
    values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)
