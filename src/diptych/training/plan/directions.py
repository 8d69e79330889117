"""Resolves ``parallel_directions``: whether a run computes both directions at the same time."""

from collections.abc import Callable
from dataclasses import replace

import torch

from diptych.config import TrainConfig
from diptych.methods import Method, supports_parallel
from diptych.parallel import are_worth_it
from diptych.training.state import build_from


def with_directions_resolved(config: TrainConfig, *, world_size: int, report: Callable[[str], None]) -> TrainConfig:
    """The otherwise resolved ``config`` with ``parallel_directions`` resolved too.

    ``report`` gets a line if they are asked for and cannot be computed in parallel.
    """
    given = config.engine.parallel_directions
    wanted = are_worth_it(torch.get_num_threads()) if given is None else given
    supported = wanted and world_size == 1 and _are_independent(config)
    if given and not supported:
        report("--parallel-directions has no effect here: one direction is computed at a time")
    return replace(config, engine=replace(config.engine, parallel_directions=supported))


def _are_independent(config: TrainConfig) -> bool:
    """Whether the method of ``config`` has two directions, and they give the same results in parallel."""
    method = _method(config)
    has_both = len(method.generators_by_direction()) == 2
    return has_both and supports_parallel(config.engine, method.modules().values())


def _method(config: TrainConfig) -> Method:
    """The method of ``config``, without weights where the code of its networks allows that."""
    try:
        with torch.device("meta"):
            return build_from(config)
    except (RuntimeError, NotImplementedError):
        return build_from(config)
