"""Training states with small networks, and batches of noise."""

from functools import partial

import torch

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    PatchganConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.device import resolve_engine
from diptych.pair import Pair
from diptych.training.plan.directions import with_directions_resolved
from diptych.training.state import State
from diptych.training.stepper import update

PLAIN = {
    "device": "cpu",
    "precision": "fp32",
    "channels_last": False,
    "batch_forwards": False,
    "fused": False,
    "parallel_directions": False,
}


def state_of(engine, *, method=None, generator=None, width=8, batch_size=1, ema=0.0, discriminator=None):
    config = TrainConfig(
        method=method or CycleganConfig(lambda_identity=0.5),
        generator=generator or ResnetConfig(width=width, num_blocks=2),
        discriminator=discriminator or PatchganConfig(width=width),
        data=DataConfig(crop_size=64, load_size=64, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=batch_size, learning_rate=2e-4, ema=ema),
        engine=resolve_engine(EngineConfig(**(PLAIN | engine))),
    )
    return State(with_directions_resolved(config, world_size=1, report=lambda _: None))


def noise(batch_size=1, size=64, seed=0, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    return Pair(*(torch.rand(batch_size, 3, size, size, generator=draw, dtype=dtype) * 2 - 1 for _ in range(2)))


def gradients(state, real):
    """The gradients of one update with learning rate 0."""
    found = {}

    def keep(name, module, *_):
        found.update({f"{name}.{key}": p.grad.clone() for key, p in module.named_parameters()})

    for name, module in state.modules.items():
        state.optimisers[name].register_step_pre_hook(partial(keep, name, module))
    update(state, real, learning_rate=0.0)
    assert {name.partition(".")[0] for name in found} == set(state.modules)
    return found
