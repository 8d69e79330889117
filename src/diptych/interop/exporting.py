"""A model of ours to the original code's checkpoints."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from diptych.config import GeneratorConfig, ResnetConfig, TrainConfig
from diptych.config_json import from_json
from diptych.errors import OptionError, WeightsError
from diptych.interop.names import A2B, JUDGES_B, Role, authors_name
from diptych.interop.original import save_original
from diptych.model import Domain, ModelCard, load_model, with_weights
from diptych.networks import build_discriminator
from diptych.run import Run
from diptych.sealed import read_sealed
from diptych.training.checkpoint import KIND

DOMAINS: tuple[Domain, ...] = ("a", "b")


@dataclass(frozen=True)
class Export:
    """What was written."""

    files: dict[Role, Path]
    card: ModelCard


def export_original(source: Path, folder: Path) -> Export:
    """Writes the networks of ``source``, a run or a model file, to ``folder`` by the names and in the form of the original.

    The discriminators are those of the model file or, of a run, those of its last checkpoint, where there is either.

    Raises:
        WeightsError: ``source`` cannot be read, is nothing that the original knows, or a file exists or cannot be written.
    """
    model = load_model(source, discriminators=True)
    _refuse_unknown(source, model.card.generator)
    judges = model.discriminators or _last_discriminators(Run(source))
    networks = {Role(direction=direction): network for direction, network in model.networks.items()}
    networks |= {Role(judges=domain): network for domain, network in judges.items()}
    alone = A2B in networks and set(networks) <= {A2B, JUDGES_B}
    files = {role: folder / authors_name(role, alone=alone) for role in networks}
    if taken := next((file for file in files.values() if file.exists()), None):
        raise WeightsError(f"{taken} exists already", cure="give another folder, or remove it")
    for role, file in files.items():
        _write(networks[role], file)
    return Export(files, model.card)


def _refuse_unknown(source: Path, config: GeneratorConfig) -> None:
    if isinstance(config, ResnetConfig) and config.upsampling != "transposed":
        problem = (
            f"{source} doubles sizes by {config.upsampling} resizing, and the original only by transposed convolutions"
        )
        raise WeightsError(problem, cure="export a run trained with --generator.upsampling transposed")


def _last_discriminators(run: Run) -> dict[Domain, nn.Module]:
    files = run.checkpoint_files()
    if not files:
        return {}
    tensors, description = read_sealed(files[-1], KIND)
    try:
        config = from_json(TrainConfig, description["config"])
        channels = {"a": config.data.channels_a or 0, "b": config.data.channels_b or 0}
        return {
            domain: with_weights(
                partial(build_discriminator, config.discriminator, channels[domain]),
                tensors,
                f"discriminators.{domain}",
            )
            for domain in DOMAINS
        }
    except (KeyError, RuntimeError, OptionError) as error:
        problem = f"{files[-1]} is of another version ({str(error).splitlines()[0]})"
        raise WeightsError(
            problem, cure="use the version of diptych that wrote it, or export the model file alone"
        ) from None


def _write(network: nn.Module, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_original(network, file)
    except OSError as error:
        problem = f"{file} cannot be written ({error.strerror or error})"
        raise WeightsError(problem, cure="give another folder, or make room") from None
