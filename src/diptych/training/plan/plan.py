"""The plan of a run: its options with every default resolved, its pictures and its length."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from diptych.config import TrainConfig
from diptych.config.constraints import adjustable, check_ranges, option_name
from diptych.config_json import flatten
from diptych.data.cache import PictureCache
from diptych.data.files import describe_unread
from diptych.data.formats import UNREAD_CURE
from diptych.data.loader import Loader, Reader
from diptych.data.pairing import common_names
from diptych.data.sampling import epoch_size
from diptych.data.sources import Split, domain_names, find_split
from diptych.data.survey import survey
from diptych.device import describe_engine, resolve_engine
from diptych.errors import OptionError, RunError
from diptych.monitoring.progress import Display
from diptych.monitoring.tensorboard import require_tensorboard
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.run import Run, default_folder
from diptych.training.distributed import SINGLE_RANK, World
from diptych.training.plan.defaults import filled_from, resolve
from diptych.training.plan.initial_weights import with_architecture_of, with_networks
from diptych.training.plan.length import parse_time, total_pictures

NUM_SAMPLES = 20
"""Sample grids of a run by default."""


@dataclass(frozen=True)
class Plan:
    """Everything that is fixed when a run starts or continues."""

    config: TrainConfig
    """Resolved."""
    run: Run
    names: Pair[str]
    split: Split
    channels: Pair[int]
    loader: Loader
    parent: Path | None
    """The checkpoint of another run that this one starts from."""
    world: World

    @property
    def epoch_size(self) -> int:
        """Images per domain in an epoch."""
        return epoch_size(self.split.train.map(len))

    @property
    def total(self) -> int:
        """Images per domain at the end of the run."""
        return total_pictures(self.config, self.epoch_size, self.world.size)

    @property
    def has_unresolved_length(self) -> bool:
        """Whether the length is a time that has not been converted to images yet; see ``fit_time.fit_to_time``."""
        return self.config.length.time is not None and self.config.length.pictures is None

    @property
    def sample_every(self) -> int:
        """Images per domain between two sample grids."""
        return max(1, self.total // max(1, self.config.output.num_samples or 0))

    @property
    def done(self) -> int:
        """Images per domain seen so far."""
        last = next(reversed(self.run.checkpoint_files()), self.parent)
        return int(last.stem) if last else 0


class Choices(NamedTuple):
    """The main rank's decisions for all ranks."""

    config: TrainConfig
    run: Run
    names: Pair[str]
    split: Split
    parent: Path | None


def make_plan(
    config: TrainConfig, folder: Path | None, fork: Path | None, display: Display, world: World = SINGLE_RANK
) -> Plan:
    """Finds the pictures and resolves the defaults of ``config``, from the run in ``folder`` if there is one.

    With ``fork``, plans a new run in that folder. It starts from the last checkpoint of the run in ``folder``.

    Raises:
        UserError: something is missing, or ``config`` differs from that of the existing run.
    """
    choices = world.on_main(partial(_choose, config, folder, fork, display, world.size))
    config, data = choices.config, choices.config.data
    channels = Pair(data.channels_a or 0, data.channels_b or 0)
    loader = _loader(config, choices.run, choices.split, channels, display)
    plan = Plan(config, choices.run, choices.names, choices.split, channels, loader, choices.parent, world)
    if not plan.has_unresolved_length:
        if config.output.num_samples is None:
            plan = replace(plan, config=replace(config, output=replace(config.output, num_samples=NUM_SAMPLES)))
        refuse_finished_fork(plan)
    return plan


def _choose(config: TrainConfig, folder: Path | None, fork: Path | None, display: Display, world_size: int) -> Choices:
    if config.length.time is not None:
        parse_time(config.length.time)  # reports a mistake before the pictures are searched
    check_ranges(config)
    if config.output.tensorboard:
        require_tensorboard()
    names = domain_names(config.source)
    origin = Run(folder or default_folder(names, config.source.root))
    run = origin if fork is None else Run(fork)
    split = _find_pictures(config, display)
    parent = None
    if run.exists:
        config = _resumed(config, run, split)
    elif fork is not None:
        config, parent = filled_from(config, origin.config()), last_checkpoint(origin)
    else:
        config = _resolved(config, split, display)
    if world_size > 1:
        _refuse_batch_norm(config)
    return Choices(config, run, names, split, parent)


def refuse_finished_fork(plan: Plan) -> None:
    """Raises ``RunError`` if a fork would have nothing left to train."""
    if plan.parent is not None and int(plan.parent.stem) >= plan.total:
        reached = f"{int(plan.parent.stem):,}"
        problem = f"{plan.parent} is at {reached} pictures, and a fork of it would end at {plan.total:,}"
        raise RunError(problem, cure=f"give --pictures of more than {reached}")


def _refuse_batch_norm(config: TrainConfig) -> None:
    """Raises ``OptionError`` if batch norm would see only one process's part of the batch."""
    networks = {"generator": config.generator, "discriminator": config.discriminator}
    given = [f"--{name}.norm instance" for name, net in networks.items() if getattr(net, "norm", "") == "batch"]
    if given and config.engine.device != "cuda":
        raise OptionError(
            "batch norm over several processes needs CUDA, since torch has none for the CPU",
            cure=f"give {' '.join(given)}, or train in one process",
        )


