"""All that changes while a run trains: what a checkpoint holds."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from diptych.config import TrainConfig
from diptych.device import Engine
from diptych.methods import Method, build_method
from diptych.monitoring.meters import Window
from diptych.pair import Pair
from diptych.rng import Stream, torch_seed
from diptych.training.ema import Ema
from diptych.training.image_pool import ImagePool
from diptych.training.processes import ALONE, Processes


class State:
    """Networks, their running mean, optimisers, image pools and counters, begun afresh from the seed.

    Of several ``processes``, each has all of it, and the same, but for the pools and the window: those are its own.
    """

    def __init__(self, config: TrainConfig, engine: Engine, processes: Processes = ALONE) -> None:
        self.config, self.engine, self.processes = config, engine, processes
        processes.settle_on(engine.device)
        torch.manual_seed(torch_seed(config.optimiser.seed, Stream.WEIGHTS, 0))
        self.method = build_from(config)
        self.modules = {"generators": self.method.generators, "discriminators": self.method.discriminators}
        for module in self.modules.values():
            engine.place(module.train())
            processes.prepare(module)
        self.ema = Ema(self.method.generators, config.optimiser.ema) if config.optimiser.ema else None
        self.optimisers = {
            name: engine.optimiser(module.parameters(), config.optimiser) for name, module in self.modules.items()
        }
        engine.prepare(self.modules.values(), alone=processes.number == 1)
        self.average = {name: processes.averaging(module) for name, module in self.modules.items()}
        """To call before the backward pass that completes a module's gradient."""
        streams = Pair(Stream.POOL_A, Stream.POOL_B)
        self.pools = streams.map(partial(ImagePool, self.method.pool_size, config.optimiser.seed))
        self.pictures = 0
        """Pictures per domain seen so far."""
        self.window = Window()

    @property
    def translators(self) -> nn.Module:
        """The generators that translate: their running mean where there is one."""
        return self.ema.module if self.ema else self.method.generators

    @property
    def batch_size(self) -> int:
        """Pictures per domain in an update, of all processes."""
        return self.config.optimiser.batch_size * self.processes.number

    @property
    def num_updates(self) -> int:
        """Updates made so far, had they all been of this size."""
        return self.pictures // self.batch_size

    @property
    def next_picture(self) -> int:
        """Which number the first picture of this process's next batch is drawn as."""
        return self.pictures + self.processes.rank * self.config.optimiser.batch_size

    def exchange(self, fake: Pair[Tensor], *, count: int) -> Pair[Tensor]:
        """What the image pools return for the translations of the pictures drawn from number ``count`` on."""
        return self.pools.map(lambda pool, batch: pool.exchange(batch, count), fake)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name of what all processes have alike."""
        tensors = dict(self._named_weights())
        for name, optimiser in self.optimisers.items():
            for (parameter_name, _), entry in zip(
                self.modules[name].named_parameters(), self._moments(optimiser), strict=True
            ):
                tensors |= {f"optimisers.{name}.{parameter_name}.{key}": value for key, value in entry.items()}
        return tensors

    def numbers(self) -> dict[str, Any]:
        """The rest of it, as JSON."""
        return {"pictures": self.pictures, "scaler": self.engine.scaler.state_dict()}

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Takes the state that ``tensors`` and ``numbers`` gave.

        Raises:
            KeyError, RuntimeError: they are of another configuration.
        """
        with torch.no_grad():
            for name, weight in self._named_weights():
                weight.copy_(tensors[name])
        for name, optimiser in self.optimisers.items():
            self._restore_moments(name, optimiser, tensors)
        self.engine.scaler.load_state_dict(numbers["scaler"])
        self.pictures = numbers["pictures"]

    def _named_weights(self) -> Iterator[tuple[str, Tensor]]:
        modules = self.modules | ({"ema": self.ema.module} if self.ema else {})
        for name, module in modules.items():
            for key, value in module.state_dict().items():
                yield f"{name}.{key}", value

    @staticmethod
    def _moments(optimiser: Optimizer) -> list[dict[str, Tensor]]:
        """The optimiser's tensors for each of its parameters; empty before its first step."""
        return [optimiser.state[parameter] for group in optimiser.param_groups for parameter in group["params"]]

    def _restore_moments(self, name: str, optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
        for parameter_name, parameter in self.modules[name].named_parameters():
            prefix = f"optimisers.{name}.{parameter_name}."
            found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            optimiser.state[parameter] = {
                key: value if key == "step" else torch.empty_like(parameter).copy_(value)
                for key, value in found.items()
            }


def build_from(config: TrainConfig) -> Method:
    """The method of a resolved ``config``, with initial weights."""
    assert config.data.channels_a is not None
    assert config.data.channels_b is not None
    channels = Pair(config.data.channels_a, config.data.channels_b)
    return build_method(
        config.method, config.generator, config.discriminator, channels, config.optimiser.initialisation
    )
