"""Label maps: pictures in which a colour is a class. A translated one is read by the nearest colour.

The scores are those of semantic segmentation, by which the CycleGAN paper judges photo → labels (section 5.1.1).
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diptych.data.encoding import RGB, Array
from diptych.data.image import with_channels
from diptych.errors import OptionError, PictureError

MAX_CLASSES = 64
CHUNK = 1 << 16
Labels = NDArray[np.intp]
"""``(H, W)``: the number of each pixel's class."""


def find_palette(pictures: Iterable[Array]) -> Array:
    """The colours in ``pictures``, ``(K, 3)`` uint8, sorted.

    Raises:
        PictureError: more than 64, as where label maps went through JPEG.
    """
    found: set[tuple[int, ...]] = set()
    for picture in pictures:
        found |= set(map(tuple, np.unique(with_channels(picture, RGB).reshape(-1, 3), axis=0).tolist()))
        if len(found) > MAX_CLASSES:
            raise PictureError(
                f"the label maps have more than {MAX_CLASSES} colours (as JPEG makes them)",
                cure="list the classes' colours in a file and give it with --colours",
            )
    return np.asarray(sorted(found), dtype=np.uint8)


def read_palette(file: Path) -> Array:
    """The colours in a text file, ``(K, 3)`` uint8: one #rrggbb at the beginning of each line, then anything.

    Raises:
        OptionError: it cannot be read, or a line begins otherwise, or there are fewer than two colours.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise OptionError(f"{file} cannot be read ({error})", cure="give a text file") from None
    colours = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not (found := re.match(r"\s*#([0-9a-fA-F]{6})\b", line)):
            raise OptionError(f"{file}, line {number}, is {line.strip()!r}", cure="begin it with a colour, #rrggbb")
        colours.append(tuple(bytes.fromhex(found[1])))
    if len(set(colours)) < 2:
        raise OptionError(f"{file} has {len(set(colours))} colours", cure="list two or more, each as #rrggbb in a line")
    return np.asarray(list(dict.fromkeys(colours)), dtype=np.uint8)


def labels_of(picture: Array, palette: Array) -> Labels:
    """The class of each pixel of ``(H, W, 1 or 3)`` uint8: the number of the nearest colour of ``palette``."""
    pixels, colours = with_channels(picture, RGB).reshape(-1, 3).astype(np.int32), palette.astype(np.int32)
    chunks = [
        ((pixels[start : start + CHUNK, None] - colours) ** 2).sum(2).argmin(1)
        for start in range(0, len(pixels), CHUNK)
    ]
    return np.concatenate(chunks).reshape(picture.shape[:2])


def nearest_resized(labels: Labels, height: int, width: int) -> Labels:
    """``labels`` at another size, each pixel that of the place where its centre falls."""
    rows = ((np.arange(height) + 0.5) * labels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * labels.shape[1] / width).astype(int)
    chosen: Labels = labels[rows[:, None], columns]
    return chosen


def confusion(made: Labels, truth: Labels, num_classes: int) -> NDArray[np.int64]:
    """``(K, K)``: how many pixels of each true class (row) were made which class (column)."""
    counts = np.bincount((truth * num_classes + made).reshape(-1), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def label_scores(counts: NDArray[np.int64]) -> dict[str, float]:
    """Per-pixel accuracy, and the means over the true classes of accuracy and intersection over union, each in 0..1.

    Source: Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 5.
    """
    right, true, made = np.diag(counts), counts.sum(1), counts.sum(0)
    there = true > 0
    return {
        "pixel_accuracy": float(right.sum() / counts.sum()),
        "class_accuracy": float((right[there] / true[there]).mean()),
        "class_iou": float((right[there] / (true + made - right)[there]).mean()),
    }
