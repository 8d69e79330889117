"""One variant of the training update in its own process, so that each variant has its own peak memory.

For each line of its standard input, it takes an update and prints the seconds and the peak memory so far.
"""

import itertools
import json
import math
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
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
from diptych.device import resolve_engine
from diptych.malloc import keep_freed_memory
from diptych.networks.convolutions import ColumnsConv2d, ReflectionPad2d
from diptych.networks.norms import InstanceNorm2d
from diptych.pair import Pair
from diptych.training.plan.directions import with_directions_resolved
from diptych.training.speed import measure_speed
from diptych.training.state import State
from diptych.training.stepper import update

PLAIN = {
    "precision": "fp32",
    "channels_last": False,
    "batch_forwards": False,
    "fused": False,
    "parallel_directions": False,
}
"""The engine of the baseline: float32, contiguous, separate forward passes, eager, unfused Adam."""
ORIGINALS = {ColumnsConv2d: nn.Conv2d, InstanceNorm2d: nn.InstanceNorm2d, ReflectionPad2d: nn.ReflectionPad2d}
"""The layer of the baseline for each of our CPU layers."""


@dataclass(frozen=True)
class Variant:
    """How an update is computed, and its size."""

    size: int
    width: int
    num_blocks: int
    batch_size: int = 1
    engine: dict[str, Any] = field(default_factory=dict)
    own_layers: bool = True
    """Use our CPU layers (networks/convolutions.py and norms.py) instead of torch's."""
    keep_memory: bool = True


class Worker:
    """A process that takes one update of ``variant`` per call."""

    def __init__(self, variant: Variant) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.peak = 0
        self._say(asdict(variant))

    def _say(self, message: Any) -> None:
        assert self.process.stdin is not None
        print(json.dumps(message), file=self.process.stdin, flush=True)

    def __call__(self) -> float:
        """Takes one update and returns its seconds."""
        assert self.process.stdout is not None
        self._say(None)
        seconds, self.peak = json.loads(self.process.stdout.readline())
        return float(seconds)

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def begin(variant: Variant) -> State:
    """A new state for ``variant``."""
    config = TrainConfig(
        method=CycleganConfig(lambda_identity=0.5),
        generator=ResnetConfig(width=variant.width, num_blocks=variant.num_blocks),
        discriminator=PatchganConfig(width=variant.width),
        data=DataConfig(crop_size=variant.size, load_size=variant.size, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=variant.batch_size, learning_rate=2e-4, ema=0.999),
        engine=resolve_engine(EngineConfig(**variant.engine)),
    )
    config = with_directions_resolved(config, world_size=1, report=print)
    if variant.keep_memory:
        keep_freed_memory()
    state = State(config)
    if not variant.own_layers:
        for module in state.modules.values():
            with_torch_layers(module)
    return state


def noise(variant: Variant) -> Pair[Tensor]:
    """A batch of noise, in the form of the loader's batches."""
    shape = (variant.batch_size, 3, variant.size, variant.size)
    return Pair(*(torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2)))


def with_torch_layers(module: nn.Module) -> None:
    """Replaces our layers inside ``module`` by torch's."""
    for layer in module.modules():
        layer.__class__ = ORIGINALS.get(type(layer), type(layer))


def measure(variants: dict[str, Variant], *, rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds per update of each variant in each of ``rounds``, interleaved, and its peak memory in bytes.

    One round before them is not measured.
    """
    workers = {name: Worker(variant) for name, variant in variants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(1 + rounds):
        for name, worker in workers.items():
            taken = worker()
            if number:
                seconds[name].append(taken)
    for worker in workers.values():
        worker.close()
    return seconds, {name: worker.peak for name, worker in workers.items()}


def flop(variant: Variant) -> int:
    """Floating-point operations of one update of the baseline, counted by torch's FlopCounter."""
    state = begin(replace(variant, engine=PLAIN, own_layers=False))
    with FlopCounterMode(display=False) as counter:
        update(state, noise(variant).map(partial(to_network, device=state.device.torch_device)), learning_rate=0.0)
    return int(counter.get_total_flops())


def serve() -> None:
    """Takes an update for each line of the standard input."""
    variant = Variant(**json.loads(sys.stdin.readline()))
    state, batches = begin(variant), itertools.repeat(Batch(noise(variant)))
    for _ in sys.stdin:
        speed = measure_speed(state, batches, seconds=math.inf, max_updates=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps([variant.batch_size / speed.pictures_per_second, peak]), flush=True)


if __name__ == "__main__":
    serve()
