"""Synthetic pictures: orange and blue squares, as two domains or as pairs."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 32
ORANGE, BLUE = (240, 140, 20), (30, 80, 230)


def square(index: int, colour: tuple[int, int, int]) -> Image.Image:
    """A square of ``colour`` on dark grey. Position and size depend on ``index`` alone."""
    rng = np.random.default_rng(index)
    values = np.full((SIZE, SIZE, 3), 50, np.uint8)
    side, (top, left) = rng.integers(10, 18), rng.integers(2, 12, 2)
    values[top : top + side, left : left + side] = colour
    return Image.fromarray(values)


def make_squares(root: Path, *, train: int, test: int = 4) -> Path:
    """Writes trainA (orange squares), trainB (blue squares at other positions), and testA and testB (true pairs)."""
    for part, colour, start, number in (
        ("trainA", ORANGE, 0, train), ("trainB", BLUE, 1000, train), ("testA", ORANGE, 2000, test), ("testB", BLUE, 2000, test),
    ):  # fmt: skip
        (root / part).mkdir(parents=True)
        for index in range(start, start + number):
            square(index, colour).save(root / part / f"{index}.png")
    return root


def side_by_side(root, *, number=24):
    """Writes pairs as side-by-side pictures: orange on the left, blue on the right."""
    for part, start, count in (("train", 0, number), ("val", 2000, 4)):
        (root / part).mkdir(parents=True)
        for index in range(start, start + count):
            both = Image.new("RGB", (64, 32))
            both.paste(square(index, ORANGE), (0, 0))
            both.paste(square(index, BLUE), (32, 0))
            both.save(root / part / f"{index}.png")
    return root
