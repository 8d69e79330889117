"""Methods: where networks and losses meet. The registry maps a config's type to the class that it describes."""

from typing import Any

from diptych.config import CycleganConfig, DiscriminatorConfig, GeneratorConfig, Initialisation, MethodConfig
from diptych.methods.cyclegan import Cyclegan
from diptych.methods.method import Exchange, Losses, Method
from diptych.networks import initialise
from diptych.pair import Pair

METHODS: dict[type[Any], type[Any]] = {CycleganConfig: Cyclegan}


def build_method(
    config: MethodConfig,
    generator: GeneratorConfig,
    discriminator: DiscriminatorConfig,
    channels: Pair[int],
    initialisation: Initialisation = "normal",
) -> Method:
    """The method that ``config`` describes, with initial weights drawn from torch's global generator."""
    method: Method = METHODS[type(config)](config, generator, discriminator, channels)
    initialise(method.generators, initialisation)
    initialise(method.discriminators, initialisation)
    return method


__all__ = ["Exchange", "Losses", "Method", "build_method"]
