"""Colour profiles (ICC): networks see sRGB. A picture in another profile is converted, and its translation back.

Only 8 bits of grey or colour are converted: by the profile's formula, without rounding in between, so that a colour
that sRGB holds comes back exactly; or if the profile has tables instead, by LittleCMS (Pillow's ImageCms), which rounds
to 8 bits. Without a profile, a picture counts as sRGB.
"""

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageCms
from torch import Tensor

from diptych.data.encoding import GREY, RGB, Array, Encoding, from_network
from diptych.data.icc import FormulaConversion, formula_of
from diptych.data.image import DecodedImage, with_channels

INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


class Conversion(Protocol):
    """From 8 bits of a profile to sRGB as float32 in [0, 255], and back: ``(H, W, C)``."""

    def to_srgb(self, values: Array) -> Array: ...

    def from_srgb(self, values: Array) -> Array: ...


class Colours(NamedTuple):
    """How an image reaches the network, and how its translation comes back; None if the values stay as they are."""

    to_srgb: Callable[[Array], Array] | None = None
    from_srgb: Callable[[Array], Array] | None = None


AS_THEY_ARE = Colours()


def colours_of(image: DecodedImage, source: Encoding, target: Encoding, channels: int) -> Colours:
    """The colours of ``image``, whose translation has ``channels``. ``source`` and ``target`` are the encodings of the
    two domains: with a range, values are measurements and stay as they are."""
    conversion = _conversion_of(image, source)
    if conversion is None:
        return AS_THEY_ARE
    is_back = not target.has_range and channels == image.values.shape[2]
    return Colours(conversion.to_srgb, conversion.from_srgb if is_back else None)


def to_srgb(image: DecodedImage, encoding: Encoding) -> DecodedImage:
    """``image`` with values of sRGB, rounded to 8 bits, if it has another profile that can be converted. ``encoding``
    is that of its domain."""
    conversion = _conversion_of(image, encoding)
    if conversion is None:
        return image
    return image._replace(values=np.rint(conversion.to_srgb(image.values)).astype(np.uint8))


def seen(values: Array, colours: Colours, encoding: Encoding) -> Array:
    """What a network whose input has ``encoding`` sees of an image's ``values``, for ``stack``."""
    if colours.to_srgb is None:
        return encoding.normalised(with_channels(values, encoding.channels))
    return with_channels(colours.to_srgb(values), encoding.channels)


def returned(output: Tensor, colours: Colours, encoding: Encoding) -> Array:
    """``(H, W, C)`` of ``encoding``: a network's output ``(C, H, W)`` in [-1, 1], in the colours of its input."""
    dtype = encoding.dtype if colours.from_srgb is None else "float32"
    (values,) = from_network(output[None], dtype, limits=encoding.limits)
    values = with_channels(values, encoding.channels)
    return values if colours.from_srgb is None else colours.from_srgb(values)


def translation_of(source: DecodedImage, output: DecodedImage, colours: Colours) -> DecodedImage:
    """The translation of ``source`` that has the values and the note of ``output``. If the values were not brought back
    to its profile, they are in sRGB, and the profile is dropped."""
    translation = source.translated(output.values)._replace(note=output.note)
    if colours.to_srgb is None or colours.from_srgb is not None or translation.metadata.icc is None:
        return translation
    return translation._replace(metadata=translation.metadata.without_profile())


def unconverted_profile(image: DecodedImage, encoding: Encoding) -> str:
    """The name of the profile of ``image``, if it is not sRGB and is not converted; else empty."""
    return "" if _conversion_of(image, encoding) is not None else image.metadata.profile_name


def _conversion_of(image: DecodedImage, encoding: Encoding) -> Conversion | None:
    """How ``image`` of a domain with ``encoding`` is converted; None if it needs or has no conversion."""
    values, metadata = image.values, image.metadata
    if encoding.has_range or metadata.icc is None or values.dtype != np.uint8 or values.shape[2] not in (GREY, RGB):
        return None
    return _conversion(metadata.icc, values.shape[2]) if metadata.profile_name else None


@lru_cache(maxsize=64)
def _conversion(icc: bytes, channels: int) -> Conversion | None:
    """Conversion of ``channels`` between the profile and sRGB; None if the profile does not allow it."""
    try:
        profile, srgb = (
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        )
        formulas = formula_of(icc, channels), formula_of(srgb.tobytes(), RGB)
        if formulas[0] is not None and formulas[1] is not None:
            return FormulaConversion(formulas[0], formulas[1])
        return TableConversion(profile, srgb, "L" if channels == GREY else "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged, or only for reading
        return None


class TableConversion:
    """By LittleCMS, in 8 bits."""

    def __init__(self, profile: ImageCms.ImageCmsProfile, srgb: ImageCms.ImageCmsProfile, mode: str) -> None:
        self._to = ImageCms.buildTransform(profile, srgb, mode, "RGB", INTENT)
        self._back = ImageCms.buildTransform(srgb, profile, "RGB", mode, INTENT)

    def to_srgb(self, values: Array) -> Array:
        converted = _applied(self._to, values)
        return (converted[:, :, 1:2] if values.shape[2] == GREY else converted).astype(np.float32)

    def from_srgb(self, values: Array) -> Array:
        rounded = np.rint(values).astype(np.uint8)
        return _applied(self._back, np.repeat(rounded, RGB, axis=2) if values.shape[2] == GREY else rounded)


def _applied(transform: Any, values: Array) -> Array:
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == GREY else values))
    converted = np.asarray(ImageCms.applyTransform(image, transform))
    return converted.reshape(*values.shape[:2], -1)
