"""The model file: trained generators and optionally discriminators, with a description of how to use them."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from diptych import registry
from diptych.checksummed import MODEL, read_checksummed, write_checksummed
from diptych.config import DataConfig, Direction, DiscriminatorConfig, DistillationConfig, GeneratorConfig, MethodConfig
from diptych.config_json import from_json, to_json
from diptych.data.encoding import Encoding
from diptych.errors import OptionError, WeightsError, first_line
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair
from diptych.registry import ClassPathError, UntrustedCodeError
from diptych.remote import local

DiscriminatorRole = Literal["a", "b", "joint"]
"""A discriminator, by its input: images of A, images of B, or both with their channels concatenated."""


@dataclass(frozen=True, kw_only=True)
class CompressedFrom:
    """The model whose outputs a compressed model has learned."""

    name: str
    """Name of its run, or of its file."""
    method: str
    """Kind of the method by which it was trained."""
    sha256: str
    """Of its file."""

    @classmethod
    def of(cls, method: MethodConfig) -> "CompressedFrom | None":
        """The teacher of ``method``, if it is distillation."""
        if not isinstance(method, DistillationConfig) or method.teacher is None:
            return None
        file = method.teacher
        name = file.parent.name if file.name == "model.safetensors" else file.name
        return cls(name=name, method=method.teacher_method, sha256=method.teacher_sha256)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The description in a model file."""

    method: str
    """Kind of the training method."""
    generator: GeneratorConfig
    """Architecture of every generator in the file."""
    encodings: Pair[Encoding]
    """Encodings of the images of A and of B."""
    names: Pair[str]
    """Names of the domains."""
    data: DataConfig
    """Preprocessing in training."""
    pictures: int | None
    """Pictures per domain seen in training; None if unknown."""
    ema: bool
    """Whether the weights are a moving average over training."""
    discriminator: DiscriminatorConfig | None = None
    """Architecture of every discriminator in the file."""
    compressed_from: CompressedFrom | None = None

    @property
    def trained_by(self) -> str:
        """Kind of the method by which the model, or the model that it was compressed from, was trained."""
        return self.compressed_from.method if self.compressed_from else self.method

    @property
    def channels(self) -> Pair[int]:
        """Channels of A and of B."""
        return self.encodings.map(lambda encoding: encoding.channels)


@dataclass(frozen=True)
class Model:
    """Networks in evaluation mode on the CPU, and their description."""

    networks: dict[Direction, nn.Module]
    """The generators, by direction."""
    card: ModelCard
    discriminators: dict[DiscriminatorRole, nn.Module] = field(default_factory=dict)

    @property
    def default_direction(self) -> Direction:
        """The direction that is meant if none is given: a2b, or the only one."""
        return "a2b" if "a2b" in self.networks else "b2a"


def versions() -> dict[str, str]:
    """The versions of the software that numbers depend on."""
    packages = {name: version(name) for name in ("diptych", "torch", "numpy", "pillow")}
    return {"python": platform.python_version()} | packages


def discriminator_channels(role: DiscriminatorRole, channels: Pair[int]) -> int:
    """Input channels of the discriminator ``role``."""
    return {"a": channels.a, "b": channels.b, "joint": channels.a + channels.b}[role]


def save_model(
    path: Path,
    networks: Mapping[Direction, nn.Module],
    card: ModelCard,
    discriminators: Mapping[DiscriminatorRole, nn.Module] | None = None,
) -> None:
    """Writes generators, their description and optionally discriminators to ``path``.

    Raises:
        OSError: the disk is full or read-only; ``path`` is as it was.
    """
    discriminators = discriminators or {}
    modules = _by_prefix(networks, discriminators).items()
    tensors = {f"{prefix}.{key}": value for prefix, module in modules for key, value in module.state_dict().items()}
    description = {
        "card": to_json(card),
        "directions": list(networks),
        "discriminators": list(discriminators),
        "versions": versions(),
    }
    write_checksummed(path, MODEL, tensors, description)


