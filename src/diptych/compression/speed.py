"""Times of networks on this machine, interleaved so that other programs disturb all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from diptych.config import InferenceEngine
from diptych.data.encoding import GREY, RGB
from diptych.data.formats.reading import read_picture
from diptych.data.formats.writing import write_picture
from diptych.data.image import DecodedImage
from diptych.inference.engine_choice import SIDE
from diptych.inference.translator import Translator
from diptych.model import Model

COUNTED_SIDE = 64


@dataclass(frozen=True)
class Timing:
    """The seconds of one call in each round."""

    seconds: list[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def speedup_of(self, other: "Timing") -> float:
        """How many times as fast ``other`` is: the median of the ratios of all rounds."""
        return median(slow / fast for slow, fast in zip(self.seconds, other.seconds, strict=True))


def interleaved(calls: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """The times of ``calls``, after one round that is not measured. Each round makes every call once."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1 + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(values) for name, values in seconds.items()}


def network_call(model: Model, engine: InferenceEngine) -> Callable[[], object]:
    """One picture of 256² through the default direction of ``model``, as ``translate`` computes it by default."""
    translator = translator_of(model, engine)
    side = side_of(model)
    return partial(translator.forward, torch.zeros(1, translator.channels_in, side, side))


def file_call(model: Model, engine: InferenceEngine, folder: Path) -> Callable[[], object]:
    """The same from file to file: reading noise from ``folder``, translating, and writing into it. The files are PNGs,
    or TIFFs if a domain has a range or bands."""
    translator, side = translator_of(model, engine), side_of(model)
    is_plain = all(each.channels in (GREY, RGB) and not each.has_range for each in model.card.encodings)
    source, target = (folder / f"{name}.{'png' if is_plain else 'tif'}" for name in ("input", "output"))
    shape = side, side, translator.channels_in
    write_picture(source, DecodedImage(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)))
    return lambda: write_picture(target, translator(read_picture(source)))


def translator_of(model: Model, engine: InferenceEngine) -> Translator:
    """The translator of the default direction as ``diptych translate`` makes it by default, except for ``engine``."""
    return Translator.of(model, model.default_direction, device="cpu", precision="auto", engine=engine, tile=0)


def side_of(model: Model) -> int:
    """The side of the measured picture: 256, or more if the network needs it."""
    stride = model.card.generator.stride
    return -(-SIDE // stride) * stride


def operations(model: Model) -> int:
    """Floating-point operations of the default direction for one picture of 256²; a multiplication and an addition are
    two. Counted on a smaller picture: they grow with its area."""
    network, side = model.networks[model.default_direction], max(COUNTED_SIDE, model.card.generator.stride)
    channels = model.card.channels.along(model.default_direction)[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, channels, side, side))
    return round(int(counter.get_total_flops()) * (side_of(model) / side) ** 2)
