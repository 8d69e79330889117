"""Execution: how a method runs its networks. All choices are mathematically equivalent."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import checkpoint

from diptych.config import EngineConfig
from diptych.device import Device
from diptych.networks.norms import running_statistics_kept
from diptych.networks.stages import Staged
from diptych.pair import Pair
from diptych.parallel import ParallelDirections, halved_threads

T = TypeVar("T")


@dataclass(frozen=True)
class Execution:
    """How a method runs its networks. By default one network after the other, and each batch by itself."""

    batch_forwards: bool = False
    """Concatenate batches that go through the same network into one forward pass (never with batch norm)."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    parallel: ParallelDirections | None = None
    """Compute the two directions at the same time."""

    @classmethod
    def of(cls, device: Device) -> "Execution":
        """The execution that the resolved ``device.config`` asks for. See ``supports_parallel``."""
        config = device.config
        parallel = None
        if config.parallel_directions:
            parallel = ParallelDirections(partial(device.autocast, cache_weights=False))
        batch_forwards = config.batch_forwards and not config.activation_checkpointing
        return cls(batch_forwards, config.activation_checkpointing, parallel)

    def threads(self) -> AbstractContextManager[None]:
        """Context manager: as many threads as a direction has, for work of one direction at a time."""
        return halved_threads() if self.parallel else nullcontext()

    def map(self, pair: Pair[Any], function: Callable[..., T], *others: Pair[Any]) -> Pair[T]:
        """``pair.map(function, *others)``. Neither member may need the result of the other."""
        return self.parallel.map(pair, function, *others) if self.parallel else pair.map(function, *others)

    def forward(self, network: nn.Module, *batches: Tensor) -> tuple[Tensor, ...]:
        """The outputs of ``network`` for ``batches``, each (B, C, H, W)."""
        return tuple(outputs for (outputs,) in self._batched(lambda batch: [network(batch)], network, batches))

    def features(self, network: Staged, layers: Sequence[int], *batches: Tensor) -> list[list[Tensor]]:
        """``network.features(batch, layers)`` for each of ``batches``, each (B, C, H, W)."""
        return self._batched(partial(network.features, layers=layers), network, batches)

    def _batched(
        self, function: Callable[[Tensor], list[Tensor]], network: nn.Module, batches: Sequence[Tensor]
    ) -> list[list[Tensor]]:
        """``function(batch)`` for each of ``batches``, in one pass where that is asked for and changes nothing."""
        alike = len({batch.shape[1:] for batch in batches}) == 1
        if len(batches) < 2 or not self.batch_forwards or not alike or mixes_batch(network):
            return [self._run(function, network, batch) for batch in batches]
        outputs = self._run(function, network, torch.cat(tuple(batches)))
        ends = accumulate(map(len, batches), initial=0)
        return [[output[start:end] for output in outputs] for start, end in pairwise(ends)]

    def _run(self, function: Callable[[Tensor], T], network: nn.Module, batch: Tensor) -> T:
        if not self.activation_checkpointing:
            return function(batch)
        contexts = partial(running_statistics_kept, network)
        return checkpoint(function, batch, use_reentrant=False, context_fn=contexts)  # type: ignore[no-any-return]


def mixes_batch(network: nn.Module) -> bool:
    """Whether the output for an image depends on the other images of its batch."""
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


def supports_parallel(config: EngineConfig, modules: Collection[nn.Module]) -> bool:
    """Whether ``modules`` of a method with two directions give the same results if both are computed in parallel."""
    is_eager = config.device == "cpu" and not config.compile and not config.activation_checkpointing
    return is_eager and config.batch_forwards and not any(_depends_on_order(module) for module in modules)


def _depends_on_order(module: nn.Module) -> bool:
    """Whether results depend on the order of the directions, through running statistics or dropout."""
    return any(isinstance(layer, _BatchNorm | _DropoutNd) for layer in module.modules())
