"""Images in memory: values, transparency and metadata; conversion of channels, and from and to Pillow."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diptych.data.encoding import GREY, LIKE_TRAINING, RGB, UNSIGNED, Array, Encoding, eight_bits
from diptych.data.metadata import Metadata
from diptych.data.nodata import apart_from, in_type, is_value_of
from diptych.errors import PictureError

GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"})
ALPHA_MODES = frozenset({"LA", "RGBA", "RGBa", "PA"})
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601, as in Pillow)."""
EXIF_ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that swap width and height."""
WIDE_MODES = {"I": "int32", "F": "float32"}
"""Pillow's modes of types that need a range."""


class DecodedImage(NamedTuple):
    """A decoded picture.

    ``values`` are ``(H, W, C)`` of one of ``TYPES``, in the file's units. ``alpha`` is ``(H, W)``, uint8 or uint16,
    where the file has transparency; ``values`` are then composited on white. ``missing`` is ``(H, W, C)``, true where
    the file has no data: NaN, an infinity, or the value that its metadata names. ``note`` is for the user: what was
    converted or left out.
    """

    values: Array
    alpha: Array | None = None
    note: str | None = None
    missing: Array | None = None
    metadata: Metadata = Metadata()

    @property
    def encoding(self) -> Encoding:
        """Type and channels of ``values``."""
        return Encoding.of(self.values)

    def map(self, function: Callable[[Array], Array]) -> "DecodedImage":
        """``function`` of each array: values, transparency and where there is no data."""
        alpha, missing = (None if array is None else function(array) for array in (self.alpha, self.missing))
        return self._replace(values=function(self.values), alpha=alpha, missing=missing)

    def upright(self, orientation: int) -> "DecodedImage":
        """The picture that is stored with this EXIF orientation, 1 to 8, as it is meant to be seen."""

        def turn(array: Array) -> Array:
            turned = array.swapaxes(0, 1) if orientation in SIDEWAYS else array
            turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
            return np.ascontiguousarray(turned[::-1] if orientation in (3, 4, 7, 8) else turned)

        return self.map(turn)

    def with_missing(self, nodata: float | None = None) -> "DecodedImage":
        """The picture with ``missing`` found in its values: ``nodata``, and all that is not finite."""
        if nodata is None and self.values.dtype.kind != "f":
            return self
        is_missing = np.zeros(self.values.shape, bool) if nodata is None else self.values == nodata
        if self.values.dtype.kind == "f":
            is_missing |= ~np.isfinite(self.values)
        return self._replace(missing=is_missing if is_missing.any() else None)

    def translated(self, values: Array) -> "DecodedImage":
        """The picture of the translated ``values``, of the same size: it has this picture's transparency, metadata,
        and pixels without data."""
        if self.missing is not None:
            values = self._without_data(values)
        elif self.metadata.nodata is not None:
            values = apart_from(values, self.metadata.nodata)
        channels, metadata = values.shape[2], self.metadata
        if channels != self.values.shape[2]:
            metadata = metadata.of_other_channels(channels)
        return DecodedImage(values, self.alpha, metadata=metadata)

    def _without_data(self, values: Array) -> Array:
        """``values`` with no data where this picture has none; if the channels differ, where any channel has none."""
        assert self.missing is not None
        is_alike = values.shape == self.values.shape
        where = self.missing if is_alike else self.missing.any(axis=2, keepdims=True)
        if is_alike and values.dtype == self.values.dtype:
            nothing: Array = self.values
        else:
            nodata, is_float = self.metadata.nodata, values.dtype.kind == "f"
            fill = nodata if nodata is not None and is_value_of(nodata, values.dtype) else np.nan if is_float else 0
            nothing = np.asarray(fill, values.dtype)
        if self.metadata.nodata is not None:
            values = apart_from(values, self.metadata.nodata)
        return np.where(where, nothing, values)


def prepared(image: DecodedImage, encoding: Encoding) -> Array:
    """``(H, W, C)`` as ``Encoding.normalised`` returns it, with the channels of ``encoding``.

    Raises:
        PictureError: ``image`` has other bands, or values that need a range.
    """
    return encoding.normalised(with_channels(filled(image, encoding), encoding.channels))


def filled(image: DecodedImage, encoding: Encoding) -> Array:
    """The values; pixels without data get the lowest value of ``encoding``."""
    if image.missing is None:
        return image.values
    return np.where(image.missing, in_type(encoding.low or 0, image.values.dtype), image.values)


