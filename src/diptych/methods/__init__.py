"""Methods: where networks and losses meet. A method of kind ``k`` is ``METHOD`` of ``methods/k.py``: one file each."""

from importlib import import_module

from diptych.config import DiscriminatorConfig, GeneratorConfig, Initialisation, MethodConfig
from diptych.methods.method import Exchange, Losses, Method
from diptych.networks import initialise
from diptych.pair import Pair


def build_method(
    config: MethodConfig,
    generator: GeneratorConfig,
    discriminator: DiscriminatorConfig,
    channels: Pair[int],
    initialisation: Initialisation = "normal",
) -> Method:
    """The method that ``config`` describes, with initial weights drawn from torch's global generator."""
    kind = import_module(f"diptych.methods.{config.kind}").METHOD
    method: Method = kind(config, generator, discriminator, channels)
    initialise(method.generators, initialisation)
    initialise(method.discriminators, initialisation)
    return method


__all__ = ["Exchange", "Losses", "Method", "build_method"]
