"""Exports a model to the original code's checkpoints."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import nn

from diptych.checksummed import read_checksummed
from diptych.config import Direction, ResnetConfig, TrainConfig, UnetConfig
from diptych.config_json import from_json
from diptych.errors import OptionError, WeightsError, disk_errors, first_line
from diptych.interop.names import Role, authors_names
from diptych.interop.original import save_original
from diptych.model import DiscriminatorRole, ModelCard, discriminator_channels, load_model, load_weights
from diptych.networks import build_discriminator
from diptych.networks.convolutions import BlurDown
from diptych.networks.patchgan import PatchganDiscriminator, PixelDiscriminator
from diptych.networks.resnet import ResnetGenerator
from diptych.networks.unet import UnetGenerator
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.run import Run
from diptych.training.checkpoint import KIND

ORIGINAL_NETWORKS = (ResnetGenerator, UnetGenerator, PatchganDiscriminator, PixelDiscriminator)


@dataclass(frozen=True)
class ExportedModel:
    """The files written by an export."""

    files: dict[Role, Path]
    card: ModelCard


def export_original(source: Path, folder: Path) -> ExportedModel:
    """Writes the networks of ``source``, a run or a model file, to ``folder``, in the original's format and with
    its file names.

    The discriminators are those of the model file, else those of the run's last checkpoint, if there are any.

    Raises:
        UserError: ``source`` cannot be read, the original does not have its networks, or a file exists or cannot be
            written.
    """
    if folder.is_file():
        raise WeightsError(f"{folder} is a file", cure="give a folder to write to")
    model = load_model(source, discriminators=True)
    discriminators = model.discriminators or _last_discriminators(Run(source), model.card.channels)
    networks: dict[Role, nn.Module] = dict([*model.networks.items(), *discriminators.items()])
    if obstacles := _obstacles(model.card, networks):
        problems, options = (_listed(words) for words in zip(*obstacles, strict=True))
        problem = f"{source} has {problems}, which the original code does not have"
        raise WeightsError(problem, cure=f"export a run that was trained with {options}")
    files = {role: folder / name for role, name in authors_names(networks).items()}
    if existing := next((file for file in files.values() if file.exists()), None):
        raise WeightsError(f"{existing} exists already", cure="give another folder, or remove it")
    for role, file in files.items():
        with disk_errors(file):
            folder.mkdir(parents=True, exist_ok=True)
            save_original(networks[role], file)
    return ExportedModel(files, model.card)


def original_options(card: ModelCard, roles: Collection[Role]) -> str:
    """The options with which the original's test.py builds the generators of ``card``, exported as ``roles``; empty if
    it cannot build them."""
    config = card.generator
    assert isinstance(config, ResnetConfig | UnetConfig), "export_original refuses others"
    if isinstance(config, ResnetConfig):
        name = f"resnet_{config.num_blocks}blocks"
    else:
        name = f"unet_{2 ** (config.num_levels or 0)}"
    if name not in ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"):
        return ""
    reverse = set(roles) == {"b2a", "joint"}
    a, b = card.channels.swapped if reverse else card.channels
    dropout = [] if config.dropout else ["--no_dropout"]
    options = [f"--netG {name}", f"--ngf {config.width}", f"--norm {config.norm}", *dropout]
    direction = ["--direction BtoA"] if reverse else []
    return " ".join([*options, f"--input_nc {a}", f"--output_nc {b}", *direction])


def _obstacles(card: ModelCard, networks: Mapping[Role, nn.Module]) -> list[tuple[str, str]]:
    """What the original code does not have of a model: each part in words, and how to train without it."""
    config, found = card.generator, []
    if not isinstance(config, ResnetConfig | UnetConfig):
        options = "--generator resnet --generator.upsampling transposed --generator.no-residual"
        found.append((f"generators of kind {kind_of(config)}", options))
    # A config of another package may extend one of ours, and build another network.
    elif others := [type(network).__name__ for network in networks.values() if type(network) not in ORIGINAL_NETWORKS]:
        found.append((f"a network of the class {others[0]}", "the generators and discriminators of diptych"))
    if isinstance(config, ResnetConfig):
        if config.upsampling not in (None, "transposed"):
            found.append((f"generators that upsample by {config.upsampling}", "--generator.upsampling transposed"))
        if config.residual:
            found.append(("generators that add their output to the input", "--generator.no-residual"))
    blurred = [role for role, network in networks.items() if any(isinstance(m, BlurDown) for m in network.modules())]
    for part, roles in (("generator", get_args(Direction)), ("discriminator", get_args(DiscriminatorRole))):
        if any(role in roles for role in blurred):
            found.append((f"{part}s with blur filters", f"--{part}.no-antialias"))
    if any(encoding.has_range for encoding in card.encodings):
        found.append(("a range of values", "no --range-a and no --range-b"))
    return found


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _last_discriminators(run: Run, channels: Pair[int]) -> dict[DiscriminatorRole, nn.Module]:
    """The discriminators of the newest checkpoint; empty if there is no checkpoint."""
    if not (files := run.checkpoint_files()):
        return {}
    tensors, description = read_checksummed(files[-1], KIND)
    discriminators: dict[DiscriminatorRole, nn.Module] = {}
    try:
        config: TrainConfig = from_json(TrainConfig, description["config"])
        for role in get_args(DiscriminatorRole):
            prefix = f"discriminators.{role}"
            if any(name.startswith(f"{prefix}.") for name in tensors):
                with torch.device("meta"):
                    network = build_discriminator(config.discriminator, discriminator_channels(role, channels))
                discriminators[role] = load_weights(network, tensors, prefix)
    except (KeyError, RuntimeError, OptionError) as error:
        problem = f"{files[-1]} is of another version ({first_line(error)})"
        raise WeightsError(problem, cure=f"use that version, or export {run.model_file} alone") from None
    return discriminators
