"""Networks: tensors in, tensors out. The registry maps a config's type to the class that it describes."""

from typing import Any

from torch import nn

from diptych.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    PatchganConfig,
    PixelConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.networks.initialisation import initialise
from diptych.networks.patchgan import PatchganDiscriminator, PixelDiscriminator
from diptych.networks.resnet import ResnetGenerator
from diptych.networks.unet import UnetGenerator

GENERATORS: dict[type[Any], type[Any]] = {ResnetConfig: ResnetGenerator, UnetConfig: UnetGenerator}
DISCRIMINATORS: dict[type[Any], type[Any]] = {PatchganConfig: PatchganDiscriminator, PixelConfig: PixelDiscriminator}


def build_generator(config: GeneratorConfig, in_channels: int, out_channels: int) -> nn.Module:
    """The generator that ``config`` describes, with torch's own initial weights."""
    return GENERATORS[type(config)](config, in_channels, out_channels)  # type: ignore[no-any-return]


def build_discriminator(config: DiscriminatorConfig, in_channels: int) -> nn.Module:
    """The discriminator that ``config`` describes, with torch's own initial weights."""
    return DISCRIMINATORS[type(config)](config, in_channels)  # type: ignore[no-any-return]


__all__ = ["build_discriminator", "build_generator", "initialise"]
