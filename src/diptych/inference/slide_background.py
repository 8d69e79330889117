"""The background of slides: what is nearly white."""

import numpy as np

from diptych.data.encoding import UNSIGNED, Array
from diptych.data.formats.slide_interface import Slide
from diptych.errors import OptionError
from diptych.inference.slide_scale import ScaledSlide
from diptych.networks.windows import Area

LEAVE_OUT = "leave --skip-background out"
BACKGROUND_LEVEL, BACKGROUND_FRACTION = 0.86, 0.995
"""A pixel is background if each channel is above this fraction of white; an area if this fraction of its pixels is."""
BLOCK = 64
"""Side in pixels of the areas that ``skip_background`` copies in tiles that are translated."""


def check_background(slide: Slide, *, is_alike: bool) -> None:
    """Refuses ``--skip-background`` where there is none; ``is_alike``: translations have type and range of the slide.

    Raises:
        OptionError: it has no white, or its values cannot be copied.
    """
    if slide.encoding.dtype not in UNSIGNED:
        problem = f"--skip-background needs 8 or 16 bits without sign, and {slide.path} holds {slide.encoding.dtype}"
        raise OptionError(problem, cure=LEAVE_OUT)
    if not is_alike:
        problem = "--skip-background copies values, and translations have another type, range or channels"
        raise OptionError(problem, cure=LEAVE_OUT)


def is_background(scaled: ScaledSlide, area: Area) -> bool:
    """Whether an area is nearly white."""
    return _is_white(scaled.slide.read(*scaled.coarse(area)))


def _is_white(values: Array) -> bool:
    """Whether nearly all pixels of ``(h, w, C)`` are nearly white."""
    limit = BACKGROUND_LEVEL * np.iinfo(values.dtype).max
    return bool((values.min(2) >= limit).mean() >= BACKGROUND_FRACTION)


def with_background(translation: Array, values: Array) -> Array:
    """``translation`` with the ``values`` of the slide in blocks that are nearly white."""
    result = translation.copy()
    for row in range(0, values.shape[0], BLOCK):
        for column in range(0, values.shape[1], BLOCK):
            block = np.s_[row : row + BLOCK, column : column + BLOCK]
            if _is_white(values[block]):
                result[block] = values[block]
    return result
