"""Beginning a run with the networks of a model file, such as imported ones, in place of random ones."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diptych.config import TrainConfig
from diptych.errors import OptionError
from diptych.model import load_model
from diptych.training.state import State


def with_architecture_of(path: Path, config: TrainConfig) -> TrainConfig:
    """``config`` with the networks and channels of the model in ``path``.

    Raises:
        WeightsError: no such model, or a damaged one.
        OptionError: ``config`` asks for another method or other channels.
    """
    card = load_model(path).card
    channels = (config.data.channels_a, config.data.channels_b)
    if any(asked not in (None, found) for asked, found in zip(channels, card.channels, strict=True)):
        raise OptionError(f"{path} has {card.channels} channels, not {channels}", cure="leave the channels out")
    if card.method != config.method.kind:
        raise OptionError(f"{path} is of {card.method}, not {config.method.kind}", cure=f"give --method {card.method}")
    return replace(
        config,
        generator=card.generator,
        discriminator=card.discriminator or config.discriminator,
        data=replace(config.data, channels_a=card.channels.a, channels_b=card.channels.b),
    )


def copy_networks(path: Path, state: State) -> list[str]:
    """Copies the weights of the model in ``path`` into ``state``; returns the names of the networks that it has.

    Raises:
        WeightsError: no such model, or a damaged one.
        OptionError: its networks are not those of ``state``.
    """
    model = load_model(path, discriminators=True)
    copied = _copy(model.networks, state.method.generators, path) + _copy(
        model.discriminators, state.method.discriminators, path
    )
    if state.ema:
        state.ema.module.load_state_dict(state.method.generators.state_dict())
    return copied


def _copy(networks: Mapping[Any, nn.Module], into: nn.Module, path: Path) -> list[str]:
    for name, network in networks.items():
        try:
            with torch.no_grad():
                into.get_submodule(name).load_state_dict(network.state_dict())
        except (AttributeError, RuntimeError):
            raise OptionError(
                f"the {name} of {path} does not fit this run", cure="give the options it was trained with"
            ) from None
    return list(networks)
