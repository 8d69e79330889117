"""The training state: everything that changes while a run trains, and that a checkpoint holds."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from diptych.config import TrainConfig
from diptych.config.constraints import resolved
from diptych.device import Device
from diptych.methods import Execution, Method, build_method
from diptych.monitoring.meters import Meters
from diptych.networks import initialise
from diptych.pair import Direction, Pair
from diptych.rng import Stream, torch_seed
from diptych.training.distributed import SINGLE_RANK, World
from diptych.training.ema import Ema
from diptych.training.image_pool import ImagePool

SHAPE_SIDE = 256
"""Height and width of the batch that materialises layers if training uses whole pictures."""


class State:
    """Modules, their moving averages, optimisers, image pools and counters, initialised from the seed.

    The state is the same on every rank, except for image pools and meters: each rank has its own.
    """

    def __init__(self, config: TrainConfig, world: World = SINGLE_RANK) -> None:
        self.config, self.world, self.device = config, world, Device(config.engine)
        world.set_device(self.device.torch_device)
        torch.manual_seed(torch_seed(config.optimiser.seed, Stream.WEIGHTS, 0))
        self.channels = channels_of(config)
        self.method = build_from(config)
        self.modules = self.method.modules()
        for module in self.modules.values():
            self.device.to(module.train())
        options, fused = config.optimiser, config.engine.fused or None
        averaged = self.method.averaged if options.ema else ()
        self.ema = {name: Ema(self.modules[name], resolved(options.ema)) for name in averaged}
        for module in self.modules.values():  # after the EMA copies: a process group cannot be copied
            world.convert_batch_norm(module)
        rate = resolved(options.learning_rate)
        self.optimisers: dict[str, Optimizer] = {
            name: Adam(module.parameters(), rate, (options.beta1, options.beta2), fused=fused)
            for name, module in self.modules.items()
        }
        self.scaler = torch.amp.GradScaler(config.engine.device, enabled=config.engine.precision == "fp16")
        self.execution = Execution.of(self.device)
        if config.engine.compile:
            for module in self.modules.values():
                for network in module.children():
                    network.compile(mode="reduce-overhead" if config.engine.cuda_graphs else None)
        self.all_reduce = {name: world.all_reduce_hook(module) for name, module in self.modules.items()}
        """By module. Call a hook before the last backward pass of a step: that pass averages gradients over ranks."""
        streams = Pair(Stream.POOL_A, Stream.POOL_B)
        self.pools = streams.map(partial(ImagePool, self.method.pool_size, options.seed))
        self.pictures = 0
        """Images per domain seen so far."""
        self.meters = Meters()

    def inference_generators(self) -> dict[Direction, nn.Module]:
        """The generators that translate: the moving averages where there are any."""
        averages = {name: ema.module for name, ema in self.ema.items()}
        return self.method.generators_by_direction(self.modules | averages)

    @property
    def batch_size(self) -> int:
        """The global batch size: images per domain and update, over all ranks."""
        return resolved(self.config.optimiser.batch_size) * self.world.size

    @property
    def num_updates(self) -> int:
        """Number of updates so far at the current global batch size."""
        return self.pictures // self.batch_size

    @property
    def next_picture(self) -> int:
        """Global index of the first image of this rank's next batch."""
        return self.pictures + self.world.rank * resolved(self.config.optimiser.batch_size)

    def query_pools(self, fake: Pair[Tensor], *, count: int) -> Pair[Tensor]:
        """Passes ``fake`` through the image pools. ``count`` is the global index of its first image."""
        return self.pools.map(lambda pool, batch: pool.query(batch, count), fake)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that is the same on all ranks, by name."""
        averages = {f"ema.{name}": ema.module for name, ema in self.ema.items()}
        tensors = dict(_named(self.modules | averages))
        for name, optimiser in self.optimisers.items():
            for parameter_name, parameter in self.modules[name].named_parameters():
                entry = optimiser.state.get(parameter, {})
                tensors |= {f"optimisers.{name}.{parameter_name}.{key}": value for key, value in entry.items()}
        return tensors

    def numbers(self) -> dict[str, Any]:
        """The rest of the state, as JSON."""
        return {"pictures": self.pictures, "scaler": self.scaler.state_dict()}

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Loads the state that ``tensors()`` and ``numbers()`` returned. A moving average that they
        lack starts from the weights; a gradient scaler that they lack is reset.

        Raises:
            KeyError, ValueError: they belong to other networks.
        """
        weights = dict(_named(self.modules))
        saved = {name for name in tensors if not name.startswith(("ema.", "optimisers.", "pools."))}
        for name in sorted(saved ^ weights.keys()) or sorted(weights):
            if tensors[name].shape != weights[name].shape:  # copy_ would broadcast
                raise ValueError(f"{name} has shape {list(tensors[name].shape)}, not {list(weights[name].shape)}")
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(tensors[name])
            for name, average in _named({key: ema.module for key, ema in self.ema.items()}):
                average.copy_(tensors.get(f"ema.{name}", weights[name]))
        for name in self.optimisers:
            self._restore_optimiser(name, tensors)
        if numbers["scaler"]:
            self.scaler.load_state_dict(numbers["scaler"])
        self.pictures = numbers["pictures"]

    def _restore_optimiser(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Loads one optimiser. torch's ``load_state_dict`` puts Adam's ``step`` on the device that a fused optimiser
        needs; moments get the memory layout of their parameter, as a fused optimiser requires."""
        optimiser, entries = self.optimisers[name], {}
        for index, (parameter_name, parameter) in enumerate(self.modules[name].named_parameters()):
            prefix = f"optimisers.{name}.{parameter_name}."
            found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if found:
                entries[index] = {
                    key: value if key == "step" else torch.empty_like(parameter).copy_(value)
                    for key, value in found.items()
                }
        optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})


def _named(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            yield f"{name}.{key}", value


def channels_of(config: TrainConfig) -> Pair[int]:
    """The channels of the domains of a resolved ``config``."""
    return Pair(config.data.channels_a, config.data.channels_b).map(resolved)


def build_from(config: TrainConfig) -> Method:
    """The method of a resolved ``config``, with initial weights."""
    data, channels = config.data, channels_of(config)
    method = build_method(config.method, config.generator, config.discriminator, channels)
    side = data.crop_size or SHAPE_SIDE
    method.materialise(channels.map(lambda number: torch.zeros(1, number, side, side)))
    for module in method.modules().values():
        initialise(module, config.optimiser.initialisation)
    return method
