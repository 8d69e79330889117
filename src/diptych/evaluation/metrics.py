"""How far a translation is from the truth, where the truth is known."""

import math
from collections.abc import Sequence

import numpy as np

from diptych.data.pictures import Array


def psnr(picture: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB of two ``(H, W, C)`` uint8: 10 log₁₀(255² / mean squared difference)."""
    error = np.mean((picture.astype(np.float64) - truth) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / float(error))


def mean_psnr(pictures: Sequence[Array], truths: Sequence[Array]) -> float:
    """The mean over pictures of their ``psnr``, in dB."""
    return float(np.mean([psnr(picture, truth) for picture, truth in zip(pictures, truths, strict=True)]))
