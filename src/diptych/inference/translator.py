"""A trained generator as a function from picture to picture."""

import contextlib
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from diptych.config import DeviceName, Direction, EngineConfig, Precision
from diptych.data.encoding import Array, from_network, to_network
from diptych.data.image import DecodedImage, from_pillow, to_pillow, with_channels
from diptych.data.transforms import fit_whole, resize, stack
from diptych.device import Device, resolve_engine
from diptych.errors import OptionError, PictureError
from diptych.model import Model, ModelCard, load_model

MIN_SIDE = 8

AnyPicture = TypeVar("AnyPicture", Image.Image, Array)


class Translator:
    """Translates pictures of one domain to the other, each at its own size.

    ``translator(image)`` takes and returns a Pillow image, or a numpy array ``(H, W)`` or ``(H, W, 1 or 3)`` of uint8
    or uint16, of the same size, bit depth and channels. Only where the model's domains differ in channels are the
    channels those of the target domain (and a Pillow image has 8 bits where that is colour). Transparency is kept; what
    is translated then lies on white. Pillow's other modes come back as the nearest of L, LA, RGB and RGBA.
    """

    def __init__(self, network: nn.Module, card: ModelCard, direction: Direction, device: Device) -> None:
        self.network, self.card, self.direction, self.device = network.eval(), card, direction, device
        device.to(self.network)
        self.channels_in, self.channels_out = card.channels.along(direction)
        self.source, self.target = card.names.along(direction)

    @classmethod
    def load(
        cls,
        path: Path | str,
        direction: Direction = "a2b",
        *,
        device: DeviceName = "cpu",
        precision: Precision = "fp32",
    ) -> "Translator":
        """The translator in ``path``, a ``model.safetensors`` or a run folder.

        ``precision`` is of pictures of 8 bits; with ``auto`` it is bf16 where the machine has it, sooner and about as
        exact as the rounding to 8 bits. Deeper pictures are always translated in fp32.

        Raises:
            WeightsError: missing, damaged, of another kind, or of a later version.
            OptionError: the model has no such direction, or the machine no such device or precision.
        """
        return cls.of(load_model(Path(path)), direction, device=device, precision=precision)

    @classmethod
    def of(
        cls, model: Model, direction: Direction, *, device: DeviceName = "cpu", precision: Precision = "fp32"
    ) -> "Translator":
        """The translator of a loaded model's ``direction``.

        Raises:
            OptionError: the model has no such direction, or the machine no such device or precision.
        """
        if direction not in model.networks:
            raise OptionError(f"this model has no direction {direction}", cure=f"give {' or '.join(model.networks)}")
        if set(model.card.channels) - {1, 3}:
            a, b = model.card.channels
            raise OptionError(
                f"pictures have 1 or 3 channels, and this model's {a} and {b}",
                cure="call its networks in Python, by diptych.model.load_model",
            )
        target = Device(resolve_engine(EngineConfig(device=device, precision=precision)))
        return cls(model.networks[direction], model.card, direction, target)

    def __call__(self, image: AnyPicture) -> AnyPicture:
        """``image`` translated.

        Raises:
            PictureError: a type of pixel that is not translated, or too large for the memory.
        """
        if isinstance(image, Image.Image):
            made = self.translate(from_pillow(image))
            return to_pillow(made.values, made.alpha)
        flat = image.ndim == 2
        if (
            image.dtype not in (np.uint8, np.uint16)
            or image.ndim not in (2, 3)
            or (not flat and image.shape[2] not in (1, 3))
            or image.size == 0
        ):
            raise PictureError(
                f"an array {image.shape} of {image.dtype} is no picture",
                cure="give (H, W) or (H, W, 1 or 3) of uint8 or uint16",
            )
        values = self.translate(DecodedImage(image[:, :, None] if flat else image)).values
        return values[:, :, 0] if flat and values.shape[2] == 1 else values

    def translate(self, picture: DecodedImage) -> DecodedImage:
        """``picture`` translated, its transparency kept.

        Raises:
            PictureError: too large for the memory.
        """
        values = picture.values
        batch = to_network(
            stack([with_channels(values, self.channels_in)]), self.device.torch_device, self.device.memory_format
        )
        exact = picture.encoding.is_deep  # bf16 rounds to 8 bits
        try:
            with contextlib.nullcontext() if exact else self.device.autocast():
                output = self.generate(batch)
        except (RuntimeError, MemoryError) as error:
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            size = f"{values.shape[1]}×{values.shape[0]} pixels"
            raise PictureError(f"{size} need more memory than there is", cure="give a smaller picture") from None
        made: Array = from_network(output, picture.encoding.dtype)[0]
        keeps_channels = self.channels_in == self.channels_out
        return DecodedImage(with_channels(made, values.shape[2]) if keeps_channels else made, picture.alpha)

    @torch.no_grad()
    def generate(self, batch: Tensor) -> Tensor:
        """The generator's output for ``(B, C, H, W)`` in [-1, 1] of any height and width, at the same size."""
        height, width = batch.shape[2:]
        padded = pad_to_stride(batch, self.card.generator.stride)
        top, left = (padded.shape[2] - height) // 2, (padded.shape[3] - width) // 2
        output: Tensor = self.network(padded)
        return output[:, :, top : top + height, left : left + width]

    def at_training_size(self, picture: DecodedImage) -> DecodedImage:
        """``picture`` and its transparency as ``fit_whole`` makes them."""
        values = fit_whole(picture.values, self.card.data, stride=self.card.generator.stride)
        height, width = values.shape[:2]
        alpha = None if picture.alpha is None else resize(picture.alpha[:, :, None], width, height)[:, :, 0]
        return DecodedImage(values, alpha, picture.note)

    def scale_of(self, picture: DecodedImage) -> float:
        """How many times larger ``picture`` is than those of training were, after resizing (if any, else 1)."""
        data = self.card.data
        if data.resize == "none" or not data.load_size:
            return 1.0
        height, width = picture.values.shape[:2]
        side: int = width if data.resize == "width" else min(height, width)
        return side / data.load_size


def pad_to_stride(batch: Tensor, stride: int) -> Tensor:
    """``(B, C, H, W)`` padded on all sides to multiples of ``stride`` and at least 8: by reflection where it reaches,
    else by repeating the edge."""
    sides = []
    for side in (batch.shape[3], batch.shape[2]):
        extra = max(MIN_SIDE, -(-side // stride) * stride) - side
        sides += [extra // 2, extra - extra // 2]
    if not any(sides):
        return batch
    reaches = max(sides[:2]) < batch.shape[3] and max(sides[2:]) < batch.shape[2]
    return F.pad(batch, sides, mode="reflect" if reaches else "replicate")
