"""Generators and discriminators, built from their configs."""

from torch import nn

from diptych.config import DiscriminatorConfig, GeneratorConfig
from diptych.networks.initialisation import initialise
from diptych.registry import build


def build_generator(config: GeneratorConfig, in_channels: int, out_channels: int) -> nn.Module:
    """The generator that ``config`` describes, with torch's default initial weights."""
    return build(config, in_channels, out_channels)  # type: ignore[no-any-return]


def build_discriminator(config: DiscriminatorConfig, in_channels: int) -> nn.Module:
    """The discriminator that ``config`` describes, with torch's default initial weights."""
    return build(config, in_channels)  # type: ignore[no-any-return]


__all__ = ["build_discriminator", "build_generator", "initialise"]
