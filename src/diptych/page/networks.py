"""The generators of a model as ONNX files for a browser."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from diptych.config import Direction
from diptych.data.encoding import GREY, RGB, Encoding
from diptych.errors import OptionError
from diptych.export.check import Difference, compare
from diptych.export.export import export_model
from diptych.inference.forward import in_torch
from diptych.inference.graph import Interface
from diptych.inference.onnx_file import onnx_run
from diptych.inference.translator import Translator
from diptych.memory import MEMORY_MARGIN, predicted_peak
from diptych.model import Model, ModelCard
from diptych.page.weights import with_half_weights

BUDGETS = (2**30, 3 * 2**30)
"""Bytes that a translation may take in a visitor's browser: on a phone, and on a device with at least 8 GB. WebAssembly
has 4 GB. Larger pictures are tiled."""
SMALLEST, LARGEST = 256**2, 4096**2
"""Limits of the pixels that are translated at once."""


@dataclass(frozen=True)
class PageNetwork:
    """One direction, ready for a browser."""

    direction: Direction
    source: str
    target: str
    """Names of the domains."""
    inputs: int
    outputs: int
    """Channels."""
    content: bytes
    """The ONNX file. It takes and returns pictures, uint8 ``(B, H, W, C)``."""
    half: bool
    """Whether the weights are stored in fp16."""
    difference: Difference
    """From PyTorch in float32."""
    pixels: tuple[int, ...]
    """How many fit in each of ``BUDGETS``."""


def page_networks(model: Model, path: Path, *, licence: str, trust_code: bool) -> Iterator[PageNetwork]:
    """Every direction of ``model``, which is in ``path``.

    Weights are in fp16 if that changes no value by more than a level, on noise of five sizes. Otherwise they are in
    float32.

    Raises:
        UserError: see ``export_model``.
    """
    for direction in model.networks:
        translator = Translator.of(model, direction)
        interface = Interface(_eight_bits(translator.encoding_in), _eight_bits(translator.encoding_out))
        with TemporaryDirectory() as folder:
            file = Path(folder) / f"{direction}.onnx"
            done = export_model(path, file, direction=direction, licence=licence, trust_code=trust_code)
            content = file.read_bytes()
        small = with_half_weights(content)
        difference = compare(onnx_run(small), translator, interface, half=True)
        half = difference.largest <= 1
        yield PageNetwork(
            direction=direction,
            source=translator.source,
            target=translator.target,
            inputs=translator.channels_in,
            outputs=translator.channels_out,
            content=small if half else content,
            half=half,
            difference=difference if half else done.difference,
            pixels=_pixels_at_once(translator),
        )


def _eight_bits(encoding: Encoding) -> Encoding:
    return encoding if encoding.has_range else Encoding(encoding.channels)


def refuse_unshowable(card: ModelCard, path: Path) -> None:
    """Raises ``OptionError`` if a browser cannot show the pictures of a domain of the model in ``path``."""
    for name, encoding in zip(card.names, card.encodings, strict=True):
        if encoding.channels not in (GREY, RGB):
            problem = f"{path}: pictures of {name} have {encoding.channels} channels, and a browser shows 1 or 3"
        elif encoding.has_range and encoding.is_deep:
            low, high = encoding.limits
            values = f"values of {encoding.dtype} from {low:g} to {high:g}"
            problem = f"{path}: pictures of {name} have {values}, and a browser reads 8 bits"
        else:
            continue
        raise OptionError(problem, cure="use diptych translate")


def _pixels_at_once(translator: Translator, side: int = 512) -> tuple[int, ...]:
    """Predicted by PyTorch's tensors, as for ``translate``."""
    example = torch.zeros(1, translator.channels_in, side, side)
    peak = predicted_peak(lambda: translator.at_any_size(in_torch(translator.full_precision), example))
    fitting = [int(budget * side**2 / (MEMORY_MARGIN * peak)) if peak else 0 for budget in BUDGETS]
    return tuple(max(SMALLEST, min(LARGEST, pixels)) for pixels in fitting)
