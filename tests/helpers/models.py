"""Model files of random weights."""

from pathlib import Path

import torch
from torch import nn

from diptych.config import DataConfig, GeneratorConfig, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.model import ModelCard, save_model
from diptych.networks import build_generator
from diptych.pair import Pair

TINY = ResnetConfig(width=4, num_blocks=1)


def save_random_model(
    path: Path, *, generator: GeneratorConfig = TINY, channels: tuple[int, int] = (3, 3), seen: bool = False
) -> Path:
    """A model of random weights, the same each time. If ``seen``, batch norm has statistics of random pictures."""
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "a2b": build_generator(generator, *channels),
        "b2a": build_generator(generator, *reversed(channels)),
    }
    if seen:
        with torch.no_grad():
            for network, number in zip(networks.values(), channels, strict=True):
                network.train()(torch.rand(2, number, 64, 64) * 2 - 1)
    card = ModelCard(
        method="cyclegan",
        generator=generator,
        encodings=Pair(*map(Encoding, channels)),
        names=Pair("photos", "paintings"),
        data=DataConfig(load_size=32, crop_size=32),
        pictures=0,
        ema=False,
    )
    save_model(path, networks, card)
    return path
