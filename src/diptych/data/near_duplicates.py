"""Duplicates by content: the same pixels, or nearly the same picture (encoded again, resized, brightened).

Near-duplicates are found by comparing thumbnails after removing their mean and contrast. Source: Torralba, Fergus,
Freeman, "80 million tiny images" (PAMI 2008): normalised squared distance of tiny pictures. A perceptual hash of 64
bits does worse: for symmetric pictures and plain backgrounds, half of its bits are signs of numbers near
zero, which change with each JPEG encoding.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from diptych.data.encoding import PEAK, RGB, UNSIGNED, Array, scaled_to_eight_bits
from diptych.data.image import LUMA, displayed, with_channels

SIDE = 16
"""Side of a thumbnail, in pixels."""
MAX_MEAN_DIFFERENCE, MAX_DETAIL_DISTANCE, MAX_COARSE_DISTANCE = 24.0, 0.02, 0.05
"""Largest differences between near-duplicates. First, of the means of a channel (0 to 255). Then the squared distance
per pixel of all details; 0.02 is a correlation of 0.99. Last, that of the coarse details, which select candidates."""
MAX_FLAT, NOISE = 8.0, 12.0
"""A thumbnail is flat, and its noise is not compared, if its contrast is below 12 standard errors of its pixels. This
limit is never above 8 (of 255). So dark scans with little noise are still compared."""
LARGE = 1024
"""If the shorter side is at least n times this, every n-th row and column are enough."""
ROWS = 256


def content_hash(values: Array) -> bytes:
    """A hash of decoded pixels ``(H, W, C)``."""
    kind = f"{values.shape}{values.dtype}".encode()
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=16, key=kind).digest()


class Thumbnail(NamedTuple):
    """A small picture to compare."""

    values: Array
    """``(16, 16, 3)`` float32 in [0, 255], not rounded."""
    flat: float
    """Contrast (standard deviation, 0 to 255) below which it is flat."""


def thumbnail(values: Array) -> Thumbnail:
    """The thumbnail of ``(H, W, C)``: each of its pixels is the mean of a part of the image."""
    small, variances = [], []
    step = max(1, min(values.shape[:2]) // LARGE)
    values = displayed(values[::step, ::step])
    levels = np.iinfo(values.dtype).max if values.dtype.name in UNSIGNED else PEAK
    if values.dtype.name not in UNSIGNED:
        values = _between_extremes(values)
    for plane in map(scaled_to_eight_bits, np.moveaxis(values, 2, 0)):
        small.append(np.asarray(Image.fromarray(plane).resize((SIDE, SIDE), Image.Resampling.BOX)))
        variances.append(max(0.0, float(plane.var() - small[-1].var())))
    error = (np.mean(variances) / max(1.0, values[..., 0].size / SIDE**2)) ** 0.5
    rounding = PEAK / levels / 20
    return Thumbnail(with_channels(np.stack(small, axis=2), RGB), float(np.clip(NOISE * error, rounding, MAX_FLAT)))


def _between_extremes(values: Array) -> Array:
    """Values of a type without a range of its own as float32 in [0, 255], black and white at their extremes."""
    finite = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = finite.min(), finite.max()
    scaled: Array = ((finite - low) * (PEAK / max(high - low, 1e-300))).astype(np.float32)
    return scaled


def similar(pictures: Sequence[Thumbnail]) -> list[list[int]]:
    """Groups of indices of ``pictures``, at least one, that show nearly the same, each in ascending order.

    Compares the coarse details of all pairs by matrix products, then the remaining candidates in full.
    """
    thumbnails, flat = np.stack([one.values for one in pictures]), np.asarray([one.flat for one in pictures])
    coarse, means = _coarse(thumbnails, flat), thumbnails.mean(axis=(1, 2))
    lengths = (coarse**2).sum(axis=1)
    taken = np.zeros(len(thumbnails), bool)
    groups: list[list[int]] = []
    for start in range(0, len(thumbnails), ROWS):
        rows = slice(start, start + ROWS)
        distances = lengths[rows, None] + lengths[start:] - 2 * coarse[rows] @ coarse[start:].T
        near = np.triu(distances <= MAX_COARSE_DISTANCE * coarse.shape[1], k=1)
        for row in np.flatnonzero(near.any(axis=1)):
            first, others = start + int(row), start + np.flatnonzero(near[row])
            if taken[first]:
                continue
            others = others[~taken[others] & (abs(means[others] - means[first]).max(axis=1) <= MAX_MEAN_DIFFERENCE)]
            compared = np.append(others, first)
            details = _details(thumbnails[compared].reshape(-1, SIDE * SIDE, RGB), flat[compared])
            found = others[((details[:-1] - details[-1]) ** 2).mean(axis=(1, 2)) <= MAX_DETAIL_DISTANCE]
            taken[found] = True
            if len(found):
                groups.append([first, *map(int, found)])
    return groups


def _coarse(thumbnails: Array, flat: Array) -> Array:
    """Details of the luma at half the side: ``(N, 64)``."""
    luma = thumbnails.astype(np.float32) @ np.asarray(LUMA, np.float32)
    half = SIDE // 2
    return _details(luma.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)).reshape(-1, half * half, 1), flat)[:, :, 0]


def _details(images: Array, flat: Array) -> Array:
    """``(N, pixels, C)`` minus the mean of each channel, divided by the contrast of each image, at least ``flat``."""
    centred = images - images.mean(axis=1, keepdims=True, dtype=np.float32)
    contrast = np.sqrt((centred**2).mean(axis=(1, 2), keepdims=True))
    scaled: Array = centred / np.maximum(contrast, flat[:, None, None])
    return scaled
