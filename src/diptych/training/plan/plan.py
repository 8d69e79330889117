"""The plan of a run: its options with every default resolved, its pictures and its length."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from diptych.config import TrainConfig
from diptych.config.constraints import check_ranges
from diptych.data.encoding import GREY, RGB, with_checked_ranges
from diptych.data.formats import UNREAD_CURE
from diptych.data.identity import Identity
from diptych.data.loader import Loader
from diptych.data.pairing import common_names
from diptych.data.sampling import epoch_size
from diptych.data.slicing import slices_of
from diptych.data.sources import Split, domain_names, find_split, refuse_among_pictures
from diptych.data.survey import survey
from diptych.device import describe_engine, resolve_engine
from diptych.errors import OptionError, RunError
from diptych.monitoring.progress import Display
from diptych.monitoring.tensorboard import require_tensorboard
from diptych.pair import Pair
from diptych.registry import kind_of
from diptych.run import Run, default_folder
from diptych.training.budget import Budget
from diptych.training.distributed import SINGLE_RANK, World
from diptych.training.plan.defaults import filled_from, resolve, resolve_ranges
from diptych.training.plan.directions import with_directions_resolved
from diptych.training.plan.initial_weights import with_architecture_of
from diptych.training.plan.kept import Kept, find_kept, identity_of, make_loader
from diptych.training.plan.length import Length, parse_time, refuse_two_lengths, total_pictures
from diptych.training.plan.recipe import with_recipe
from diptych.training.plan.resume import forked, last_checkpoint, parent_of, refuse_other_parent, resumed
from diptych.training.plan.same_pictures import note_other_pictures, refuse_other_pictures, with_held_out_of

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
    kept: Kept
    """The known pairs and the masks."""
    identity: Pair[Identity]
    """Fingerprints of the pictures, known pairs and masks."""
    loader: Loader
    parent: Path | None
    """The checkpoint of another run that this one starts from."""
    done: int
    """Images per domain seen so far: those of the newest checkpoint."""
    world: World
    length: Length | None = None
    """None for a time until ``fit_time.fit_to_time`` has measured it."""
    budget: Budget | None = None
    """The time of a run with ``--time``; None for other lengths, which are not revised."""

    @property
    def epoch_size(self) -> int:
        """Images per domain in an epoch."""
        return epoch_size(self.split.train.map(len))

    @property
    def total(self) -> int:
        """Images per domain at the end of the run. A run with a time revises it."""
        assert self.length is not None
        return self.length.total


class Choices(NamedTuple):
    """The main rank's decisions for all ranks."""

    config: TrainConfig
    run: Run
    names: Pair[str]
    split: Split
    kept: Kept
    identity: Pair[Identity]
    parent: Path | None
    done: int


def make_plan(
    config: TrainConfig, folder: Path | None, fork: Path | None, display: Display, world: World = SINGLE_RANK
) -> Plan:
    """Finds the pictures and resolves the defaults of ``config``, from the run in ``folder`` if there is one. The
    length of a run with a time is still None; see ``fit_time.fit_to_time``.

    With ``fork``, plans a new run in that folder. It starts from the last checkpoint of the run in ``folder``.

    Raises:
        UserError: something is missing, or ``config`` differs from that of the existing run.
    """
    choices = world.on_main(partial(_choose, config, folder, fork, display, world.size))
    config = choices.config
    _, run, names, split, _, identity, parent, done = choices
    loader = make_loader(config, run, split, choices.kept, display)
    plan = Plan(config, run, names, split, choices.kept, identity, loader, parent, done, world)
    if config.length.time is not None:
        return plan
    if config.output.num_samples is None:
        config = replace(config, output=replace(config.output, num_samples=NUM_SAMPLES))
    total = total_pictures(config, plan.epoch_size, world_size=world.size, start=done)
    plan = replace(plan, config=config, length=Length.fixed(total))
    world.on_main(partial(refuse_finished, plan))
    return plan


