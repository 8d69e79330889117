"""Label maps: pictures in which each colour is a class. A translated pixel has the class of the nearest colour.

The scores are those of semantic segmentation, as in the CycleGAN paper for photo → labels (section 5.1.1).
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diptych.data.encoding import RGB, Array
from diptych.data.image import displayed, with_channels
from diptych.errors import OptionError, PictureError

MAX_CLASSES = 64
CHUNK = 1 << 16
Labels = NDArray[np.intp]
"""``(H, W)``: the class number of each pixel."""


def find_palette(pictures: Iterable[Array]) -> Array:
    """The colours in ``pictures``, ``(K, 3)`` uint8, sorted.

    Raises:
        PictureError: more than 64, as after JPEG compression.
    """
    colours: set[tuple[int, ...]] = set()
    for picture in pictures:
        colours |= set(map(tuple, np.unique(with_channels(displayed(picture), RGB).reshape(-1, 3), axis=0).tolist()))
        if len(colours) > MAX_CLASSES:
            raise PictureError(
                f"the label maps have more than {MAX_CLASSES} colours (JPEG compression adds colours)",
                cure="list the classes' colours in a file and give it with --colours",
            )
    return np.asarray(sorted(colours), dtype=np.uint8)


def read_palette(file: Path) -> Array:
    """The colours in a text file, ``(K, 3)`` uint8: each line starts with #rrggbb; the rest of the line is ignored.

    Raises:
        OptionError: it cannot be read, a line does not start with a colour, or there are fewer than two colours.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise OptionError(f"{file} cannot be read ({error})", cure="give a text file") from None
    colours: dict[tuple[int, ...], None] = {}
    for number, line in enumerate(lines, start=1):
        if match := re.match(r"\s*#([0-9a-fA-F]{6})\b", line):
            colours[tuple(bytes.fromhex(match[1]))] = None
        elif line.strip():
            raise OptionError(f"{file}, line {number}, is {line.strip()!r}", cure="start it with a colour, #rrggbb")
    if len(colours) < 2:
        raise OptionError(f"{file} has {len(colours)} colours", cure="list two or more, one #rrggbb per line")
    return np.asarray(list(colours), dtype=np.uint8)


def labels_of(picture: Array, palette: Array) -> Labels:
    """The class of each pixel of ``(H, W, 1 or 3)`` uint8: the index of the nearest colour in ``palette``."""
    pixels, colours = with_channels(displayed(picture), RGB).reshape(-1, 3).astype(np.int32), palette.astype(np.int32)
    chunks = (pixels[start : start + CHUNK, None] for start in range(0, len(pixels), CHUNK))
    return np.concatenate([((c - colours) ** 2).sum(2).argmin(1) for c in chunks]).reshape(picture.shape[:2])


def confusion(labels: Labels, reference: Labels, num_classes: int) -> NDArray[np.int64]:
    """The confusion matrix ``(K, K)``: the number of pixels of each true class (row) and predicted class (column)."""
    counts = np.bincount((reference * num_classes + labels).reshape(-1), minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def label_scores(counts: NDArray[np.int64]) -> dict[str, float]:
    """Pixel accuracy, and the means over the true classes of accuracy and intersection over union, each in [0, 1].

    Source: Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", section 5.
    """
    correct, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    present = true > 0
    return {
        "pixel_accuracy": float(correct.sum() / counts.sum()),
        "class_accuracy": float((correct[present] / true[present]).mean()),
        "class_iou": float((correct[present] / (true + predicted - correct)[present]).mean()),
    }
