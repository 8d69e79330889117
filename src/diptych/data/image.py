"""Pictures in memory: arrays of one meaning, made from Pillow's many modes and turned back."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from diptych.errors import PictureError

Array = NDArray[Any]

GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"})
ALPHA_MODES = frozenset({"LA", "RGBA", "RGBa", "PA"})
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation upright; 1 is upright, and no other is defined."""


class Picture(NamedTuple):
    """A decoded picture: ``values`` ``(H, W, C)``, C 1 or 3, uint8 or uint16 over the type's whole range.

    ``alpha`` is ``(H, W)`` uint8 where the file has transparency: ``values`` then lie on white.
    ``note`` says what a person might not expect, such as frames that were left out.
    """

    values: Array
    alpha: Array | None = None
    note: str | None = None


def from_pillow(image: Image.Image, name: Path | str = "the picture") -> Picture:
    """``image`` upright (EXIF) and as arrays; ``name`` is for messages.

    16 bits are kept where the picture is grey; Pillow reads those of colour as 8.

    Raises:
        PictureError: pixels of 32 bits, integers or floats, whose range nobody can know.
    """
    note = _note(image, name)
    image.load()
    if image.mode in ("I", "F"):
        raise PictureError(f"{name} has pixels of 32 bits (mode {image.mode})", cure="convert it to 8 or 16 bits")
    turn = UPRIGHT.get(orientation(image))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode.startswith("I;16"):
        return Picture(np.asarray(upright).astype(np.uint16)[:, :, None], note=note)
    mode = "L" if is_grey(upright) else "RGB"
    if upright.mode in ALPHA_MODES or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return Picture(_values(flat.convert(mode)), np.asarray(rgba.getchannel("A")), note)
    return Picture(_values(upright if upright.mode == mode else upright.convert(mode)), note=note)


def _note(image: Image.Image, name: Path | str) -> str | None:
    """What a person might not expect of ``image``; only known before it is loaded."""
    num_frames = getattr(image, "n_frames", 1)
    if num_frames > 1 and image.format != "MPO":  # MPO: a camera's JPEG with its previews behind it
        return f"{name} has {num_frames} frames: the first is used"
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", [])]
    if any(re.search(r"(RGB|LA|CMYK)\w*;16[BLN]", mode) for mode in raw_modes):
        return f"{name} has 16 bits per channel, and colour or transparency: it is read with 8"
    return None


def orientation(image: Image.Image) -> int:
    """EXIF's orientation of ``image``, 1 to 8; 1 where there is none."""
    try:
        value = image.getexif().get(0x0112)
    except Exception:  # Pillow stumbles in many ways over damaged EXIF; the picture is whole all the same
        return 1
    return value if value in UPRIGHT else 1


def is_grey(image: Image.Image) -> bool:
    """Whether ``image`` is of a kind that has no colour: by its mode, or by its palette."""
    if image.mode not in ("P", "PA"):
        return image.mode in GREY_MODES
    palette = np.asarray(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def _values(image: Image.Image) -> Array:
    values = np.asarray(image)
    return values.reshape(*values.shape[:2], -1)


def to_pillow(values: Array, alpha: Array | None = None) -> Image.Image:
    """``(H, W, 1 or 3)`` as a Pillow picture, with ``alpha`` put back.

    Pillow has 16 bits for grey without transparency alone: all else becomes 8 bits, see ``eight_bits``.
    """
    if values.shape[2] > 1 or alpha is not None:
        values = eight_bits(values)
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == 1 else values))
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image


def eight_bits(values: Array) -> Array:
    """uint8 or uint16 over the type's range as uint8 over its own, rounded to the nearest: 257 is 1, 65535 is 255."""
    if values.dtype == np.uint8:
        return values
    rounded: Array = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return rounded


def with_channels(values: Array, channels: int) -> Array:
    """``(H, W, 1 or 3)`` with 1 or 3 channels: grey is repeated, colour becomes its luma (ITU-R BT.601)."""
    if values.shape[2] == channels:
        return values
    if channels == 1:
        luma: Array = np.rint(values @ np.asarray(LUMA)).astype(values.dtype)
        return luma[:, :, None]
    return np.repeat(values, channels, axis=2)


def resized(values: Array, width: int, height: int, *, draft: bool = False) -> Array:
    """``(H, W, C)`` resized by Pillow's bicubic filter (antialiased) to ``(height, width, C)`` of the same type.

    ``draft`` takes torch's for 8 bits: the same filter, quicker, rounded otherwise here and there.
    """
    if values.shape[:2] == (height, width):
        return values
    if draft and values.dtype == np.uint8:
        whole = torch.from_numpy(np.require(values, requirements=["C", "W"])).permute(2, 0, 1)[None]
        made = F.interpolate(whole, size=(height, width), mode="bicubic", antialias=True)
        return np.asarray(made[0].permute(1, 2, 0))
    if values.dtype == np.uint8:
        return _values(to_pillow(values).resize((width, height), Image.Resampling.BICUBIC))
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(values, 2, 0)]
    deep = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    rounded: Array = np.rint(np.stack(deep, axis=2)).clip(0, np.iinfo(values.dtype).max).astype(values.dtype)
    return rounded
