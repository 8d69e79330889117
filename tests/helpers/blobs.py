"""Synthetic grey pictures in pairs: soft spots on black, and the same inverted."""

import numpy as np
from PIL import Image

from diptych.config import SourceConfig

Y, X = np.mgrid[:40, :40]


def blobs(index):
    """(40, 40) uint8."""
    rng = np.random.default_rng(index)
    spots = [rng.uniform((40, 0, 0, 40), (120, 40, 40, 300)) for _ in range(6)]
    light = sum(height * np.exp(-((X - left) ** 2 + (Y - top) ** 2) / width) for height, left, top, width in spots)
    return light.clip(0, 255).astype(np.uint8)


def write_pairs(root, *, number, stored, suffix="png"):
    """Writes folders a and b; ``stored`` converts the 8-bit values."""
    for name in "ab":
        (root / name).mkdir(parents=True)
        for index in range(number):
            values = blobs(index) if name == "a" else 255 - blobs(index)
            Image.fromarray(stored(values)).save(root / name / f"{index:02}.{suffix}")
    return SourceConfig(a=root / "a", b=root / "b")
