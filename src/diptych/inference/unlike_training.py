"""Warnings about pictures unlike those of training, each given once per folder. A function returns an empty text if
there is nothing to warn about."""

from pathlib import Path
from typing import Literal

import numpy as np

from diptych.data.colour import unconverted_profile
from diptych.data.files import Half
from diptych.data.image import DecodedImage, are_convertible
from diptych.data.used_values import NOTABLE
from diptych.inference.translator import Translator
from diptych.pair import Pair

Size = Literal["own", "training"]
SCALE_WARNING = 2.0


def scale_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del half
    height, width, _ = picture.values.shape
    data = translator.card.data
    trained, side = data.load_size, width if data.resize == "width" else min(height, width)
    if size == "training" or data.resize == "none" or not trained:
        return ""
    if 1 / SCALE_WARNING <= side / trained <= SCALE_WARNING:
        return ""
    return (
        f"{source} has {width}×{height} pixels, but training saw pictures of {trained}: "
        "if the translation looks wrong, give a copy of that size, or --size training"
    )


def pair_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del size
    height, width, _ = picture.values.shape
    if half is not None or translator.card.method != "pix2pix" or width != 2 * height:
        return ""
    first, _ = Pair("left", "right").along(translator.direction)
    return (
        f"{source} is twice as wide as it is high: if it is a pair side by side, give one half alone, or --half {first}"
    )


def profile_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del size, half
    name = unconverted_profile(picture, translator.encoding_in)
    return f"{source} has the colour profile {name}: values are not converted" if name else ""


def range_warning(translator: Translator, picture: DecodedImage, source: Path, size: Size, half: Half | None) -> str:
    del size, half
    encoding = translator.encoding_in
    low, high = encoding.limits
    trained = f"training saw values from {low:g} to {high:g}"
    if not encoding.has_range or not are_convertible(picture.values.shape[2], translator.channels_in):
        return ""  # the second is refused later
    if picture.encoding.dtype == "uint8" and high > picture.encoding.peak:
        return f"{source} has 8 bits, but {trained}: give pictures like those of training"
    is_outside = (picture.values < low) | (picture.values > high)
    outside = np.mean(is_outside if picture.missing is None else is_outside & ~picture.missing)
    return f"{source}: {outside:.0%} of the values are clipped, since {trained}" if outside > NOTABLE else ""


WARNINGS = (scale_warning, pair_warning, profile_warning, range_warning)
