"""Imports the original code's checkpoints as a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from diptych.config import DataConfig, Direction, DiscriminatorConfig, GeneratorConfig, UnetConfig
from diptych.data.encoding import Encoding
from diptych.errors import WeightsError, disk_errors
from diptych.interop.names import DESCRIPTIONS, Role, role_of
from diptych.interop.options_file import direction_of, read_options, with_preprocessing
from diptych.interop.original import OriginalNetwork, read_original
from diptych.model import DiscriminatorRole, ModelCard, discriminator_channels, save_model
from diptych.pair import Pair
from diptych.run import Run

FOREIGN_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".onnx")
PREPROCESSING = DataConfig(load_size=286, crop_size=256)
"""The original's defaults."""
ASSUMED = (
    "the files do not say how pictures were preprocessed; the original's defaults are assumed: "
    "resized to 286×286, cropped to 256×256, half of them flipped, values in [-1, 1]"
)
RENAME = {
    True: "rename it to latest_net_G_A.pth (A → B), latest_net_G_B.pth (B → A) or latest_net_G.pth (the only one)",
    False: "rename it to latest_net_D_A.pth (sees B), latest_net_D_B.pth (sees A) or latest_net_D.pth (pix2pix)",
}
"""The cure for a generator (True) and for a discriminator."""
ONE_MODEL = "give networks of one model"

Generators = dict[Direction, OriginalNetwork]
Discriminators = dict[DiscriminatorRole, OriginalNetwork]


@dataclass(frozen=True)
class ImportedModel:
    """The result of an import."""

    file: Path
    card: ModelCard
    networks: dict[Role, OriginalNetwork]
    notes: tuple[str, ...]
    """What is missing from the files, what was assumed, and what was left out."""


def import_original(files: Sequence[Path], to: Path, *, direction: Direction | None = None) -> ImportedModel:
    """Writes the networks in ``files`` as a model: to the file ``to`` if it ends in .safetensors, else to a folder.

    A folder in ``files`` stands for the latest networks in it. Each network's role is read from the file name (see
    ``names``), and its architecture from the file. If there is an options file beside them, it gives the
    preprocessing, and the ``direction`` of a single generator.

    Raises:
        UserError: a file cannot be used, they are not of one model, or ``to`` exists or cannot be written.
    """
    target = _target(to)
    files = [file for path in files for file in _latest(path)]
    options_file, options = (read_options(files[0].parent) if files else None) or (None, {})
    single = direction or direction_of(options)
    networks = _by_role([read_original(file) for file in files], single)
    generators = {role: network for role, network in networks.items() if role == "a2b" or role == "b2a"}
    discriminators = {role: network for role, network in networks.items() if role != "a2b" and role != "b2a"}
    if direction is not None and direction not in networks:
        raise WeightsError(f"the name of {files[0]} already gives its direction", cure="leave --direction out")
    if not generators:
        raise WeightsError("there is no generator among the files", cure="give latest_net_G_A.pth too")
    channels = _channels(generators, discriminators)
    generator = cast(GeneratorConfig, _common_config(list(generators.values())))
    discriminator = cast(DiscriminatorConfig | None, _common_config(list(discriminators.values())))
    is_pix2pix = "joint" in networks or options.get("model") == "pix2pix"
    if isinstance(generator, UnetConfig):
        generator = replace(generator, dropout=options.get("no_dropout", str(not is_pix2pix)) == "False")
    data, notes = PREPROCESSING, [ASSUMED]
    if options_file is not None:
        data = with_preprocessing(data, options, options_file)
        notes = [f"preprocessing taken from {options_file}; to train further with it, give {_as_options(data)}"]
    if isinstance(generator, UnetConfig):
        notes.append(f"a U-Net's weights do not record dropout: {_dropout_origin(generator, options_file, options)}")
    card = ModelCard(
        method="pix2pix" if is_pix2pix else "cyclegan",
        generator=generator,
        encodings=channels.map(Encoding),
        names=Pair("A", "B"),
        data=replace(data, channels_a=channels.a, channels_b=channels.b),
        pictures=None,
        ema=False,
        discriminator=discriminator,
    )
    notes += [note for network in networks.values() for note in network.notes]
    if any(network.path.name.startswith("D__") for network in discriminators.values()):
        notes.append("the final LeakyReLU of the discriminators (D__A, D__B) is left out: only training needs it")
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        built = {role: network.build() for role, network in discriminators.items()}
        save_model(target, {role: network.build() for role, network in generators.items()}, card, built)
    return ImportedModel(target, card, networks, tuple(dict.fromkeys(notes)))


