"""Checkpoints: the whole state, of all processes, in one sealed file."""

from collections.abc import Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.config_json import to_json
from diptych.errors import WeightsError
from diptych.monitoring import meters
from diptych.pair import Pair
from diptych.run import Run, remove
from diptych.training import image_pool
from diptych.training.state import State

KIND = "checkpoint"
POOLS = Pair("pools.a", "pools.b")


class Share(NamedTuple):
    """What one process has of its own."""

    pools: Pair[list[Tensor]]
    window: meters.Numbers


def shares_of(state: State) -> list[Share]:
    """The share of every process, in the first; all must ask.

    Raises:
        NonFiniteError: a loss of one is NaN or infinite.
    """
    state.processes.together(state.window.resolve)
    pools = state.pools.map(lambda pool: [picture.cpu() for picture in pool.pictures])
    return state.processes.collect(Share(pools, state.window.numbers()))


def save_checkpoint(run: Run, state: State, shares: list[Share], *, best: bool = False) -> None:
    """Writes the state of now beside the run's other checkpoints, and removes those that are too many; or in place of
    the ``best`` one.

    Raises:
        NonFiniteError: a tensor of the state holds NaN or infinity; nothing is written.
        OSError: the disk is full or may not be written; the checkpoints there are as they were.
    """
    tensors = state.tensors()
    for rank, share in enumerate(shares):
        for prefix, pool in zip(POOLS, share.pools, strict=True):
            tensors |= {f"{prefix}.{rank}.{index}": picture for index, picture in enumerate(pool)}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise meters.NonFiniteError(name, state.pictures)
    numbers = state.numbers() | {"windows": [share.window for share in shares]}
    file = run.best_checkpoint_file if best else run.checkpoint_file(state.pictures)
    write_checksummed(file, KIND, tensors, {"config": to_json(state.config), "numbers": numbers})
    remove(run.checkpoint_files()[: -state.config.output.keep_checkpoints])


def restore(file: Path, state: State) -> list[Share]:
    """Puts ``state`` to the checkpoint in ``file``, but for the shares of the processes that wrote it: those are
    returned.

    Raises:
        WeightsError: it is damaged, or of networks that differ.
    """
    tensors, description = read_checksummed(file, KIND)
    try:
        numbers = description["numbers"]
        state.restore(tensors, numbers)
        windows = numbers["windows"] if "windows" in numbers else [numbers["window"]]  # before there were several
    except (KeyError, RuntimeError) as error:
        problem = str(error).splitlines()[0]
        raise WeightsError(f"{file} is of other networks ({problem})", cure="begin another run with --run") from None
    return [Share(POOLS.map(partial(_pool, tensors, rank=rank)), numbers) for rank, numbers in enumerate(windows)]


def _pool(tensors: Mapping[str, Tensor], prefix: str, *, rank: int) -> list[Tensor]:
    """The pictures of one pool of process ``rank`` among ``tensors``, in their order."""
    names = [f"{prefix}.{rank}.{{}}"] + [f"{prefix}.{{}}"] * (rank == 0)  # the second: before there were several
    return [tensors[found] for name in names for found in takewhile(tensors.__contains__, map(name.format, count()))]


def share_out(state: State, shares: list[Share]) -> None:
    """Puts the state of every process to that of the first, each with its own of the first's ``shares``, or with a new
    one dealt from them where they are of more or fewer processes."""
    processes = state.processes
    tensors, numbers = processes.spread(state.tensors()), processes.first(state.numbers)
    if not processes.is_main:
        state.restore(tensors, numbers)
    size = state.method.pool_size
    dealt = (
        image_pool.redealt([share.pools.a for share in shares], processes.number, size),
        image_pool.redealt([share.pools.b for share in shares], processes.number, size),
        meters.redealt([share.window for share in shares], processes.number),
    )
    pool_a, pool_b, numbers_of_window = processes.deal(list(zip(*dealt, strict=True)))
    for pool, pictures in zip(state.pools, (pool_a, pool_b), strict=True):
        pool.pictures = [picture.to(state.engine.device) for picture in pictures]
    state.window.restore(numbers_of_window)
