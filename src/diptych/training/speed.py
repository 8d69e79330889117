"""The speed of training: of a run's own updates, and of this machine before a run has chosen its networks."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    PatchganConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.data.encoding import to_network
from diptych.data.loader import Batch
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair
from diptych.training.state import State
from diptych.training.stepper import update

WARM_UP_UPDATES = 1
"""Updates that are not measured: they allocate memory and select kernels. At least one more update follows."""
REFERENCE_SECONDS = 3.0
"""Time for the measurement of ``flops_per_second``."""
FLOP_SIDE = 64
"""Operations are counted on an image of this side, or a larger one if a network needs it. They grow with its area."""


class Speed(NamedTuple):
    """A measured speed."""

    num_updates: int
    pictures_per_second: float
    """Images per domain, over all ranks."""


def measure_speed(state: State, batches: Iterator[Batch], *, seconds: float, max_updates: int | None = None) -> Speed:
    """Runs updates with learning rate 0 for ``seconds`` or ``max_updates``; returns their speed. A collective.

    The time that updates wait for ``batches`` counts.
    """
    start = time.perf_counter()
    ends: list[float] = []
    convert = partial(to_network, device=state.device.torch_device, memory_format=state.device.memory_format)
    for batch in batches:
        losses = update(state, *batch.map(convert), learning_rate=0.0)
        next(iter(losses.values())).item()  # waits for the device
        ends.append(time.perf_counter())
        num_timed = len(ends) - WARM_UP_UPDATES
        is_enough = ends[-1] - start > seconds or (max_updates is not None and num_timed >= max_updates)
        if all(state.world.any(state.world.is_main and num_timed > 0 and is_enough)):
            break
    return Speed(num_timed, num_timed / (ends[-1] - ends[WARM_UP_UPDATES - 1]) * state.batch_size)


def flops_per_second(engine: EngineConfig) -> float:
    """Operations per second of CycleGAN's updates with the resolved ``engine`` on this machine.

    Operations are those of ``flops_per_picture``. On a GPU the networks are those of the paper, because narrow ones do
    not fill it. Elsewhere they are narrow, as a CPU can train them; wide ones reach more operations per second.
    """
    width, side, batch_size = (64, 256, 1) if engine.device == "cuda" else (16, 64, 2)
    config = TrainConfig(
        method=CycleganConfig(lambda_identity=0.5),
        generator=ResnetConfig(width=width).resolved(side),
        discriminator=PatchganConfig(width=max(32, width)),
        data=DataConfig(crop_size=side, load_size=side, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=batch_size, learning_rate=2e-4, ema=0.999),
        engine=replace(engine, compile=False),
    )
    images = torch.randint(0, 256, (batch_size, 3, side, side)).float()
    noise = repeat(Batch(Pair(images, images)))
    speed = measure_speed(State(config), noise, seconds=REFERENCE_SECONDS)
    return speed.pictures_per_second * flops_per_picture(config)


def flops_per_picture(config: TrainConfig) -> float:
    """Operations of an update per image of each domain, estimated.

    In each direction, CycleGAN needs about nine times the forward pass of a generator, and eight times that of a
    discriminator. The other methods need less. Known pairs add three forward passes of a generator.
    """
    counted = max(FLOP_SIDE, config.generator.stride, config.discriminator.smallest_side)
    try:
        with FakeTensorMode():  # computes shapes, not values
            generator, discriminator = _forward_flops(config, counted)
    except Exception:  # a network of another package may need values
        generator, discriminator = _forward_flops(config, counted)
    side = config.data.crop_size or config.data.load_size or counted
    passes = 9 if config.content.pairs is None else 12
    return len(config.method.directions) * (side / counted) ** 2 * (passes * generator + 8 * discriminator)


def _forward_flops(config: TrainConfig, side: int) -> tuple[int, int]:
    """Operations of a forward pass of a generator and of a discriminator, for one image of ``side``."""
    image, found = torch.zeros(1, 3, side, side), []
    for network in (build_generator(config.generator, 3, 3), build_discriminator(config.discriminator, 3)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(image)
        found.append(int(counter.get_total_flops()))
    return found[0], found[1]
