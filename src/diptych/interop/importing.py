"""The original code's checkpoints to a model of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from diptych.config import DataConfig, DiscriminatorConfig, GeneratorConfig
from diptych.errors import WeightsError
from diptych.interop.names import A2B, B2A, BLOG, JUDGES_A, JUDGES_B, Role, role_of
from diptych.interop.original import OriginalNetwork, read_original
from diptych.model import ModelCard, save_model
from diptych.pair import Pair
from diptych.run import Run

NO_MODEL = (".pth", ".pt", ".bin", ".ckpt", ".onnx")
PREPROCESSING = DataConfig(load_size=286, crop_size=256)
"""The original's defaults."""
ASSUMED = (
    "how pictures were prepared is not in the files; assumed are the original's defaults: "
    "resized to 286×286, cropped to 256×256, half of them mirrored, values in [-1, 1]"
)
RENAME = "rename it to what it is: latest_net_G_A.pth (A → B), latest_net_G_B.pth, latest_net_D_A.pth (judges B), latest_net_D_B.pth"  # fmt: skip


@dataclass(frozen=True)
class Import:
    """What was read, and where it went."""

    file: Path
    card: ModelCard
    networks: dict[Role, OriginalNetwork]
    notes: tuple[str, ...]
    """What the files do not tell, what is assumed in its place, and what was left out."""


def import_original(files: Sequence[Path], to: Path) -> Import:
    """Writes the networks in ``files`` as a model: to the file ``to`` if that ends in .safetensors, else into the folder.

    Which network is which is told by the names of ``files`` (see ``names``), all else by what they hold.

    Raises:
        WeightsError: a file cannot be used, they are not of one model, or ``to`` is taken or cannot be written.
    """
    target = _target(to)
    networks = _with_roles([read_original(file) for file in files])
    generators = {role: network for role, network in networks.items() if role.direction}
    judges = {role: network for role, network in networks.items() if role.judges}
    if not generators:
        raise WeightsError("there is no generator among the files", cure="give latest_net_G_A.pth too")
    channels = _channels(generators)
    _refuse_mixed(generators)
    _refuse_mixed(judges)
    for role, network in judges.items():
        _refuse_other_channels(role, network, channels)
    card = ModelCard(
        method="cyclegan",
        generator=cast(GeneratorConfig, next(iter(generators.values())).architecture.config),
        channels=channels,
        names=Pair("A", "B"),
        data=replace(PREPROCESSING, channels_a=channels.a, channels_b=channels.b),
        pictures=None,
        ema=False,
        discriminator=next((cast(DiscriminatorConfig, n.architecture.config) for n in judges.values()), None),
    )
    _save(target, networks, card)
    return Import(target, card, networks, _notes(networks, channels))


def _target(to: Path) -> Path:
    if to.suffix in NO_MODEL:
        raise WeightsError(f"{to} is no name for a model", cure="give a folder, or a file that ends in .safetensors")
    target = to if to.suffix == ".safetensors" else to / "model.safetensors"
    if target.exists() or Run(to).exists:
        raise WeightsError(f"{target if target.exists() else to} exists already", cure="give another one, or remove it")
    return target


def _with_roles(found: list[OriginalNetwork]) -> dict[Role, OriginalNetwork]:
    num_generators = sum(network.architecture.translates for network in found)
    networks: dict[Role, OriginalNetwork] = {}
    for network in found:
        translates = network.architecture.translates
        role = role_of(network.path.name) or (A2B if translates and num_generators == 1 else None)
        if role is None:
            what = "generator" if translates else "discriminator"
            raise WeightsError(f"{network.path} is a {what}, and its name does not say which", cure=RENAME)
        if translates != (role.direction is not None):
            raise WeightsError(f"{network.path} is no {role} but a {network.architecture}", cure=RENAME)
        if role in networks:
            raise WeightsError(f"{networks[role].path} and {network.path} are both the {role}", cure="give one of them")
        networks[role] = network
    return {role: networks[role] for role in (A2B, B2A, JUDGES_A, JUDGES_B) if role in networks}


def _channels(generators: dict[Role, OriginalNetwork]) -> Pair[int]:
    """The channels of A and of B, in which the ``generators`` have to agree."""
    told = {}
    for role, network in generators.items():
        there = Pair(network.architecture.in_channels, network.architecture.out_channels)
        told[there if role == A2B else there.swapped] = network
    if len(told) > 1:
        (a2b, forth), (b2a, back) = told.items()
        problem = f"{forth.path} translates {a2b.a} channels to {a2b.b}, but {back.path} {b2a.b} to {b2a.a}"
        raise WeightsError(problem, cure="give the two generators of one model")
    return next(iter(told))


def _refuse_mixed(networks: dict[Role, OriginalNetwork]) -> None:
    found = list(networks.values())
    if len(found) == 2 and found[0].architecture.config != found[1].architecture.config:
        first, second = (f"{network.path} is a {network.architecture}" for network in found)
        raise WeightsError(f"{first}, but {second}", cure="give networks of one model")


def _refuse_other_channels(role: Role, network: OriginalNetwork, channels: Pair[int]) -> None:
    expected, found = channels.a if role == JUDGES_A else channels.b, network.architecture.in_channels
    if found != expected:
        both = " (as pix2pix's, it seems to judge both pictures at once)" if found == sum(channels) else ""
        problem = f"{network.path} judges pictures of {found} channels{both}, but the generators' have {expected}"
        raise WeightsError(problem, cure="leave it out")


def _save(target: Path, networks: dict[Role, OriginalNetwork], card: ModelCard) -> None:
    generators = {role.direction: network.build() for role, network in networks.items() if role.direction}
    judges = {role.judges: network.build() for role, network in networks.items() if role.judges}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_model(target, generators, card, judges)
    except OSError as error:
        problem = f"{target} cannot be written ({error.strerror or error})"
        raise WeightsError(problem, cure="give another place, or make room") from None


def _notes(networks: dict[Role, OriginalNetwork], channels: Pair[int]) -> tuple[str, ...]:
    notes = [ASSUMED, *(note for network in networks.values() for note in network.notes)]
    if any(role.judges and BLOG.fullmatch(network.path.name) for role, network in networks.items()):
        notes.append(
            "the LeakyReLU that ends the blog version's discriminators is left out (it matters to training on)"
        )
    if set(channels) - {1, 3}:
        notes.append("pictures have 1 or 3 channels: translating needs Python here, with diptych.interop.load_original")
    return tuple(dict.fromkeys(notes))