def _target(to: Path) -> Path:
    """The model file to write.

    Raises:
        WeightsError: it has the suffix of another format, or exists.
    """
    if to.suffix in FOREIGN_SUFFIXES:
        raise WeightsError(f"{to} is not a model file", cure="give a folder, or a file that ends in .safetensors")
    target = to if to.suffix == ".safetensors" else to / "model.safetensors"
    if target.exists() or Run(to).exists:
        raise WeightsError(f"{target if target.exists() else to} exists already", cure="give another one, or remove it")
    return target


def _latest(path: Path) -> list[Path]:
    """The latest networks in the folder ``path``, or the file itself."""
    files = sorted(path.glob("latest_net_*.pth")) if path.is_dir() else [path]
    if not files:
        raise WeightsError(f"{path} holds no latest_net_*.pth", cure="give the files themselves")
    return files


def _by_role(networks: list[OriginalNetwork], single: Direction) -> dict[Role, OriginalNetwork]:
    """``networks`` by role, the generators first. A single generator needs no letter in its name."""
    num_generators = sum(network.architecture.is_generator for network in networks)
    by_role: dict[Role, OriginalNetwork] = {}
    for network in sorted(networks, key=lambda network: not network.architecture.is_generator):
        path, is_generator = network.path, network.architecture.is_generator
        role = role_of(path.name, single) or (single if is_generator and num_generators == 1 else None)
        if role is None:
            component = "generator" if is_generator else "discriminator"
            raise WeightsError(f"{path} is a {component}, and its name does not say which", cure=RENAME[is_generator])
        description = DESCRIPTIONS[role]
        if is_generator != (role in ("a2b", "b2a")):
            raise WeightsError(f"{path} is not a {description} but a {network.architecture}", cure=RENAME[is_generator])
        if role in by_role:
            raise WeightsError(f"{by_role[role].path} and {path} are both the {description}", cure="give one of them")
        by_role[role] = network
    return by_role


def _channels(generators: Generators, discriminators: Discriminators) -> Pair[int]:
    """The channels of A and of B.

    Raises:
        WeightsError: two networks have different ones.
    """
    by_channels: dict[Pair[int], Path] = {}
    for direction, network in generators.items():
        shape = Pair(network.architecture.in_channels, network.architecture.out_channels)
        by_channels[Pair(*shape.along(direction))] = network.path
    channels = next(iter(by_channels))
    if len(by_channels) > 1:
        described = (f"{pair.a} and {pair.b} in {path}" for pair, path in by_channels.items())
        raise WeightsError(f"the channels of A and B are {', but '.join(described)}", cure=ONE_MODEL)
    for role, network in discriminators.items():
        expected, actual = discriminator_channels(role, channels), network.architecture.in_channels
        if actual != expected:
            problem = f"{network.path}, the {DESCRIPTIONS[role]}, takes {actual} channels, but the generators need"
            raise WeightsError(f"{problem} {expected}", cure="leave it out")
    return channels


def _common_config(networks: list[OriginalNetwork]) -> object:
    """The config that all ``networks`` share; None if there are none.

    Raises:
        WeightsError: two differ.
    """
    for network in networks[1:]:
        if network.architecture.config != networks[0].architecture.config:
            both = (f"{each.path} is a {each.architecture}" for each in (networks[0], network))
            raise WeightsError(", but ".join(both), cure=ONE_MODEL)
    return networks[0].architecture.config if networks else None


def _as_options(data: DataConfig) -> str:
    """The options of training that prepare pictures as ``data`` does."""
    load_size = "" if data.resize == "none" else f" --load-size {data.load_size}"
    flip = "" if data.flip else " --no-flip"
    return f"--resize {data.resize}{load_size} --crop-size {data.crop_size}{flip}"


def _dropout_origin(generator: UnetConfig, options_file: Path | None, options: Mapping[str, str]) -> str:
    """Whether the ``generator`` has dropout, and what says so."""
    origin = f"from {options_file.name}" if options_file and "no_dropout" in options else "the method's default"
    return f"it is {'on' if generator.dropout else 'off'} ({origin})"
