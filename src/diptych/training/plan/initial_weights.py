"""Initial weights from a model file, such as an imported one, instead of random ones."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diptych.config import DiscriminatorConfig, GeneratorConfig, TrainConfig, UnetConfig
from diptych.errors import OptionError
from diptych.model import load_model
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.training.state import State


def with_architecture_of(path: Path, config: TrainConfig) -> TrainConfig:
    """``config`` with the networks, channels and ranges of the model in ``path``.

    Raises:
        WeightsError: the model is missing or damaged.
        OptionError: ``config`` has another method, direction, architecture or number of channels.
    """
    model, method = load_model(path), config.method
    card, channels = model.card, Pair(config.data.channels_a, config.data.channels_b)
    for letter, asked, found in zip("ab", channels, card.channels, strict=True):
        if asked not in (None, found):
            raise OptionError(f"channels-{letter} is {asked}, but {path} has {found}", cure="leave it out")
    is_lone = len(model.networks) == 1 and card.discriminator is None  # such a file does not record the method
    if card.trained_by != kind_of(method) and not is_lone:
        raise OptionError(
            f"{path} was trained by {card.trained_by}, not {kind_of(method)}",
            cure=f"give --method {card.trained_by}",
        )
    if other := [direction for direction in model.networks if direction not in method.directions]:
        raise OptionError(
            f"{path} translates {other[0]}, but this run learns {' and '.join(method.directions)}",
            cure=f"give --direction {other[0]}",
        )
    generator = card.generator
    if isinstance(generator, UnetConfig) and card.method != kind_of(method):
        generator = replace(generator, dropout=_dropout(config.generator))
    config = with_networks(config, generator, card.discriminator or config.discriminator, path)
    ranges = {name: getattr(config.data, name) or getattr(card.data, name) for name in ("range_a", "range_b")}
    data = replace(config.data, channels_a=card.channels.a, channels_b=card.channels.b, **ranges)
    return replace(config, data=data)


def with_networks(
    config: TrainConfig, generator: GeneratorConfig, discriminator: DiscriminatorConfig, origin: Path
) -> TrainConfig:
    """``config`` with the networks in ``origin``.

    A U-Net's weights do not record dropout: the value in ``config`` is kept if it differs from the method's default.

    Raises:
        OptionError: ``config`` has other networks.
    """
    asked = _dropout(config.generator)
    if isinstance(generator, UnetConfig) and asked != _dropout(config.method.generator):
        generator = replace(generator, dropout=asked)
    _refuse_other(config.generator, config.method.generator, generator, f"the generator in {origin}", "generator")
    described = f"the discriminator in {origin}"
    _refuse_other(config.discriminator, config.method.discriminator, discriminator, described, "discriminator")
    return replace(config, generator=generator, discriminator=discriminator)


def _dropout(config: GeneratorConfig) -> bool:
    return bool(getattr(config, "dropout", False))


def _refuse_other(asked: Any, usual: Any, found: Any, what: str, option: str) -> None:
    """Raises ``OptionError`` where ``asked`` differs from both ``usual`` (the default) and ``found``."""
    if type(asked) not in (type(usual), type(found)):
        raise OptionError(f"{what} is a {kind_of(found)}, not a {kind_of(asked)}", cure=f"leave --{option} out")
    if type(asked) is not type(found):
        if asked != usual:
            raise OptionError(f"{what} is a {kind_of(found)}", cure=f"leave the options of a {kind_of(asked)} out")
        return
    base = usual if type(usual) is type(asked) else type(asked)()
    for name in (field.name for field in fields(asked)):
        value, there = getattr(asked, name), getattr(found, name)
        if value not in (getattr(base, name), there):
            option_name = f"{option}.{name.replace('_', '-')}"
            raise OptionError(f"{option_name} is {value}, but {what} has {there}", cure="leave it out")


def copy_weights(path: Path, state: State) -> str:
    """Copies the weights of the model in ``path`` into ``state``; returns a note that lists copied and random networks.

    Raises:
        WeightsError: the model is missing or damaged.
        OptionError: its networks do not fit ``state``.
    """
    model = load_model(path, discriminators=True)
    found = {True: list[str](), False: list[str]()}
    for kind, networks, modules in (
        ("generator", model.networks, state.modules["generators"]),
        ("discriminator", model.discriminators, state.modules.get("discriminators", nn.Module())),
    ):
        _copy(networks, modules, path)
        for name, _ in modules.named_children():
            found[name in networks].append(f"{kind} {name}")
    for name, ema in state.ema.items():
        ema.module.load_state_dict(state.modules[name].state_dict())
    random = f"; random: {', '.join(found[False])}" if found[False] else ""
    return f"initial weights from {path}: {', '.join(found[True])}{random}"


def _copy(networks: Mapping[Any, nn.Module], into: nn.Module, path: Path) -> None:
    for name, network in networks.items():
        try:
            with torch.no_grad():
                into.get_submodule(name).load_state_dict(network.state_dict())
        except (AttributeError, RuntimeError):
            raise OptionError(f"the {name} of {path} does not fit this run", cure="give another model") from None
