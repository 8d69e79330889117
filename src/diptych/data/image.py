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
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap width and height."""
WIDE_MODES = {"I": "int32", "F": "float32"}
USABLE_TYPES = "save it as grey or RGB of uint8 or uint16"


class DecodedImage(NamedTuple):
    """A decoded picture.

    ``values`` are ``(H, W, C)``, C 1 or 3, uint8 or uint16 over the whole range of the type. ``alpha`` is ``(H, W)``
    uint8 where the file has transparency; ``values`` are then composited on white. ``note`` is for the user: what was
    converted or left out. ``is_georeferenced``: the file says where on Earth its pixels are.
    """

    values: Array
    alpha: Array | None = None
    note: str | None = None
    is_georeferenced: bool = False

    @property
    def encoding(self) -> Encoding:
        """Type and channels of ``values``."""
        return Encoding.of(self.values)

    def upright(self, orientation: int) -> "DecodedImage":
        """The picture that is stored with this EXIF orientation, 1 to 8, as it is meant to be seen."""

        def turn(array: Array) -> Array:
            turned = array.swapaxes(0, 1) if orientation in SIDEWAYS else array
            turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
            return np.ascontiguousarray(turned[::-1] if orientation in (3, 4, 7, 8) else turned)

        return self._replace(values=turn(self.values), alpha=None if self.alpha is None else turn(self.alpha))


def with_channels(values: Array, channels: int) -> Array:
    """``(H, W, 1 or 3)`` with 1 or 3 ``channels``: grey is repeated, colour becomes its luma."""
    if values.shape[2] == channels:
        return values
    if channels == GREY:
        luma: Array = np.rint(values @ np.asarray(LUMA)).astype(values.dtype)
        return luma[:, :, None]
    return np.repeat(values, channels, axis=2)


def on_white(values: Array, alpha: Array, *, associated: bool = False) -> Array:
    """``(H, W, C)`` composited on white with ``alpha``, ``(H, W)`` of the same type.

    ``associated``: the values are already multiplied by alpha.
    """
    peak, wide = Encoding.of(values).peak, values.astype(np.uint32)
    opacity = alpha[:, :, None].astype(np.uint32)
    white = peak - opacity
    flat = np.minimum(wide + white, peak) if associated else (wide * opacity + peak * white + peak // 2) // peak
    return flat.astype(values.dtype)


def with_alpha(values: Array, alpha: Array, *, associated: bool = False) -> DecodedImage:
    """The picture of ``values`` and ``alpha``, as ``on_white`` takes them."""
    return DecodedImage(on_white(values, alpha, associated=associated), eight_bits(alpha))


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
    """``image`` as arrays, upright; errors and notes call it ``name``. Keeps 16 bits of grey; Pillow has only 8 bits of
    colour.

    Raises:
        PictureError: a mode of Pillow for signed numbers or floats.
    """
    note = frames_note(num_frames(image), name)
    image.load()
    if image.mode in WIDE_MODES:
        raise PictureError(f"{name} holds {WIDE_MODES[image.mode]}", cure=USABLE_TYPES)
    mode, key = "L" if is_grey(image) else "RGB", image.info.get("transparency")
    if image.mode in ALPHA_MODES or (key is not None and image.mode == "P"):
        rgba = _values(image.convert("RGBA"))
        decoded = with_alpha(rgba[:, :, :1] if mode == "L" else rgba[:, :, :3], rgba[:, :, 3])
    else:
        is_deep = image.mode.startswith("I;16")
        values = _values(image if is_deep or image.mode == mode else image.convert(mode))
        values = values.astype(np.uint16) if is_deep else values
        decoded = DecodedImage(values) if key is None else keyed(values, key)
    return decoded.upright(orientation(image))._replace(note=note)


def keyed(values: Array, key: int | tuple[int, ...]) -> DecodedImage:
    """The picture of ``values`` in which one colour, ``key``, is transparent, as in PNG."""
    is_clear = (values == np.asarray(key)).all(axis=2)
    return with_alpha(values, np.where(is_clear, 0, Encoding.of(values).peak).astype(values.dtype))


def frames_note(number: int, name: Path | str) -> str | None:
    """The note about a file with ``number`` frames; None for one frame."""
    return f"{name} has {number} frames: the first is used" if number > 1 else None


def num_frames(image: Image.Image) -> int:
    """How many frames ``image`` has. A camera's preview (MPO) does not count."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION)
    except Exception:  # damaged EXIF makes Pillow raise many types of error; the pixels are intact
        return 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def is_grey(image: Image.Image) -> bool:
    """Whether the mode or the palette of ``image`` has no colour."""
    if image.mode not in ("P", "PA"):
        return image.mode in GREY_MODES
    palette = np.asarray(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _values(image: Image.Image) -> Array:
    values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)
