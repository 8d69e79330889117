"""Distances between an image and the true one: both ``(H, W, C)`` uint8 of the same shape."""

from collections.abc import Sequence

import numpy as np

from diptych.data.encoding import PEAK, Array

MAX_PSNR = 100.0
"""PSNR of equal images, in dB, so that means stay finite."""
RADIUS = 5
WINDOW = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()


def psnr(picture: Array, truth: Array) -> float:
    """Peak signal-to-noise ratio in dB, at most 100: 10 log₁₀(peak² / mean squared difference), peak 255."""
    error = float(np.mean((picture.astype(np.float64) - truth) ** 2))
    return MAX_PSNR if error == 0 else min(MAX_PSNR, 10 * float(np.log10(PEAK**2 / error)))


def mean_psnr(pictures: Sequence[Array], truths: Sequence[Array]) -> float:
    """The mean ``psnr``, in dB."""
    return float(np.mean([psnr(picture, truth) for picture, truth in zip(pictures, truths, strict=True)]))


def ssim(picture: Array, truth: Array) -> float:
    """Structural similarity, 1 for equal images: Gaussian windows of 11×11 with σ 1.5, mirrored edges, mean over pixels
    and channels.

    The tests compare it with torchmetrics; filtering rows, then columns, takes a fraction of the time.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, "Image Quality Assessment: From Error Visibility to Structural
    Similarity", equation 13.
    """
    x, y = picture.astype(np.float64), truth.astype(np.float64)
    mean_x, mean_y, xx, yy, xy = _smooth(np.stack([x, y, x * x, y * y, x * y]))
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    covariance, variances = xy - mean_x * mean_y, (xx - mean_x**2).clip(0) + (yy - mean_y**2).clip(0)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variances + c2)).mean())


def _smooth(planes: Array) -> Array:
    """``(N, H, W, C)`` filtered with the window, at the same size."""
    for axis in (1, 2):
        edges = [(RADIUS, RADIUS) if axis == other else (0, 0) for other in range(planes.ndim)]
        wide, size = np.moveaxis(np.pad(planes, edges, mode="reflect"), axis, 0), planes.shape[axis]
        smooth = sum(weight * wide[place : place + size] for place, weight in enumerate(WINDOW))
        planes = np.moveaxis(np.asarray(smooth), 0, axis)
    return planes


def l1(picture: Array, truth: Array) -> float:
    """The mean absolute difference, in levels of 8 bits."""
    return float(np.abs(picture.astype(np.float64) - truth).mean())
