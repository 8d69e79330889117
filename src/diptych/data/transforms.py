"""From a decoded image to a batch: half, resize, crop, flip, stack.

Source: Isola et al. 2017 (pix2pix), appendix 6.2, and the authors' code of CycleGAN: bicubic resize to 286×286, crop to
256×256, flip of half.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from diptych.config import DataConfig, Interpolation
from diptych.data.encoding import GREY, RGB, UNSIGNED, Array, Encoding, scaled_to_eight_bits
from diptych.data.files import Half
from diptych.data.image import to_pillow
from diptych.rng import Stream, generator


class Crop(NamedTuple):
    """A square crop: its offsets as fractions in [0, 1) of the largest offsets, and whether it is flipped."""

    left: float
    top: float
    flipped: bool


CENTRE = Crop(0.5, 0.5, False)


def random_crop(seed: int, stream: Stream, count: int, *, flip: bool) -> Crop:
    """The crop of the image drawn as number ``count``."""
    left, top, coin = generator(seed, stream, count).random(3)
    return Crop(float(left), float(top), flip and bool(coin < 0.5))


def half_of(values: Array, half: Half | None) -> Array:
    """The left or right half of ``(H, W, ...)``; all of it where ``half`` is None. Drops the middle of an odd width."""
    width = values.shape[1]
    return {None: values, "left": values[:, : width // 2], "right": values[:, (width + 1) // 2 :]}[half]


def resize(
    values: Array, width: int, height: int, *, interpolation: Interpolation = "bicubic", draft: bool = False
) -> Array:
    """``(H, W, C)`` to ``(height, width, C)`` of the same type: by Pillow's antialiased bicubic filter, or ``nearest``.

    ``draft`` uses torch's filter for 8 bits: faster and equal, except that some values are rounded differently.
    """
    if values.shape[:2] == (height, width):
        return values
    if interpolation == "nearest":
        return nearest_resized(values, height, width)
    if values.dtype == np.uint8 and (draft or values.shape[2] in (GREY, RGB)):
        if draft:
            whole = torch.from_numpy(np.require(values, requirements=["C", "W"])).permute(2, 0, 1)[None]
            resized = F.interpolate(whole, size=(height, width), mode="bicubic", antialias=True)
            return np.asarray(resized[0].permute(1, 2, 0))
        return np.asarray(to_pillow(values).resize((width, height), Image.Resampling.BICUBIC)).reshape(
            height, width, -1
        )
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(values, 2, 0)]
    deep = [np.asarray(plane.resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    resized_values = np.stack(deep, axis=2)
    if values.dtype.name in UNSIGNED:
        low, high = 0, Encoding.of(values).peak
    else:  # the filter overshoots at edges
        low, high = values.min(), values.max()
    rounded = resized_values if values.dtype.kind == "f" else np.rint(resized_values)
    return np.asarray(rounded.clip(low, high).astype(values.dtype))


def nearest_resized(values: Array, height: int, width: int) -> Array:
    """``(H, W, ...)`` resized: each pixel takes the value at its centre."""
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(int)
    return np.asarray(values[rows[:, None], columns])


def fit(
    values: Array,
    data: DataConfig,
    *,
    stride: int,
    size: tuple[int, int] | None = None,
    interpolation: Interpolation = "bicubic",
    draft: bool = False,
) -> Array:
    """``(H, W, C)`` resized to the ``fitted_size`` of ``size`` (width, height), by default its own."""
    width, height = size or (values.shape[1], values.shape[0])
    target = fitted_size(width, height, data, stride=stride)
    return resize(values, *target, interpolation=interpolation, draft=draft)


def fit_whole(
    values: Array,
    data: DataConfig,
    *,
    stride: int,
    size: tuple[int, int] | None = None,
    interpolation: Interpolation = "bicubic",
) -> Array:
    """``(H, W, C)`` resized as in training, but to the crop size instead of the load size, and not cropped."""
    whole = replace(data, load_size=data.crop_size or data.load_size, crop_size=0)
    return fit(values, whole, stride=stride, size=size, interpolation=interpolation)


def fitted_size(width: int, height: int, data: DataConfig, *, stride: int) -> tuple[int, int]:
    """Width and height that ``data`` asks for, large enough for the crop.

    Without a crop, both are multiples of the network's ``stride``.
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


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def crop_and_flip(values: Array, crop: Crop, crop_size: int) -> Array:
    """``(H, W, C)`` to ``(crop_size, crop_size, C)``; not cropped where ``crop_size`` is 0."""
    if crop_size:
        height, width = values.shape[:2]
        top, left = int(crop.top * (height - crop_size + 1)), int(crop.left * (width - crop_size + 1))
        values = values[top : top + crop_size, left : left + crop_size]
    return values[:, ::-1] if crop.flipped else values


def stack(images: list[Array]) -> Tensor:
    """``(H, W, C)`` of one size to ``(B, C, H, W)`` in [0, 255]: uint8, or float32 if any image is deeper."""
    if any(Encoding.of(image).is_deep for image in images):
        images = [scaled_to_eight_bits(image) for image in images]
    return torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))
