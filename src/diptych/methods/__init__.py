"""Methods: where networks and losses meet. One file each; the registry lists them."""

from diptych.config import DiscriminatorConfig, GeneratorConfig, Initialisation, MethodConfig
from diptych.methods.method import Exchange, Losses, Method
from diptych.networks import initialise
from diptych.pair import Pair
from diptych.registry import build


def build_method(
    config: MethodConfig,
    generator: GeneratorConfig,
    discriminator: DiscriminatorConfig,
    channels: Pair[int],
    initialisation: Initialisation = "normal",
) -> Method:
    """The method that ``config`` describes, with initial weights drawn from torch's global generator."""
    method: Method = build(config, generator, discriminator, channels)
    initialise(method.generators, initialisation)
    initialise(method.discriminators, initialisation)
    return method


__all__ = ["Exchange", "Losses", "Method", "build_method"]
