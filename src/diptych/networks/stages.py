"""A generator's forward pass in steps, so that it can stop early, return features, or run over tiles of a huge image.

A stage maps a tuple of tensors to a tuple of tensors. The last tensor is the current one; the others wait for the
end of their skip connections.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Stage = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Layer:
    """Applies ``module`` to the last tensor."""

    module: nn.Module

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *tensors[:-1], self.module(tensors[-1])


@dataclass(frozen=True)
class Keep:
    """Starts a skip connection: repeats the last tensor."""

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *tensors, tensors[-1]


@dataclass(frozen=True)
class Add:
    """Ends a skip connection: adds the last two tensors."""

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *tensors[:-2], tensors[-2] + tensors[-1]


@dataclass(frozen=True)
class AddChange(Add):
    """Ends a skip connection around a whole generator: image + change, clipped to [-1, 1].

    The change is in [-1, 1] and counts twice: two values of images differ by at most 2. At the start of training it is
    small, so the generator starts close to the identity.
    """

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *tensors[:-2], (tensors[-2] + 2 * tensors[-1]).clamp(-1, 1)


@dataclass(frozen=True)
class Concatenate:
    """Ends a skip connection: concatenates the channels of the last two tensors."""

    def __call__(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *tensors[:-2], torch.cat(tensors[-2:], dim=1)


class Staged(nn.Module, ABC):
    """Base class of generators and of their blocks: a module whose forward pass is a list of stages."""

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The steps of the forward pass. Run in order on ``(x,)`` they give ``(forward(x),)``, to the bit.

        Every norm is a stage of its own. Under autocast, ``forward`` also casts the result back to the dtype of ``x``.
        """

    def features(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The tensors computed by the stages numbered ``layers`` (from 0), in that order.

        Nothing after the last of these stages is computed.

        Raises:
            IndexError: no stage has that number.
        """
        stages = self.stages()
        if bad := [number for number in layers if not 0 <= number < len(stages)]:
            raise IndexError(f"no stage {bad[0]}: there are stages 0 to {len(stages) - 1}")
        tensors: tuple[Tensor, ...] = (x,)
        found: dict[int, Tensor] = {}
        for number, stage in enumerate(stages[: max(layers, default=-1) + 1]):
            tensors = stage(tensors)
            if number in layers:
                found[number] = tensors[-1]
        return [found[number] for number in layers]


class StagedGenerator(Staged):
    """Base class of generators whose features a loss compares."""

    @abstractmethod
    def feature_layers(self) -> list[int]:
        """The numbers of the stages whose features describe the content of the input, from fine to coarse."""


def stages_of(module: nn.Module) -> list[Stage]:
    """The stages of ``module``: its own, those of an ``nn.Sequential``'s members, or ``module`` as one layer."""
    if isinstance(module, nn.Sequential):
        return [stage for member in module for stage in stages_of(member)]
    return module.stages() if isinstance(module, Staged) else [Layer(module)]