def _find_pictures(config: TrainConfig, display: Display) -> Split:
    """Finds the pictures of ``config``, as pairs if its method needs them."""
    paired = config.method.paired
    skip = config.data.skip_unpaired
    split = find_split(config.source, config.data.holdout, paired=paired, skip_unpaired=skip, report=display.note)
    if not paired and config.source.root is None and (common := common_names(split.train)):
        display.note(
            f"{common} pictures have the same name in both folders: if these are pairs, --method pix2pix uses them"
        )
    for folder in dict.fromkeys(domain.folder for domain in split.train):
        if unread := describe_unread(folder):
            display.note(f"{unread}: {UNREAD_CURE}")
    return split


def describe(plan: Plan) -> list[str]:
    """The plan in a few lines for a user."""
    config, data = plan.config, plan.config.data
    domains = [
        f"{name} {len(train):,} pictures" + (f" and {len(held)} held out" if len(held) else "")
        for name, train, held in zip(plan.names, plan.split.train, plan.split.test, strict=True)
    ]
    crop = f"crops of {data.crop_size}" if data.crop_size else "whole pictures"
    resize = "not resized" if data.resize == "none" else f"resized to {data.load_size} ({data.resize})"
    channels = f"{plan.channels.a} and {plan.channels.b} channels"
    epochs = plan.total / plan.epoch_size
    on_each = f" on each of {plan.world.size} processes" if plan.world.size > 1 else ""
    batch = f"batch {config.optimiser.batch_size}{on_each}, {describe_engine(config.engine)}"
    return [
        " · ".join(domains),
        f"{kind_of(config.method)}, {kind_of(config.generator)}: {resize}, {crop}, {channels}, {batch}",
        f"{plan.total:,} pictures ({epochs:,.4g} epochs of {plan.epoch_size:,}) into {plan.run.folder}",
        *config.method.remarks(plan.channels),
    ]


def last_checkpoint(run: Run) -> Path:
    """The newest checkpoint of ``run``.

    Raises:
        RunError: there is none.
    """
    files = run.checkpoint_files()
    if not files:
        raise RunError(f"{run.folder} has no checkpoint to start from", cure="train it first, or leave out --fork")
    return files[-1]


def _resolved(config: TrainConfig, split: Split, display: Display) -> TrainConfig:
    engine = resolve_engine(config.engine)
    if config.optimiser.init_from is not None:
        config = with_architecture_of(config.optimiser.init_from, config)
    survey_domain = partial(survey, skip_unreadable=config.data.skip_unreadable, report=display.note)
    return resolve(replace(config, engine=engine), split.train.map(survey_domain))


def _resumed(config: TrainConfig, run: Run, split: Split) -> TrainConfig:
    """``config`` with its unset options taken from ``run``. Only adjustable options may differ from ``run``."""
    stored = run.config()
    if config.optimiser.init_from is not None:
        config = with_networks(config, stored.generator, stored.discriminator, run.folder)
    config = filled_from(config, stored)
    if config.length.time is not None and config.length.time == stored.length.time:
        fewer = min(config.output.num_samples or 0, stored.output.num_samples or 0)
        config = replace(config, output=replace(config.output, num_samples=fewer))
    before, now = flatten(stored), flatten(config)
    changed = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
    forbidden = sorted(set(changed) - adjustable(stored) - adjustable(config))
    if forbidden:
        differences = ", ".join(f"{option_name(key)} was {before.get(key)} and is {now.get(key)}" for key in forbidden)
        cure = "give the same options, or --fork NEW_RUN to continue with others"
        raise RunError(f"{run.folder} was started with other options: {differences}", cure=cure)
    _refuse_other_pictures(run, split)
    return config


def _refuse_other_pictures(run: Run, split: Split) -> None:
    for domain, before in zip(split.train, run.about()["pictures"].values(), strict=True):
        if domain.sha256 != before["sha256"]:
            found, expected = f"other pictures ({len(domain)})", f"the run was started with ({before['number']})"
            cure = "put them back, or give --fork NEW_RUN to continue with these"
            raise RunError(f"{run.folder}: {domain.folder} has {found} than {expected}", cure=cure)


def _loader(config: TrainConfig, run: Run, split: Split, channels: Pair[int], display: Display) -> Loader:
    data = config.data
    paired = split.train if config.method.paired else None
    make = partial(Reader, data=data, stride=config.generator.stride, paired=paired, report=display.note)
    memory, disk = (int(gib * 2**30 / len(channels)) for gib in (data.cache_gib, data.disk_cache_gib))
    caches = channels.map(lambda _: PictureCache(memory, disk_bytes=disk, folder=run.folder))
    readers = split.train.map(
        lambda domain, number, cache: make(domain, channels=number, cache=cache), channels, caches
    )
    return Loader(
        readers,
        config.data,
        seed=config.optimiser.seed,
        batch_size=config.optimiser.batch_size,
        paired=config.method.paired,
        pin=config.engine.device == "cuda",
    )