def with_channels(values: Array, channels: int) -> Array:
    """``(H, W, C)`` with ``channels``: grey becomes three equal channels, and colour its luma.

    Raises:
        PictureError: other numbers of channels, which cannot be converted.
    """
    if values.shape[2] == channels:
        return values
    if not are_convertible(values.shape[2], channels):
        problem = f"a picture of {values.shape[2]} channels cannot be used where {channels} are needed"
        raise PictureError(problem, cure=LIKE_TRAINING)
    if channels == GREY:
        luma = values @ np.asarray(LUMA)
        return np.asarray(luma if values.dtype.kind == "f" else np.rint(luma)).astype(values.dtype)[:, :, None]
    return np.repeat(values, channels, axis=2)


def are_convertible(channels: int, wanted: int) -> bool:
    """Whether an image of ``channels`` has those that are ``wanted``, or ``with_channels`` makes them."""
    return channels == wanted or {channels, wanted} == {GREY, RGB}


def luminance(pictures: Tensor) -> Tensor:
    """``(B, H, W)``: the luma of colour; of other numbers of channels, their mean."""
    if pictures.shape[1] != len(LUMA):
        return pictures.mean(dim=1)
    weights = torch.tensor(LUMA, dtype=pictures.dtype, device=pictures.device)
    return torch.einsum("bchw,c->bhw", pictures, weights)


def displayed(values: Array) -> Array:
    """``(H, W, 1 or 3)`` of ``(H, W, C)``, to show it: the first three channels as red, green and blue, or the first
    one as grey."""
    return values[:, :, : RGB if values.shape[2] >= RGB else GREY]


def compared(values: Array, channels: int) -> Array:
    """``(H, W, C)`` with other ``channels``, to compare it with a picture that has them: what is ``displayed``, as
    grey or RGB; for bands, its luma in each."""
    if values.shape[2] == channels:
        return values
    shown = displayed(values)
    is_shown = channels in (GREY, RGB)
    return with_channels(shown, channels) if is_shown else np.repeat(with_channels(shown, GREY), channels, axis=2)


def on_white(values: Array, alpha: Array, *, associated: bool = False) -> Array:
    """``(H, W, C)`` composited on white with ``alpha``, ``(H, W)`` of the same type.

    ``associated``: the values are already multiplied by alpha.
    """
    peak, wide = Encoding.of(values).peak, values.astype(np.uint32)  # only uint8 and uint16 have transparency
    opacity = alpha[:, :, None].astype(np.uint32)
    white = peak - opacity
    flat = np.minimum(wide + white, peak) if associated else (wide * opacity + peak * white + peak // 2) // peak
    return flat.astype(values.dtype)


def with_alpha(values: Array, alpha: Array, *, associated: bool = False) -> DecodedImage:
    """The picture of ``values`` and ``alpha``, as ``on_white`` takes them."""
    return DecodedImage(on_white(values, alpha, associated=associated), alpha)


def to_pillow(values: Array, alpha: Array | None = None) -> Image.Image:
    """``(H, W, 1 or 3)`` and ``(H, W)`` as a Pillow image.

    Pillow holds 16 bits only for grey without transparency; other values of uint16 are rounded to 8 bits. Grey of other
    types becomes int32 or float32.
    """
    if values.dtype.name not in UNSIGNED:
        wide = np.float32 if values.dtype.kind == "f" else np.int32
        return Image.fromarray(np.ascontiguousarray(values[:, :, 0].astype(wide)))
    if values.dtype == np.uint16 and (values.shape[2] != GREY or alpha is not None):
        values = eight_bits(values)
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == GREY else values))
    if alpha is not None:
        image.putalpha(Image.fromarray(eight_bits(alpha)))
    return image


def from_pillow(image: Image.Image, name: Path | str = "the picture") -> DecodedImage:
    """``image`` as arrays, upright; notes call it ``name``. Keeps 16 bits of grey; Pillow has only 8 bits of colour."""
    note = frames_note(num_frames(image), name)
    image.load()
    if image.mode in WIDE_MODES:
        wide = DecodedImage(_values(image).astype(WIDE_MODES[image.mode])).with_missing()
        return wide.upright(orientation(image))._replace(note=note)
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
