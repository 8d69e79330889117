"""Translators of random weights, and large pictures for them."""

import numpy as np
import torch
from torch import nn

from diptych.config import DataConfig, EngineConfig, ResnetConfig
from diptych.data.encoding import Encoding
from diptych.data.transforms import resize
from diptych.device import Device, resolve_engine
from diptych.inference.forward import TorchForward
from diptych.inference.translator import Translator
from diptych.model import ModelCard
from diptych.networks import build_generator
from diptych.pair import Pair

RESNET = ResnetConfig(width=4, num_blocks=2)


def make_translator(config=RESNET, *, channels=(3, 3), precision="fp32", **options):
    """A translator of random weights, the same each time."""
    torch.manual_seed(0)
    network = build_generator(config, *channels).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    card = ModelCard(
        method="cyclegan",
        generator=config,
        encodings=Pair(*map(Encoding, channels)),
        names=Pair("photos", "paintings"),
        data=DataConfig(load_size=32, crop_size=32),
        pictures=0,
        ema=False,
    )
    device = Device(resolve_engine(EngineConfig(device="cpu", precision=precision)))
    forward, exact = TorchForward(network, device), TorchForward(network, device, full_precision=True)
    return Translator(forward, card, "a2b", full_precision=exact, **options)


def picture(seed, height=197, width=301, channels=3, dtype=np.uint8):
    """A picture whose brightness and texture differ from place to place, as in a photograph."""
    rng = np.random.default_rng(seed)
    peak = np.iinfo(dtype).max
    layers = [rng.random((size, size, channels)) / (0.6 + level) for level, size in enumerate((3, 9, 40))]
    grown = [resize((65535 * layer / 2).astype(np.uint16), width, height) / 65535 for layer in layers]
    return (sum(grown) * peak).clip(0, peak).astype(dtype)
