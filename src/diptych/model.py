"""The self-describing weights file: the generators, with all that is needed to use them, and perhaps the
discriminators."""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.config import DataConfig, Direction, DiscriminatorConfig, GeneratorConfig
from diptych.config_json import from_json, to_json
from diptych.data.encoding import Encoding
from diptych.errors import OptionError, WeightsError
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair

KIND = "model"
DiscriminatorRole = Literal["a", "b", "joint"]
"""A discriminator, by what it judges: pictures of A, of B, or one of each side by side."""


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a weights file says of itself."""

    method: str
    """Kind of the method that trained it."""
    generator: GeneratorConfig
    """Architecture of every generator inside."""
    encodings: Pair[Encoding]
    """How images of A and of B are encoded."""
    names: Pair[str]
    """What the domains are called."""
    data: DataConfig
    """How pictures were prepared in training."""
    pictures: int | None
    """Pictures per domain seen in training; none where that is not known."""
    ema: bool
    """Whether the weights are the running mean over training."""
    discriminator: DiscriminatorConfig | None = None
    """Architecture of every discriminator inside, if any."""

    @property
    def channels(self) -> Pair[int]:
        """Channels of A and of B."""
        return self.encodings.map(lambda encoding: encoding.channels)


@dataclass(frozen=True)
class Model:
    """Networks in evaluation mode on the CPU, and what the file says of them."""

    networks: dict[Direction, nn.Module]
    """The generators, by direction."""
    card: ModelCard
    discriminators: dict[DiscriminatorRole, nn.Module] = field(default_factory=dict)
    """Left empty unless asked for."""


def versions() -> dict[str, str]:
    """The versions that numbers depend on."""
    packages = {name: version(name) for name in ("diptych", "torch", "numpy", "pillow")}
    return {"python": platform.python_version()} | packages


def discriminator_channels(judge: DiscriminatorRole, channels: Pair[int]) -> int:
    """Channels of what ``judge`` judges."""
    return {"a": channels.a, "b": channels.b, "joint": channels.a + channels.b}[judge]


def save_model(
    path: Path,
    networks: Mapping[Direction, nn.Module],
    card: ModelCard,
    discriminators: Mapping[DiscriminatorRole, nn.Module] | None = None,
) -> None:
    """Writes the generators, their card and perhaps discriminators to ``path``.

    Raises:
        OSError: the disk is full or may not be written; ``path`` is as it was.
    """
    judges = {f"discriminators.{judge}": network for judge, network in (discriminators or {}).items()}
    modules = [*networks.items(), *judges.items()]
    tensors = {f"{name}.{key}": value for name, net in modules for key, value in net.state_dict().items()}
    description = {
        "method": card.method,
        "directions": list(networks),
        "generator": to_json(card.generator),
        "discriminators": list(discriminators or {}),
        "discriminator": to_json(card.discriminator),
        "encodings": [to_json(encoding) for encoding in card.encodings],
        "names": list(card.names),
        "data": to_json(card.data),
        "pictures": card.pictures,
        "ema": card.ema,
        "versions": versions(),
    }
    write_checksummed(path, KIND, tensors, description)


def load_model(path: Path, *, discriminators: bool = False) -> Model:
    """The model in ``path``, a ``model.safetensors`` or a run folder that holds one; with the ``discriminators`` it has
    only where they are asked for.

    Raises:
        WeightsError: missing, damaged, of another kind, or of a later version.
    """
    if path.is_dir():
        if not (path / "model.safetensors").is_file():
            theirs = f"diptych import {path} --to MODEL makes one of its .pth files"
            cure = theirs if any(path.glob("*.pth")) else "give a run that has trained, or a model file"
            raise WeightsError(f"{path} holds no model.safetensors", cure=cure)
        path = path / "model.safetensors"
    tensors, description = read_checksummed(path, KIND)
    try:
        card = _card(description)
        networks = {
            direction: with_weights(
                partial(build_generator, card.generator, *card.channels.along(direction)), tensors, direction
            )
            for direction in cast(list[Direction], description["directions"])
        }
        judges = {
            judge: with_weights(
                partial(
                    build_discriminator,
                    cast(DiscriminatorConfig, card.discriminator),
                    discriminator_channels(judge, card.channels),
                ),
                tensors,
                f"discriminators.{judge}",
            )
            for judge in cast(list[DiscriminatorRole], description.get("discriminators", []) if discriminators else [])
        }
    except (KeyError, TypeError, RuntimeError, OptionError) as error:
        reason = error.problem if isinstance(error, OptionError) else str(error).splitlines()[0]
        problem = (
            f"{path} is a model of {_writer(description)}, which diptych {version('diptych')} cannot read ({reason})"
        )
        raise WeightsError(problem, cure="pip install -U diptych") from None
    return Model(networks, card, judges)


def with_weights(build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network that ``build`` makes, with those of ``tensors`` that are called ``name.<key>`` for its weights; in
    evaluation mode.

    Raises:
        RuntimeError: they do not fit.
    """
    with torch.device("meta"):
        network = build()
    prefix = f"{name}."
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    network.load_state_dict(state, assign=True)
    return network.eval()


def _writer(description: Mapping[str, Any]) -> str:
    """The version that wrote ``description``, if it says so."""
    written_by = description.get("versions")
    return (
        f"diptych {written_by['diptych']}"
        if isinstance(written_by, dict) and "diptych" in written_by
        else "another kind"
    )


def _card(description: Mapping[str, Any]) -> ModelCard:
    return ModelCard(
        method=description["method"],
        generator=from_json(GeneratorConfig, description["generator"], "generator"),
        encodings=Pair(*(from_json(Encoding, encoding, "encodings") for encoding in description["encodings"])),
        names=Pair(*description["names"]),
        data=from_json(DataConfig, description["data"], "data"),
        pictures=description["pictures"],
        ema=description["ema"],
        discriminator=from_json(
            DiscriminatorConfig | None,
            description.get("discriminator"),
            "discriminator",  # a younger part of the card
        ),
    )
