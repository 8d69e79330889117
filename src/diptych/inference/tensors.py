"""Tensors for a translator, in the layout of torchvision."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from diptych.data.encoding import Encoding, from_limits, to_limits
from diptych.errors import PictureError
from diptych.inference.forward import finite, memory_errors

if TYPE_CHECKING:
    from diptych.inference.translator import Translator


def translate_tensor(translator: "Translator", images: Tensor) -> Tensor:
    """``images``, ``(C, H, W)`` or a batch ``(B, C, H, W)``, translated, on the same device.

    Integers are values as in an array, and give the type that an array gives. Floats are in [0, 1], or in the range of
    a domain that has one. They keep their type, are neither rounded nor translated by tiles, and are computed in fp32.

    Raises:
        PictureError: of another shape, type or number of channels, or too large for the memory.
    """
    if images.ndim not in (3, 4) or not images.numel() or images.dtype == torch.bool or images.is_complex():
        problem = f"a tensor {tuple(images.shape)} of {images.dtype} is not an image"
        raise PictureError(problem, cure="give (C, H, W) or (B, C, H, W) of integers or floats")
    if images.ndim == 3:
        return translate_tensor(translator, images[None])[0]
    if images.is_floating_point():
        return _translate_floats(translator, images)
    arrays = [image.permute(1, 2, 0).cpu().numpy() for image in images]
    return torch.from_numpy(np.stack(translator.translate_batch(arrays))).permute(0, 3, 1, 2).to(images.device)


def _translate_floats(translator: "Translator", images: Tensor) -> Tensor:
    number, channels, height, width = images.shape
    if channels != translator.channels_in:
        problem = (
            f"a tensor {tuple(images.shape)} has {channels} channels, and the model takes {translator.channels_in}"
        )
        raise PictureError(problem, cure=f"give (B, {translator.channels_in}, H, W)")
    if not images.isfinite().all():
        raise PictureError("the tensor holds NaN or infinite values", cure="give finite ones, or an array")
    what = f"{number} images of {width}×{height} pixels"
    if lack := translator.lacks_memory(width, height, number=number, is_deep=True):
        raise PictureError(f"{what} need {lack}", cure="give fewer or smaller ones")
    with memory_errors(lambda _: PictureError(f"{what} need more memory than there is", cure="give fewer at a time")):
        batch = from_limits(images.float(), _limits(translator.encoding_in))
        outputs = finite(translator.at_any_size(translator.full_precision, batch))
    return to_limits(outputs, _limits(translator.encoding_out)).to(images)


def _limits(encoding: Encoding) -> tuple[float, float]:
    return encoding.limits if encoding.has_range else (0.0, 1.0)
