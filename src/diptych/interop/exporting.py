"""A model of ours to the original code's checkpoints."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from torch import nn

from diptych.checksummed import read_checksummed
from diptych.config import GeneratorConfig, ResnetConfig, TrainConfig, UnetConfig
from diptych.config_json import from_json
from diptych.errors import OptionError, WeightsError
from diptych.interop.names import B2A, JUDGES_BOTH, Role, authors_names
from diptych.interop.original import save_original
from diptych.model import DiscriminatorRole, ModelCard, discriminator_channels, load_model, with_weights
from diptych.networks import build_discriminator
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.run import Run
from diptych.training.checkpoint import KIND


@dataclass(frozen=True)
class Export:
    """What was written."""

    files: dict[Role, Path]
    card: ModelCard


def export_original(source: Path, folder: Path) -> Export:
    """Writes the networks of ``source``, a run or a model file, to ``folder`` in the form and by the names of the
    original.

    The discriminators are those of the model file or, of a run, those of its last checkpoint, where there is either.

    Raises:
        WeightsError: ``source`` cannot be read or is nothing that the original knows, or a file exists or cannot be
            written.
    """
    if folder.is_file():
        raise WeightsError(f"{folder} is a file", cure="give a folder to write to")
    model = load_model(source, discriminators=True)
    _refuse_unknown(source, model.card.generator)
    judges = model.discriminators or _last_discriminators(Run(source), model.card.channels)
    networks = {Role(direction=direction): network for direction, network in model.networks.items()}
    networks |= {Role(judges=judge): network for judge, network in judges.items()}
    files = {role: folder / name for role, name in authors_names(networks.keys()).items()}
    if taken := next((file for file in files.values() if file.exists()), None):
        raise WeightsError(f"{taken} exists already", cure="give another folder, or remove it")
    for role, file in files.items():
        _write(networks[role], file)
    return Export(files, model.card)


def options_there(card: ModelCard, roles: Collection[Role]) -> str:
    """The options by which the original's test.py builds the generators of ``card``, exported as ``roles``; empty where
    it has none."""
    config = card.generator
    assert isinstance(config, ResnetConfig | UnetConfig), "export_original refuses others"
    if isinstance(config, ResnetConfig):
        name = f"resnet_{config.num_blocks}blocks"
    else:
        name = f"unet_{2 ** (config.num_levels or 0)}"
    if name not in ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128"):
        return ""
    turned = set(roles) == {B2A, JUDGES_BOTH}
    a, b = card.channels.swapped if turned else card.channels
    dropout = [] if config.dropout else ["--no_dropout"]
    options = [f"--netG {name}", f"--ngf {config.width}", f"--norm {config.norm}", *dropout]
    direction = ["--direction BtoA"] if turned else []
    return " ".join([*options, f"--input_nc {a}", f"--output_nc {b}", *direction])


def _refuse_unknown(source: Path, config: GeneratorConfig) -> None:
    if not isinstance(config, ResnetConfig | UnetConfig):
        problem = f"{source} has generators of kind {kind_of(config)}, which the original code does not have"
        raise WeightsError(problem, cure="export a run that was trained with --generator resnet or unet")
    if isinstance(config, ResnetConfig) and config.upsampling != "transposed":
        problem = (
            f"{source} upsamples by {config.upsampling} resizing, and the original only by transposed convolutions"
        )
        raise WeightsError(problem, cure="export a run that was trained with --generator.upsampling transposed")


def _last_discriminators(run: Run, channels: Pair[int]) -> dict[DiscriminatorRole, nn.Module]:
    """Those of the newest checkpoint; none where there is no checkpoint."""
    files = run.checkpoint_files()
    if not files:
        return {}
    tensors, description = read_checksummed(files[-1], KIND)
    try:
        config: TrainConfig = from_json(TrainConfig, description["config"])
        build = partial(build_discriminator, config.discriminator)
        return {
            judge: with_weights(
                partial(build, discriminator_channels(judge, channels)), tensors, f"discriminators.{judge}"
            )
            for judge in get_args(DiscriminatorRole)
            if any(name.startswith(f"discriminators.{judge}.") for name in tensors)
        }
    except (KeyError, RuntimeError, OptionError) as error:
        problem = f"{files[-1]} is of another version ({str(error).splitlines()[0]})"
        raise WeightsError(problem, cure=f"use that version, or export {run.model_file} alone") from None


def _write(network: nn.Module, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_original(network, file)
    except OSError as error:
        problem = f"{file} cannot be written ({error.strerror or error})"
        raise WeightsError(problem, cure="give another folder, or make room") from None
