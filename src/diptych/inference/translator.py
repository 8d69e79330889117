"""A trained generator as a function from image to image."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diptych.config import DeviceName, Direction, InferenceEngine, Precision
from diptych.data.colour import Colours, colours_of, returned, seen, translation_of
from diptych.data.encoding import Array, Encoding, output_encoding, to_network
from diptych.data.image import DecodedImage, filled
from diptych.data.transforms import fit_whole, nearest_resized, resize, stack
from diptych.errors import OptionError, PictureError
from diptych.inference.conversion import AnyImage, decoded_image, like_image
from diptych.inference.engine_choice import forwards_of
from diptych.inference.exported_model import is_exported, load_exported
from diptych.inference.forward import Forward, TorchForward, finite, in_torch, memory_errors
from diptych.inference.padding import pad_to_stride
from diptych.inference.tensors import translate_tensor
from diptych.inference.tiled_translation import SCRATCH_GIB, Tile, can_be_tiled, check_tile, translate_by_tiles
from diptych.memory import MEMORY_MARGIN, available_memory, predicted_peak, shortage
from diptych.model import Model, ModelCard, load_model

IMAGE_BYTES = 24
"""Bytes per pixel for the image itself, before and after the network."""
AMPLE_BYTES = 2**14
"""Bytes per pixel that suffice for any network. If more are free, no prediction is made (it takes 1 s)."""


class LackOfMemoryError(PictureError):
    """Images that do not fit in memory."""


class Translator:
    """Translates images of one domain to the other, each at its own size.

    ``translator(image)`` takes and returns a Pillow image, a ``DecodedImage``, or a numpy array ``(H, W)`` or
    ``(H, W, C)``, of integers of up to 32 bits or of floats. Size, type and number of channels are kept. If A and B
    differ in channels, the result has those of the target domain. If the target domain has a range, the result has its
    values, in its type. Pillow images in colour have 8 bits; those with a colour profile are brought to sRGB and back.
    Transparency is kept; the network sees a transparent image on white. NaN and infinities, which are no data, stay
    where they are. Pillow modes such as CMYK become the nearest of L, LA, RGB and RGBA. See also ``translate_tensor``.

    Threads may share a translator.
    """

    def __init__(
        self,
        forward: Forward,
        card: ModelCard,
        direction: Direction,
        *,
        full_precision: Forward | None = None,
        free_memory: Callable[[], int | None] = available_memory,
        tile: Tile = "auto",
        scratch_gib: float = SCRATCH_GIB,
    ) -> None:
        """``forward`` translates 8-bit images, ``full_precision`` deeper ones (by default ``forward``).

        ``tile`` is the side of the tiles that an image is translated by: see ``TiledTranslation``. ``auto`` uses tiles
        only for images that do not fit in memory; 0 never does. ``scratch_gib`` limits their scratch file.

        ``free_memory`` returns how many bytes there are for a translation on the CPU. If it returns None, nothing is
        checked.
        """
        self.forward, self.full_precision, self.free_memory = forward, full_precision or forward, free_memory
        self.card, self.direction, self.tile, self.scratch_gib = card, direction, tile, scratch_gib
        self.channels_in, self.channels_out = card.channels.along(direction)
        self.encoding_in, self.encoding_out = card.encodings.along(direction)
        self.source, self.target = card.names.along(direction)

    @property
    def is_on_cpu(self) -> bool:
        """Whether the network computes on the CPU."""
        forward = in_torch(self.forward)
        return not isinstance(forward, TorchForward) or forward.is_on_cpu

    @classmethod
    def load(
        cls,
        path: Path | str,
        direction: Direction | None = None,
        *,
        device: DeviceName = "cpu",
        precision: Precision = "fp32",
        engine: InferenceEngine = "torch",
        tile: Tile = "auto",
        scratch_gib: float = SCRATCH_GIB,
        trust_code: bool = False,
    ) -> "Translator":
        """The translator in ``path``: a run folder, a ``model.safetensors``, or a file of ``diptych export``.

        By default ``direction`` is a2b, or the only one. ``precision`` applies to 8-bit images: ``auto`` is bf16 if
        the machine has it, with an error of about that of 8-bit rounding. Deeper images are always translated in fp32.
        ``engine`` computes the network: see ``engines.py``. ``trust_code``: see ``load_model``.

        Raises:
            UntrustedCodeError: the file names a class outside of diptych, without ``trust_code``.
            WeightsError: the file is missing, damaged, no model, or of a later version.
            OptionError, MissingExtraError: as ``of``.
        """
        path = Path(path)
        if is_exported(path):
            found = load_exported(path, engine, device=device, precision=precision, trust_code=trust_code)
            found.refuse(direction, tile)
            return cls(found.forward, found.card, found.direction, full_precision=found.exact, tile=0)
        model = load_model(path, trust_code=trust_code)
        direction = direction or model.default_direction
        return cls.of(
            model, direction, device=device, precision=precision, engine=engine, tile=tile, scratch_gib=scratch_gib
        )

    @classmethod
    def of(
        cls,
        model: Model,
        direction: Direction,
        *,
        device: DeviceName = "cpu",
        precision: Precision = "fp32",
        engine: InferenceEngine = "torch",
        tile: Tile = "auto",
        scratch_gib: float = SCRATCH_GIB,
    ) -> "Translator":
        """The translator for ``direction`` of a loaded model. Moves the network to the device.

        Raises:
            OptionError: the model lacks the direction, or the machine or the engine lacks the device or precision.
            MissingExtraError: the engine is not installed.
        """
        if direction not in model.networks:
            raise OptionError(f"this model has no direction {direction}", cure=f"give {' or '.join(model.networks)}")
        check_tile(tile, model.networks[direction])
        forward, exact = forwards_of(model, direction, engine, device=device, precision=precision)
        return cls(forward, model.card, direction, full_precision=exact, tile=tile, scratch_gib=scratch_gib)

    def __call__(self, image: AnyImage) -> AnyImage:
        """``image``, or a batch in one array ``(B, H, W, C)`` or tensor, translated.

        Raises:
            PictureError: not an image, or too large for the memory.
        """
        if isinstance(image, Tensor):
            return translate_tensor(self, image)
        if isinstance(image, np.ndarray) and image.ndim == 4 and image.size:
            return np.stack(self.translate_batch(list(image)))
        return self.translate_batch([image])[0]

    def translate_batch(self, images: Sequence[AnyImage]) -> list[AnyImage]:
        """``images`` translated. Those of one size and depth go through the network as one batch.

        Raises:
            PictureError: not an image, or too large for the memory.
        """
        if any(isinstance(image, Tensor) for image in images):
            return [self(image) for image in images]
        decoded = [decoded_image(image) for image in images]
        alike: dict[object, list[int]] = defaultdict(list)
        for index, image in enumerate(decoded):
            alike[image.values.shape[:2], image.encoding.dtype].append(index)
        outputs: dict[int, DecodedImage] = {}
        for indices in alike.values():
            outputs |= zip(indices, self._translate_alike([decoded[index] for index in indices]), strict=True)
        return [like_image(image, outputs[index]) for index, image in enumerate(images)]

    def lacks_memory(self, width: int, height: int, *, number: int = 1, is_deep: bool = False) -> str:
        """What ``number`` images of this size need and what there is; empty if they fit, or if that is unknown.

        Only on the CPU, where the system would kill the process. On other devices, torch raises an error.
        """
        forward, free = in_torch(self.full_precision if is_deep else self.forward), self.free_memory()
        num_pixels = number * width * height
        if free is None or num_pixels * AMPLE_BYTES < free or not isinstance(forward, TorchForward):
            return ""
        if not forward.is_on_cpu:
            return ""
        peak = predicted_peak(lambda: self.at_any_size(forward, torch.zeros(number, self.channels_in, height, width)))
        return "" if peak is None else shortage(MEMORY_MARGIN * peak + IMAGE_BYTES * num_pixels, free)

    def _translate_alike(self, images: list[DecodedImage]) -> list[DecodedImage]:
        """The translations of images of one size and depth."""
        height, width = images[0].values.shape[:2]
        encodings, forwards = zip(*(self.output_of(image.encoding) for image in images), strict=True)
        forward, several = forwards[0], len(images) > 1
        what = f"{len(images)} images of {width}×{height} pixels" if several else f"{width}×{height} pixels"
        cure = "give fewer at a time" if several else "give a smaller image, or its training size (--size training)"
        if self.tile not in ("auto", 0):
            return [translate_by_tiles(self, image) for image in images]
        colours = [self.colours_of(image) for image in images]
        lack = self.lacks_memory(width, height, number=len(images), is_deep=forward is self.full_precision)
        try:
            if lack:
                raise LackOfMemoryError(f"{what} need {lack}", cure=cure)
            with memory_errors(lambda _: LackOfMemoryError(f"{what} need more memory than there is", cure=cure)):
                batch = self.network_input([filled(image, self.encoding_in) for image in images], colours)
                outputs = self.output_values(self.at_any_size(forward, batch), encodings, colours)
        except LackOfMemoryError:
            if self.tile == "auto" and several:
                return [output for image in images for output in self._translate_alike([image])]
            if self.tile == "auto" and can_be_tiled(in_torch(forward)):
                return [translate_by_tiles(self, image) for image in images]
            raise
        return [translation_of(*each) for each in zip(images, map(DecodedImage, outputs), colours, strict=True)]

    def colours_of(self, image: DecodedImage) -> Colours:
        """How the colours of ``image`` reach the network, and come back."""
        return colours_of(image, self.encoding_in, self.encoding_out, self.output_of(image.encoding)[0].channels)

    def output_of(self, encoding: Encoding) -> tuple[Encoding, Forward]:
        """The encoding of the translation of an image with ``encoding``, and the network in the precision for it."""
        like = output_encoding(self.encoding_out, encoding)
        channels = encoding.channels if self.channels_in == self.channels_out else self.channels_out
        is_deep = like.is_deep or encoding.is_deep  # bf16 has only 8 significant bits
        return replace(like, channels=channels), self.full_precision if is_deep else self.forward

    def network_input(self, values: Sequence[Array], colours: Sequence[Colours]) -> Tensor:
        """Images ``(H, W, C)`` of one size as ``(B, C, H, W)`` in [-1, 1]."""
        return to_network(stack([seen(*each, self.encoding_in) for each in zip(values, colours, strict=True)]))

    def output_values(self, batch: Tensor, encodings: Sequence[Encoding], colours: Sequence[Colours]) -> list[Array]:
        """The network's outputs ``(B, C, H, W)`` in [-1, 1] as images ``(H, W, C)``.

        Raises:
            PictureError: an output is NaN or infinite.
        """
        return [returned(*each) for each in zip(finite(batch), colours, encodings, strict=True)]

    def at_any_size(self, forward: Forward, batch: Tensor) -> Tensor:
        """``forward(batch)`` for ``(B, C, H, W)`` of any height and width: padded before, cropped after."""
        height, width = batch.shape[2:]
        padded = pad_to_stride(batch, self.card.generator.stride)
        top, left = (padded.shape[2] - height) // 2, (padded.shape[3] - width) // 2
        return forward(padded)[:, :, top : top + height, left : left + width]

    def at_training_size(self, picture: DecodedImage) -> DecodedImage:
        """``picture`` and its transparency at the size that training saw: see ``fit_whole``."""
        stride, interpolation = self.card.generator.stride, self.encoding_in.interpolation
        whole = filled(picture, self.encoding_in)
        values = fit_whole(whole, self.card.data, stride=stride, interpolation=interpolation)
        height, width = values.shape[:2]
        alpha = None if picture.alpha is None else resize(picture.alpha[:, :, None], width, height)[:, :, 0]
        missing = None if picture.missing is None else nearest_resized(picture.missing, height, width)
        metadata = picture.metadata if values is whole else picture.metadata.of_other_pixels()
        return DecodedImage(values, alpha, picture.note, missing, metadata)
