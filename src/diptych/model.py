"""The self-describing weights file: the generators, with all that is needed to use them."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from diptych import __version__
from diptych.config import DataConfig, Direction, GeneratorConfig
from diptych.config_json import from_json, to_json
from diptych.errors import OptionError, WeightsError
from diptych.networks import build_generator
from diptych.pair import Pair
from diptych.sealed import read_sealed, write_sealed

KIND = "model"


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a weights file says of itself."""

    method: str
    """Kind of the method that trained it."""
    generator: GeneratorConfig
    """Architecture of every generator inside."""
    channels: Pair[int]
    """Channels of A and of B."""
    names: Pair[str]
    """What the domains are called."""
    data: DataConfig
    """How pictures were prepared in training."""
    pictures: int
    """Pictures per domain seen in training."""
    ema: bool
    """Whether the weights are the running mean over training."""


@dataclass(frozen=True)
class Model:
    """Generators by direction, in evaluation mode on the CPU, and what the file says of them."""

    networks: dict[Direction, nn.Module]
    card: ModelCard


def versions() -> dict[str, str]:
    """The versions that numbers depend on."""
    packages = {name: version(name) for name in ("torch", "numpy", "pillow")}
    return {"diptych": __version__, "python": platform.python_version()} | packages


def channels_of(direction: Direction, channels: Pair[int]) -> tuple[int, int]:
    """Channels in and out of the generator of ``direction``."""
    return (channels.a, channels.b) if direction == "a2b" else (channels.b, channels.a)


def save_model(path: Path, networks: Mapping[Direction, nn.Module], card: ModelCard) -> None:
    """Writes the generators and their card to ``path``.

    Raises:
        OSError: the disk is full or may not be written; ``path`` is as it was.
    """
    tensors = {f"{name}.{key}": value for name, net in networks.items() for key, value in net.state_dict().items()}
    description = {
        "method": card.method,
        "directions": list(networks),
        "generator": to_json(card.generator),
        "channels": list(card.channels),
        "names": list(card.names),
        "value_range": [-1, 1],
        "data": to_json(card.data),
        "pictures": card.pictures,
        "ema": card.ema,
        "versions": versions(),
    }
    write_sealed(path, KIND, tensors, description)


def load_model(path: Path) -> Model:
    """The model in ``path``, a ``model.safetensors`` or a run folder that holds one.

    Raises:
        WeightsError: missing, damaged, of another kind, or of a later version.
    """
    if path.is_dir():
        if not (path / "model.safetensors").is_file():
            raise WeightsError(
                f"{path} holds no model.safetensors", cure="give a run that has trained, or a model file"
            )
        path = path / "model.safetensors"
    tensors, description = read_sealed(path, KIND)
    try:
        card = _card(description)
        networks = {}
        for direction in cast(list[Direction], description["directions"]):
            prefix = f"{direction}."
            with torch.device("meta"):
                network = build_generator(card.generator, *channels_of(direction, card.channels))
            state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            network.load_state_dict(state, assign=True)
            networks[direction] = network.eval()
    except (KeyError, TypeError, RuntimeError, OptionError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(
            f"{path} describes no model of this version ({problem})", cure="pip install -U diptych"
        ) from None
    return Model(networks, card)


def _card(description: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        method=description["method"],
        generator=from_json(GeneratorConfig, description["generator"], "generator"),
        channels=Pair(*description["channels"]),
        names=Pair(*description["names"]),
        data=from_json(DataConfig, description["data"], "data"),
        pictures=description["pictures"],
        ema=description["ema"],
    )
