"""Resuming and forking: the options that come from an existing run, and those that may differ from it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diptych.config import TrainConfig
from diptych.config.constraints import adjustable, option_name
from diptych.config_json import flatten
from diptych.errors import OptionError, RunError
from diptych.monitoring.progress import Display
from diptych.run import Run
from diptych.training.plan.defaults import filled_from
from diptych.training.plan.initial_weights import with_networks
from diptych.training.plan.length import length_or_stored

KEEPS_WEIGHTS = {"generator.dropout"}
"""Options of networks that a fork may change. If one changes the names of the weights, the checkpoint is refused."""


def resumed(config: TrainConfig, run: Run) -> TrainConfig:
    """``config`` with its unset options taken from ``run``, except the paths of the pictures.

    Raises:
        RunError: an option that is not adjustable differs from that of ``run``.
    """
    stored, length = run.config(), config.length
    if config.optimiser.init_from is not None:
        config = with_networks(config, stored.generator, stored.discriminator, run.folder)
    config = replace(filled_from(config, stored), source=config.source, length=length_or_stored(length, stored.length))
    if config.length.time is not None and config.length.time == stored.length.time:
        fewer = min(config.output.num_samples or 0, stored.output.num_samples or 0)
        config = replace(config, output=replace(config.output, num_samples=fewer))
    before, now = flatten(stored), flatten(config)
    added = {name for name in before if name.startswith("content.") and before[name] is None and now[name] is not None}
    if forbidden := set(changed_options(stored, config)) - (adjustable(stored) | adjustable(config)) | added:
        differences = describe_changes(forbidden, flatten(stored), flatten(config))
        cure = "give the same options, or --fork NEW_RUN to continue with others"
        raise RunError(f"{run.folder} was started with other options: {differences}", cure=cure)
    return config


def forked(config: TrainConfig, origin: Run, display: Display) -> TrainConfig:
    """``config`` with its unset options taken from ``origin``, the parent, except the paths of the pictures.

    Raises:
        RunError: a network differs from that of the parent.
        OptionError: initial weights are given.
    """
    stored = origin.config()
    if config.optimiser.init_from not in (None, stored.optimiser.init_from):
        cure = "leave it out, or give --run NEW_RUN instead of --fork"
        raise OptionError("a fork starts from its parent's weights, and --init-from is given", cure=cure)
    length = length_or_stored(config.length, stored.length)
    config = replace(filled_from(config, stored), source=config.source, length=length)
    if config.optimiser.initialisation != stored.optimiser.initialisation:
        display.note("--initialisation has no effect: a fork starts from its parent's weights")
        kept = replace(config.optimiser, initialisation=stored.optimiser.initialisation)
        config = replace(config, optimiser=kept)
    changed = changed_options(stored, config)
    of_networks = [key for key in changed if key.startswith(("generator.", "discriminator."))]
    if other := set(of_networks) - KEEPS_WEIGHTS:
        differences = describe_changes(other, flatten(stored), flatten(config))
        cure = "leave these options out, or start another run with --run"
        raise RunError(f"{origin.folder} has other networks: {differences}", cure=cure)
    return config


def last_checkpoint(run: Run) -> Path:
    """The newest checkpoint of ``run``.

    Raises:
        RunError: there is none.
    """
    files = run.checkpoint_files()
    if not files:
        raise RunError(f"{run.folder} has no checkpoint to start from", cure="train it first, or leave out --fork")
    return files[-1]


def parent_of(run: Run) -> Path | None:
    """The checkpoint of another run from which the existing ``run`` starts, if it is a fork without one of its own.

    Raises:
        RunError: that checkpoint is gone.
    """
    parent = run.about().get("parent")
    if not parent or run.checkpoint_files():
        return None
    if not Path(parent).is_file():
        problem = f"{run.folder} has no checkpoint yet, and {parent}, from which it was forked, is gone"
        raise RunError(problem, cure="fork again with another --fork NEW_RUN")
    return Path(parent)


def refuse_other_parent(fork: Run, origin: Run) -> None:
    """Raises ``RunError`` if the existing run ``fork`` is no fork of ``origin``."""
    parent = fork.about().get("parent")
    folder = Path(parent).parents[1] if parent else None
    if folder is None or folder.resolve() != origin.folder.resolve():
        problem = f"{fork.folder} is a run already, and {f'a fork of {folder}' if folder else 'no fork'}"
        cure = f"give another folder with --fork, or --run {fork.folder} without --fork to resume it"
        raise RunError(f"{problem}, not of {origin.folder}", cure=cure)


def changed_options(before: TrainConfig, now: TrainConfig) -> list[str]:
    """The dotted names of the options that differ."""
    old, new = flatten(before), flatten(now)
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def describe_changes(keys: Collection[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The options ``keys`` of two flat configs, in words."""
    return ", ".join(f"{option_name(key)} was {before.get(key)} and is {now.get(key)}" for key in sorted(keys))
