"""The original code's checkpoints to a model of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from diptych.config import DataConfig, Direction, DiscriminatorConfig, GeneratorConfig, UnetConfig
from diptych.data.encoding import Encoding
from diptych.errors import WeightsError
from diptych.interop.names import A2B, BLOG, JUDGES_BOTH, Role, role_of
from diptych.interop.options_file import direction_of, read_options, with_preprocessing
from diptych.interop.original import OriginalNetwork, read_original
from diptych.model import ModelCard, discriminator_channels, save_model
from diptych.pair import Pair
from diptych.run import Run

NO_MODEL = (".pth", ".pt", ".bin", ".ckpt", ".onnx")
PREPROCESSING = DataConfig(load_size=286, crop_size=256)
"""The original's defaults."""
ASSUMED = (
    "how pictures were prepared is not in the files; assumed are the original's defaults: "
    "resized to 286×286, cropped to 256×256, half of them mirrored, values in [-1, 1]"
)
RENAME = {
    True: "rename it to latest_net_G_A.pth (A → B), latest_net_G_B.pth (B → A) or latest_net_G.pth (the only one)",
    False: "rename it to latest_net_D_A.pth (judges B), latest_net_D_B.pth (judges A) or latest_net_D.pth (pix2pix)",
}
"""The cure for a generator, and for a discriminator."""
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


def import_original(files: Sequence[Path], to: Path, *, direction: Direction | None = None) -> Import:
    """Writes the networks in ``files`` as a model: to the file ``to`` if that ends in .safetensors, else to a folder.

    A folder among ``files`` stands for the latest networks in it. Which network is which is told by their names (see
    ``names``); the ``direction`` of a lone generator and how pictures were prepared by the options file beside them,
    where there is one; all else by what they hold.

    Raises:
        WeightsError: a file cannot be used, they are not of one model, or ``to`` is taken or cannot be written.
    """
    target = _target(to)
    files = [file for given in files for file in _latest(given)]
    options_file, options = (read_options(files[0].parent) if files else None) or (None, {})
    lone = Role(direction=direction or direction_of(options))
    networks = _with_roles([read_original(file) for file in files], lone)
    if direction is not None and lone not in networks:
        raise WeightsError(f"{files[0]} says its direction by its name", cure="leave --direction out")
    generators = {role: network for role, network in networks.items() if role.direction}
    judges = {role: network for role, network in networks.items() if role.judges}
    if not generators:
        raise WeightsError("there is no generator among the files", cure="give latest_net_G_A.pth too")
    channels = _channels(generators)
    _refuse_mixed(list(generators.values()))
    _refuse_mixed(list(judges.values()))
    for role, network in judges.items():
        _refuse_other_channels(role, network, channels)
    generator = cast(GeneratorConfig, next(iter(generators.values())).architecture.config)
    is_pix2pix = JUDGES_BOTH in judges or options.get("model") == "pix2pix"
    if isinstance(generator, UnetConfig):
        generator = replace(generator, dropout=options.get("no_dropout", str(not is_pix2pix)) == "False")
    data, notes = PREPROCESSING, [ASSUMED]
    if options_file is not None:
        data, notes = with_preprocessing(data, options, options_file), [f"pictures prepared as {options_file} says"]
    card = ModelCard(
        method="pix2pix" if is_pix2pix else "cyclegan",
        generator=generator,
        encodings=channels.map(Encoding),
        names=Pair("A", "B"),
        data=replace(data, channels_a=channels.a, channels_b=channels.b),
        pictures=None,
        ema=False,
        discriminator=next((cast(DiscriminatorConfig, n.architecture.config) for n in judges.values()), None),
    )
    _save(target, networks, card)
    return Import(target, card, networks, (*notes, *_notes(networks, channels)))


def _target(to: Path) -> Path:
    if to.suffix in NO_MODEL:
        raise WeightsError(f"{to} is no name for a model", cure="give a folder, or a file that ends in .safetensors")
    target = to if to.suffix == ".safetensors" else to / "model.safetensors"
    if target.exists() or Run(to).exists:
        raise WeightsError(f"{target if target.exists() else to} exists already", cure="give another one, or remove it")
    return target


def _latest(path: Path) -> list[Path]:
    """The latest networks in the folder ``path``, or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("latest_net_*.pth"))
    if not files:
        raise WeightsError(f"{path} holds no latest_net_*.pth", cure="give the files themselves")
    return files


def _with_roles(found: list[OriginalNetwork], lone: Role) -> Networks:
    """``found`` by what each does, the generators first."""
    num_generators = sum(network.architecture.translates for network in found)
    networks: Networks = {}
    for network in sorted(found, key=lambda network: not network.architecture.translates):
        translates = network.architecture.translates
        role = role_of(network.path.name, lone) or (lone if translates and num_generators == 1 else None)
        if role is None:
            what = "generator" if translates else "discriminator"
            raise WeightsError(f"{network.path} is a {what}, and its name does not say which", cure=RENAME[translates])
        if translates != (role.direction is not None):
            raise WeightsError(f"{network.path} is no {role} but a {network.architecture}", cure=RENAME[translates])
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
    expected, found = discriminator_channels(role.judges, channels), network.architecture.in_channels
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
    notes = [note for network in networks.values() for note in network.notes]
    if any(role.judges and BLOG.fullmatch(network.path.name) for role, network in networks.items()):
        notes.append(
            "the LeakyReLU that ends the blog version's discriminators is left out (it matters to training on)"
        )
    if set(channels) - {1, 3}:
        notes.append("pictures have 1 or 3 channels: translating needs Python here, with diptych.interop.load_original")
    return tuple(dict.fromkeys(notes))