def _choose(config: TrainConfig, folder: Path | None, fork: Path | None, display: Display, world_size: int) -> Choices:
    if config.length.time is not None:
        parse_time(config.length.time)  # reports a mistake before the pictures are searched
        refuse_two_lengths(config.length)
    check_ranges(config)
    config = replace(config, data=with_checked_ranges(config.data))
    if config.output.tensorboard:
        require_tensorboard()
    names = domain_names(config.source)
    origin = Run(folder or default_folder(names, config.source.root))
    run = origin if fork is None else Run(fork)
    for existing in (origin, run):
        if existing.exists:
            existing.config(trust_code=True)  # a run that the user trains is the user's own
    refuse_among_pictures(run.folder, config.source)
    split = _find_pictures(config, display)
    if run.exists:
        split = with_held_out_of(run, split, paired=config.method.paired)
    content, earlier = config.content, run if run.exists or fork is None else origin
    if earlier.exists:
        content = filled_from(content, earlier.config(trust_code=True).content)
    kept = find_kept(content, split, names, skip_unpaired=config.data.skip_unpaired, report=display.note)
    identity = identity_of(split, kept)
    parent = None
    if run.exists:
        if fork is not None:
            refuse_other_parent(run, origin)
        config, parent = resumed(config, run), parent_of(run)
        refuse_other_pictures(run, split, identity, display)
    elif fork is not None:
        config, parent = forked(config, origin, display), last_checkpoint(origin)
        note_other_pictures(origin, split, identity, display)
        config = _resolved(config, split, display, world_size)
    else:
        if config.optimiser.init_from is not None:
            config = with_architecture_of(config.optimiser.init_from, config)
        config = _resolved(config, split, display, world_size)
    if world_size > 1:
        _refuse_batch_norm(config)
    config = with_directions_resolved(config, world_size=world_size, report=display.note)
    last = next(reversed(run.checkpoint_files()), parent)
    return Choices(config, run, names, split, kept, identity, parent, int(last.stem) if last else 0)


def refuse_finished(plan: Plan) -> None:
    """Raises ``RunError`` if a fork has nothing left to train, or a run is asked to end before where it is."""
    longer = f"--pictures of more than {plan.done:,}, or a longer --epochs or --time"
    if plan.parent is not None and plan.done >= plan.total:
        problem = f"{plan.parent} is at {plan.done:,} pictures, and a fork of it would end at {plan.total:,}"
        raise RunError(problem, cure=f"give {longer}")
    if plan.parent is None and plan.done > plan.total and plan.config.length != plan.run.config().length:
        problem = f"{plan.run.folder} is at {plan.done:,} pictures, more than the {plan.total:,} that are asked for"
        raise RunError(problem, cure=f"give {longer}, or no length")


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
    data, paired = config.data, config.method.paired
    slices, skip, note = slices_of(data), data.skip_unpaired, display.note
    split = find_split(config.source, data.holdout, slices=slices, paired=paired, skip_unpaired=skip, report=note)
    if not paired and config.source.root is None and (common := common_names(split.train)):
        display.note(
            f"{common} pictures have the same name in both folders: if these are pairs, --method pix2pix uses them"
        )
    for unread in dict.fromkeys(domain.unread for domain in split.train):
        if unread:
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
    channels = f"{data.channels_a} and {data.channels_b} channels"
    shown = [
        f"grids and scores show {'the first three channels' if number > RGB else 'the first channel'} of {name}"
        for name, number in zip(plan.names, (data.channels_a or 0, data.channels_b or 0), strict=True)
        if number not in (GREY, RGB)
    ]
    ranges = zip(plan.names, (data.range_a, data.range_b), strict=True)
    epochs, until = plan.total / plan.epoch_size, "" if plan.budget is None else f"; {plan.budget}"
    on_each = f" on each of {plan.world.size} processes" if plan.world.size > 1 else ""
    batch = f"batch {config.optimiser.batch_size}{on_each}, {describe_engine(config.engine)}"
    return [
        " · ".join(domains),
        f"{kind_of(config.method)}, {kind_of(config.generator)}: {resize}, {crop}, {channels}, {batch}",
        f"{plan.total:,} pictures ({epochs:,.4g} epochs of {plan.epoch_size:,}{until}) into {plan.run.folder}",
        *(f"values of {name}: {text.replace(' ', ' to ')} become -1 to 1" for name, text in ranges if text),
        *shown,
        *config.method.remarks((data.channels_a or 0, data.channels_b or 0)),
    ]


def _resolved(config: TrainConfig, split: Split, display: Display, world_size: int) -> TrainConfig:
    engine = resolve_engine(config.engine)
    has_range = Pair(config.data.range_a, config.data.range_b).map(lambda text: text is not None)
    inspect = partial(survey, skip_unreadable=config.data.skip_unreadable, report=display.note)
    surveys = split.train.map(lambda domain, ranged: inspect(domain, has_range=ranged), has_range)
    size = epoch_size(split.train.map(len))
    choose = partial(with_recipe, epoch_size=size, processes=world_size, report=display.note)
    config = resolve(replace(config, engine=engine), surveys, choose)
    return replace(config, data=resolve_ranges(config.data, split.train, display.note))
