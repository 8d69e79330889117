"""Duplicates by content: the same pixels, or nearly the same picture (encoded again, resized, brightened).

Near-duplicates are found by comparing thumbnails after removing their mean and contrast. Source: Torralba, Fergus,
Freeman, "80 million tiny images" (PAMI 2008), section 3: normalised squared distance of tiny pictures. A perceptual
hash of 64 bits does worse: for symmetric pictures and plain backgrounds, half of its bits are signs of numbers near
zero, which change with each JPEG encoding.
"""

import hashlib

import numpy as np
from PIL import Image

from diptych.data.encoding import RGB, Array, eight_bits
from diptych.data.image import LUMA, to_pillow, with_channels

SIDE = 16
"""Side of a thumbnail, in pixels."""
MAX_MEAN_DIFFERENCE, MAX_DETAIL_DISTANCE, MAX_COARSE_DISTANCE = 24.0, 0.02, 0.05
"""Largest differences between near-duplicates: in the mean of a channel (levels), and in squared distance per pixel of
all details (0.02 is a correlation of 0.99) and of the coarse details, which select the candidates."""
FLAT = 8.0
"""Contrast (standard deviation in levels) below which a picture counts as plain, so that noise is not compared."""
ROWS = 256


def content_hash(values: Array) -> bytes:
    """A hash of decoded pixels ``(H, W, C)``."""
    kind = f"{values.shape}{values.dtype}".encode()
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=16, key=kind).digest()


def thumbnail(values: Array) -> Array:
    """``(H, W, C)`` as ``(16, 16, 3)`` uint8; each pixel is the mean of its part of the image."""
    small = to_pillow(eight_bits(values)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return with_channels(np.asarray(small).reshape(SIDE, SIDE, -1), RGB)


def similar(thumbnails: Array) -> list[list[int]]:
    """Groups of indices of ``(N, 16, 16, 3)`` thumbnails that show nearly the same picture, each in ascending order.

    Compares the coarse details of all pairs by matrix products, then the remaining candidates in full.
    """
    coarse, means = _coarse(thumbnails), thumbnails.mean(axis=(1, 2))
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
            details = _details(thumbnails[np.append(others, first)].reshape(-1, SIDE * SIDE, RGB))
            found = others[((details[:-1] - details[-1]) ** 2).mean(axis=(1, 2)) <= MAX_DETAIL_DISTANCE]
            taken[found] = True
            if len(found):
                groups.append([first, *map(int, found)])
    return groups


def _coarse(thumbnails: Array) -> Array:
    """Details of the luma at half the side: ``(N, 64)``."""
    luma = thumbnails.astype(np.float32) @ np.asarray(LUMA, np.float32)
    half = SIDE // 2
    return _details(luma.reshape(-1, half, 2, half, 2).mean(axis=(2, 4)).reshape(-1, half * half, 1))[:, :, 0]


def _details(images: Array) -> Array:
    """``(N, pixels, C)`` minus the mean of each channel, divided by the contrast of each image."""
    centred = images - images.mean(axis=1, keepdims=True, dtype=np.float32)
    contrast = np.sqrt((centred**2).mean(axis=(1, 2), keepdims=True))
    scaled: Array = centred / np.maximum(contrast, FLAT)
    return scaled
