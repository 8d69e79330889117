"""Colour profiles (ICC): networks see sRGB. A picture in another profile is converted, and its translation back.

Only 8 bits of grey or colour are converted, by LittleCMS (Pillow's ImageCms). Without a profile, a picture counts as
sRGB.
"""

import io
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from diptych.data.encoding import GREY, RGB, Array, Encoding
from diptych.data.image import DecodedImage

INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC


class Conversion(NamedTuple):
    """From a profile to sRGB, and back."""

    to: Any
    back: Any


def to_srgb(image: DecodedImage, encoding: Encoding) -> DecodedImage:
    """``image`` with values of sRGB, if it has another profile that can be converted. ``encoding`` is that of its
    domain: with a range, values are measurements and stay as they are."""
    conversion = None if encoding.has_range else _conversion_of(image)
    if conversion is None:
        return image
    converted = _applied(conversion.to, image.values)
    return image._replace(values=converted[:, :, 1:2] if image.values.shape[2] == GREY else converted)


def translation_of(source: DecodedImage, output: DecodedImage, encodings: tuple[Encoding, Encoding]) -> DecodedImage:
    """The translation of ``source`` that has the values and the note of ``output``, brought back to its profile.

    ``encodings`` are those of the two domains. If the values cannot be brought back, they stay in sRGB, and the
    profile is dropped.
    """
    translation = source.translated(output.values)._replace(note=output.note)
    if encodings[0].has_range or _conversion_of(source) is None or translation.metadata.icc is None:
        return translation
    if encodings[1].has_range or (conversion := _conversion_of(translation)) is None:
        return translation._replace(metadata=translation.metadata.without_profile())
    values = translation.values
    if values.shape[2] == GREY:
        values = np.repeat(values, RGB, axis=2)
    return translation._replace(values=_applied(conversion.back, values))


def unconverted_profile(image: DecodedImage, encoding: Encoding) -> str:
    """The name of the profile of ``image``, if it is not sRGB and is not converted; else empty."""
    is_converted = not encoding.has_range and _conversion_of(image) is not None
    return "" if is_converted else image.metadata.profile_name


def _conversion_of(image: DecodedImage) -> Conversion | None:
    """How ``image`` is converted; None if it needs or has no conversion."""
    values, metadata = image.values, image.metadata
    if metadata.icc is None or values.dtype != np.uint8 or values.shape[2] not in (GREY, RGB):
        return None
    return _conversion(metadata.icc, values.shape[2]) if metadata.profile_name else None


@lru_cache(maxsize=64)
def _conversion(icc: bytes, channels: int) -> Conversion | None:
    """Conversion of 8 bits of ``channels`` between the profile and sRGB; None if the profile does not allow it."""
    mode = "L" if channels == GREY else "RGB"
    try:
        profile, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        return Conversion(
            ImageCms.buildTransform(profile, srgb, mode, "RGB", INTENT),
            ImageCms.buildTransform(srgb, profile, "RGB", mode, INTENT),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # damaged, or only for reading
        return None


def _applied(transform: Any, values: Array) -> Array:
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == GREY else values))
    converted = np.asarray(ImageCms.applyTransform(image, transform))
    return converted.reshape(*values.shape[:2], -1)
