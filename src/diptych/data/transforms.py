"""From a decoded picture to what a network sees: resize, crop, flip, and the range [-1, 1].

Source: the paper, appendix 7.1, and the authors' code: bicubic to 286×286, a random crop of 256, half of them mirrored.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diptych.config import DataConfig
from diptych.data.files import Half
from diptych.data.image import Array, resized
from diptych.rng import Stream, generator


class View(NamedTuple):
    """Which part of a picture is seen: the crop's place, as shares in [0, 1) of its room, and whether mirrored."""

    left: float
    top: float
    mirrored: bool


CENTRE = View(0.5, 0.5, False)


def random_view(seed: int, stream: Stream, count: int, *, flip: bool) -> View:
    """The view of the picture drawn as number ``count``."""
    left, top, mirror = generator(seed, stream, count).random(3)
    return View(float(left), float(top), flip and bool(mirror < 0.5))


def halved(values: Array, half: Half | None) -> Array:
    """The left or right half of ``(H, W, C)``, or all of it."""
    width = values.shape[1] // 2
    return {None: values, "left": values[:, :width], "right": values[:, width:]}[half]


def fit(values: Array, data: DataConfig, *, stride: int, draft: bool = False) -> Array:
    """A picture ``(H, W, C)`` resized to its ``fitted_size``; ``draft`` as ``resized`` takes it."""
    height, width = values.shape[:2]
    return resized(values, *fitted_size(width, height, data, stride=stride), draft=draft)


def fit_whole(values: Array, data: DataConfig, *, stride: int) -> Array:
    """A picture ``(H, W, C)`` as large as what training saw of it, all of it: resized, but not cropped, nor enlarged to
    a crop."""
    return fit(values, replace(data, load_size=data.crop_size or data.load_size, crop_size=0), stride=stride)


def fitted_size(width: int, height: int, data: DataConfig, *, stride: int) -> tuple[int, int]:
    """The size that ``data`` asks for, so that a picture can be cropped or, without a crop, translated.

    ``stride`` is what the network's sides must be multiples of.
    """
    size = data.load_size
    assert size is not None
    assert data.crop_size is not None
    match data.resize:
        case "square":
            width, height = size, size
        case "shorter":
            width, height = _scaled(width, height, size / min(width, height))
        case "width":
            width, height = _scaled(width, height, size / width)
    if data.crop_size == 0:
        width, height = (max(2, round(side / stride)) * stride for side in (width, height))
    elif min(width, height) < data.crop_size:
        width, height = _scaled(width, height, data.crop_size / min(width, height))
    return width, height


REDUCTIONS = (8, 4, 2)
"""How many times smaller libjpeg decodes, by leaving out the higher frequencies of each block."""
DRAFT_MARGIN = 4
"""What is decoded at a lower resolution is still so many times the size that it is resized to. What libjpeg leaves out,
resizing would have left out as well: the difference is below 1/255 on average, even of white noise; at 2 it is not."""


def reduction(size: tuple[int, int], target: tuple[int, int], *, num_columns: int = 1) -> int:
    """How many times smaller a picture of ``size`` may be decoded that is resized to ``target``: 1, 2, 4 or 8.

    A divisor of both sides (and of each of ``num_columns`` side by side), so that no pixel is cut.
    """
    (width, height), (least_width, least_height) = size, (DRAFT_MARGIN * side for side in target)
    fits = (
        factor
        for factor in REDUCTIONS
        if width >= factor * least_width
        and height >= factor * least_height
        and width % (factor * num_columns) == height % factor == 0
    )
    return next(fits, 1)


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def look(values: Array, view: View, crop_size: int) -> Array:
    """The part ``view`` of ``(H, W, C)``: ``(crop_size, crop_size, C)``, or all of it where ``crop_size`` is 0."""
    if crop_size:
        height, width = values.shape[:2]
        top, left = int(view.top * (height - crop_size + 1)), int(view.left * (width - crop_size + 1))
        values = values[top : top + crop_size, left : left + crop_size]
    return values[:, ::-1] if view.mirrored else values


def stack(pictures: list[Array]) -> Tensor:
    """Pictures ``(H, W, C)`` of one size as ``(B, C, H, W)`` over 0..255: uint8, or float32 where any has 16 bits."""
    if any(picture.dtype != np.uint8 for picture in pictures):
        pictures = [picture.astype(np.float32) * np.float32(255 / np.iinfo(picture.dtype).max) for picture in pictures]
    return torch.from_numpy(np.stack([picture.transpose(2, 0, 1) for picture in pictures]))


def to_network(batch: Tensor, device: torch.device | str = "cpu") -> Tensor:
    """``stack``'s 0..255 as contiguous float32 in [-1, 1] on ``device``: v / 127.5 − 1."""
    moved = batch.to(device, non_blocking=True)
    return moved.to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def from_network(batch: Tensor, dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> Array:
    """``(B, C, H, W)`` in [-1, 1] as arrays ``(B, H, W, C)`` over the range of ``dtype``, rounded to the nearest."""
    top = np.iinfo(dtype).max
    values = (batch.float() + 1) * (top / 2)
    return values.nan_to_num(0).round().clamp(0, top).permute(0, 2, 3, 1).cpu().numpy().astype(dtype)
