"""The original code's checkpoints to a model of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from diptych.config import DataConfig, DiscriminatorConfig, GeneratorConfig
from diptych.errors import WeightsError
from diptych.interop.names import A2B, BLOG, JUDGES_BOTH, Role, role_of
from diptych.interop.original import OriginalNetwork, read_original
from diptych.model import ModelCard, judged_channels, save_model
from diptych.pair import Pair
from diptych.run import Run

NO_MODEL = (".pth", ".pt", ".bin", ".ckpt", ".onnx")
PREPROCESSING = DataConfig(load_size=286, crop_size=256)
"""The original's defaults."""
ASSUMED = (
    "how pictures were prepared is not in the files; assumed are the original's defaults: "
    "resized to 286×286, cropped to 256×256, half of them mirrored, values in [-1, 1]"
)
RENAME = (
    "rename it to latest_net_G_A.pth (A → B), latest_net_G_B.pth, latest_net_D_A.pth (judges B) or latest_net_D_B.pth"
)
ONE_MODEL = "give networks of one model"

Networks = dict[Role, OriginalNetwork]


@dataclass(frozen=True)
class Import:
    """What was read, and where it went."""

    file: Path
    card: ModelCard
    networks: Networks
    notes: tuple[str, ...]
    """What the files do not tell, what is assumed in its place, and what was left out."""


def import_original(files: Sequence[Path], to: Path) -> Import:
    """Writes the networks in ``files`` as a model: to the file ``to`` if that ends in .safetensors, else to a folder.

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
    _refuse_mixed(list(generators.values()))
    _refuse_mixed(list(judges.values()))
    for role, network in judges.items():
        _refuse_other_channels(role, network, channels)
    card = ModelCard(
        method="pix2pix" if JUDGES_BOTH in judges else "cyclegan",
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


def _with_roles(found: list[OriginalNetwork]) -> Networks:
    """``found`` by what each does, the generators first."""
    num_generators = sum(network.architecture.translates for network in found)
    networks: Networks = {}
    for network in sorted(found, key=lambda network: not network.architecture.translates):
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
    return networks


def _channels(generators: Networks) -> Pair[int]:
    """The channels of A and of B, in which the ``generators`` have to agree."""
    told = {}
    for role, network in generators.items():
        there = Pair(network.architecture.in_channels, network.architecture.out_channels)
        told[there if role == A2B else there.swapped] = network
    if len(told) > 1:
        (first, one), (second, other) = told.items()
        problem = (
            f"by {one.path} A has {first.a} channels and B {first.b}, but by {other.path} {second.a} and {second.b}"
        )
        raise WeightsError(problem, cure=ONE_MODEL)
    return next(iter(told))


def _refuse_mixed(networks: list[OriginalNetwork]) -> None:
    for network in networks[1:]:
        if network.architecture.config != networks[0].architecture.config:
            both = (f"{each.path} is a {each.architecture}" for each in (networks[0], network))
            raise WeightsError(", but ".join(both), cure=ONE_MODEL)


def _refuse_other_channels(role: Role, network: OriginalNetwork, channels: Pair[int]) -> None:
    assert role.judges is not None
    expected, found = judged_channels(role.judges, channels), network.architecture.in_channels
    if found != expected:
        problem = (
            f"{network.path}, the {role}, sees {found} channels, and {expected} are needed beside these generators"
        )
        raise WeightsError(problem, cure="leave it out")


def _save(target: Path, networks: Networks, card: ModelCard) -> None:
    generators = {role.direction: network.build() for role, network in networks.items() if role.direction}
    judges = {role.judges: network.build() for role, network in networks.items() if role.judges}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_model(target, generators, card, judges)
    except OSError as error:
        problem = f"{target} cannot be written ({error.strerror or error})"
        raise WeightsError(problem, cure="give another place, or make room") from None


def _notes(networks: Networks, channels: Pair[int]) -> tuple[str, ...]:
    notes = [ASSUMED, *(note for network in networks.values() for note in network.notes)]
    if any(role.judges and BLOG.fullmatch(network.path.name) for role, network in networks.items()):
        notes.append(
            "the LeakyReLU that ends the blog version's discriminators is left out (it matters to training on)"
        )
    if set(channels) - {1, 3}:
        notes.append("pictures have 1 or 3 channels: translating needs Python here, with diptych.interop.load_original")
    return tuple(dict.fromkeys(notes))
