"""Checkpoints: the whole training state, of all ranks, in one checksummed file."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.config_json import flatten, to_json
from diptych.errors import WeightsError
from diptych.monitoring.meters import NonFiniteError, Totals, redistribute
from diptych.pair import Pair
from diptych.run import Run, remove
from diptych.training import image_pool
from diptych.training.plan.resume import describe_changes
from diptych.training.state import State

KIND = "checkpoint"
ARCHITECTURE = ("generator.", "discriminator.", "method.", "data.channels")
"""Options that may change the shapes of weights."""
POOLS = Pair("pools.a", "pools.b")


class RankState(NamedTuple):
    """The part of the state that differs between ranks."""

    pools: Pair[list[Tensor]]
    meters: Totals


def gather_rank_states(state: State) -> list[RankState]:
    """The rank state of every rank, on the main rank. A collective.

    Raises:
        NonFiniteError: a loss on one of them is NaN or infinite.
    """
    state.world.all_gather(state.meters.synchronize)
    pools = state.pools.map(lambda pool: [image.cpu() for image in pool.images])
    return state.world.gather(RankState(pools, state.meters.totals()))


def save_checkpoint(run: Run, state: State, rank_states: list[RankState], *, best: bool = False) -> None:
    """Writes a checkpoint and removes the oldest ones. With ``best``, replaces the best checkpoint instead.

    Raises:
        NonFiniteError: a tensor of the state holds NaN or infinity; nothing is written.
        OSError: the disk is full or read-only; existing checkpoints are unchanged.
    """
    tensors = state.tensors()
    for rank, rank_state in enumerate(rank_states):
        for prefix, pool in zip(POOLS, rank_state.pools, strict=True):
            tensors |= {f"{prefix}.{rank}.{index}": image for index, image in enumerate(pool)}
    for name, tensor in tensors.items():
        if not (finite := tensor.isfinite()).all():
            raise NonFiniteError(name, state.pictures, tensor[~finite][0].item())
    numbers = state.numbers() | {"meters": [rank_state.meters for rank_state in rank_states]}
    file = run.best_checkpoint_file if best else run.checkpoint_file(state.pictures)
    write_checksummed(file, KIND, tensors, {"config": to_json(state.config), "numbers": numbers})
    remove(run.checkpoint_files()[: -state.config.output.keep_checkpoints])


def restore(file: Path, state: State, report: Callable[[str], None] = lambda _: None) -> list[RankState]:
    """Restores ``state`` from the checkpoint ``file`` and returns the rank states.

    The run of ``state`` may be a fork. ``report`` gets one line for each part of the state that is reset or dropped,
    because it does not fit the options.

    Raises:
        WeightsError: the file is damaged, or does not fit the networks.
    """
    tensors, description = read_checksummed(file, KIND)
    before, now = flatten(description["config"]), flatten(state.config)
    try:
        numbers = description["numbers"]
        state.restore(tensors, numbers)
        totals = numbers["meters"]
    except (KeyError, RuntimeError, ValueError) as error:
        changed = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
        keys = [key for key in changed if key.startswith(ARCHITECTURE)]
        problem = describe_changes(keys, before, now) or str(error).splitlines()[0]
        cure = "leave these options out, or start another run with --run"
        raise WeightsError(f"{file} was saved with other networks ({problem})", cure=cure) from None
    pools = [POOLS.map(partial(_pool, tensors, rank=rank)) for rank in range(len(totals))]
    if _picture_size(before) != _picture_size(now) and any(map(any, pools)):
        report("image pools: emptied, since their pictures have another size")
        pools = [Pair([], []) for _ in pools]
    for line in _adapted(before, now):
        report(line)
    return list(map(RankState, pools, totals))


def _picture_size(options: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the size of training pictures depends on, besides the pictures."""
    crop_size = options["data.crop_size"]
    return (crop_size,) if crop_size else (crop_size, options["data.resize"], options["data.load_size"])


def _adapted(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """One line for each part of a state saved with ``before`` that a fork with the options ``now`` drops, resets or
    adds, except pools of images of another size."""
    had_ema, has_ema = before["optimiser.ema"] > 0, now["optimiser.ema"] > 0
    if has_ema and not had_ema:
        yield "moving average: there was none, so it starts from the weights"
    if had_ema and not has_ema:
        yield "moving average: dropped; from here on, the weights themselves translate"
    if (before["engine.precision"] == "fp16") != (now["engine.precision"] == "fp16"):
        yield "gradient scaler: reset, since the precision is different"
    if before.get("method.pool_size", 0) > (size := now.get("method.pool_size", 0)):
        yield f"image pools: {size} pictures of each domain at most"


def _pool(tensors: Mapping[str, Tensor], prefix: str, *, rank: int) -> list[Tensor]:
    """The images of one pool of ``rank``, in their order."""
    names = (f"{prefix}.{rank}.{index}" for index in count())
    return [tensors[name] for name in takewhile(tensors.__contains__, names)]


def scatter_state(state: State, rank_states: list[RankState]) -> None:
    """Sends the main rank's state to every rank, and one of the ``rank_states`` to each. A collective.

    If the number of ranks has changed, pool images and running means are redistributed.
    """
    world = state.world
    tensors, numbers = world.broadcast(state.tensors()), world.on_main(state.numbers)
    if not world.is_main:
        state.restore(tensors, numbers)
    size = state.method.pool_size
    redistributed = (
        image_pool.redistribute([each.pools.a for each in rank_states], world.size, size),
        image_pool.redistribute([each.pools.b for each in rank_states], world.size, size),
        redistribute([each.meters for each in rank_states], world.size),
    )
    pool_a, pool_b, totals = world.scatter(list(zip(*redistributed, strict=True)))
    for pool, images in zip(state.pools, (pool_a, pool_b), strict=True):
        pool.images = [image.to(state.device.torch_device) for image in images]
    state.meters.restore(totals)