def load_model(path: Path, *, discriminators: bool = False, trust_code: bool = False) -> Model:
    """The model in ``path``, a model file or a run folder; its discriminators only if ``discriminators``.

    A file may name a config class outside of diptych. It is imported, which runs its code, only with ``trust_code``.

    Raises:
        UntrustedCodeError: it names a class outside of diptych.
        WeightsError: missing, damaged, of another kind, of a later version, or of a package that is not installed.
    """
    path = model_file(path)
    tensors, description = read_checksummed(path, MODEL)
    try:
        if trust_code:
            registry.trust_code(description["card"])
        card: ModelCard = from_json(ModelCard, description["card"], "card")
        _refuse_depth(card, len(tensors))
        model = Model({}, card)
        with torch.device("meta"):
            for direction in description["directions"]:
                model.networks[direction] = build_generator(card.generator, *card.channels.along(direction))
            if discriminators and card.discriminator:
                for role in description["discriminators"]:
                    channels = discriminator_channels(role, card.channels)
                    model.discriminators[role] = build_discriminator(card.discriminator, channels)
        for prefix, network in _by_prefix(model.networks, model.discriminators).items():
            load_weights(network, tensors, prefix)
    except UntrustedCodeError as error:
        raise UntrustedCodeError(f"{path}: {error.problem}", cure=error.cure) from None
    except ClassPathError as error:
        raise WeightsError(f"{path}: {error.problem}", cure=error.cure) from None
    except Exception as error:  # a card that is damaged or hostile makes networks raise nearly any type
        reason = error.problem if isinstance(error, OptionError) else first_line(error)
        writer, reader = description.get("versions", {}).get("diptych", "of unknown version"), version("diptych")
        problem = f"{path} was written by diptych {writer}, and diptych {reader} cannot read it ({reason})"
        same = "use another copy of the file, and the other packages as they were in training"
        raise WeightsError(problem, cure=same if writer == reader else "pip install -U diptych") from None
    return model


def _refuse_depth(card: ModelCard, num_tensors: int) -> None:
    """Raises ``ValueError`` if the networks have more layers than the file has tensors: building them would not end."""
    for config in filter(None, (card.generator, card.discriminator)):
        for name, number in vars(config).items():
            if name.startswith("num_") and isinstance(number, int) and number > num_tensors:
                raise ValueError(f"{name} is {number}, and there are {num_tensors} tensors")


def read_card(path: Path) -> dict[str, Any]:
    """The JSON of the card in ``path``, a model file or a run folder. No class is imported.

    Raises:
        WeightsError: missing, damaged, of another kind, or of a later version.
    """
    card: dict[str, Any] = read_checksummed(model_file(path), MODEL)[1]["card"]
    return card


def model_file(path: Path) -> Path:
    """The model file of a run folder, or ``path`` itself. A model on the Hub (``hf:OWNER/NAME``) is downloaded.

    Raises:
        WeightsError: the folder holds no model.
        HubError, MissingExtraError: it cannot be downloaded.
    """
    path = local(path)
    if path.is_dir():
        if not (path / "model.safetensors").is_file():
            convert = f"convert its .pth files with diptych import {path} --to MODEL"
            cure = convert if any(path.glob("*.pth")) else "give a run that has trained, or a model file"
            raise WeightsError(f"{path} holds no model.safetensors", cure=cure)
        return path / "model.safetensors"
    return path


def _by_prefix(
    networks: Mapping[Direction, nn.Module], discriminators: Mapping[DiscriminatorRole, nn.Module]
) -> dict[str, nn.Module]:
    """The networks by the prefix of their tensors' names."""
    named = {f"discriminators.{role}": network for role, network in discriminators.items()}
    return dict(networks) | named


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], prefix: str = "") -> nn.Module:
    """``network``, built on the meta device, with the tensors named ``prefix.<key>`` as weights; in evaluation mode.

    Raises:
        RuntimeError: they do not fit.
    """
    start = f"{prefix}." if prefix else ""
    state: dict[str, Any] = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
    network.load_state_dict(state, assign=True)
    return network.eval()
