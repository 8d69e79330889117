"""The processes that train one run together, and what they tell each other. Usually there is one."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class Processes:
    """One process alone: everything here is what it would be without it, and nothing of torch.distributed is touched.

    The first of several decides, reads checkpoints, writes and speaks; each trains on its own part of every batch.
    All must call the same methods in the same order, save ``is_main``; else they wait for each other in vain.
    """

    rank, number = 0, 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def settle_on(self, device: torch.device) -> None:
        """Takes this process's own of the devices of that kind."""

    def prepare(self, module: nn.Module) -> None:
        """Makes batch norm inside ``module`` one over all processes' pictures."""

    def averaging(self, module: nn.Module) -> Callable[[], None]:
        """What to call before a backward pass that completes the gradient of ``module``: at the end of that pass, it is
        the mean of all processes' gradients."""
        del module
        return lambda: None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each of the ``flags``, whether it is set in any process."""
        return flags

    def together(self, act: Callable[[], T]) -> list[T]:
        """What ``act`` gives each process, in all of them. An error in one ends all, and the first raises it."""
        return [act()]

    def first(self, act: Callable[[], T]) -> T:
        """What ``act``, called only in the first process, gives there, in all of them; its error likewise."""
        return act()

    def collect(self, value: T) -> list[T]:
        """The ``value`` of each process, in the first; in others nothing."""
        return [value]

    def deal(self, values: list[T]) -> T:
        """Of the first process's ``values``, that of this one's rank."""
        return values[0]

    def spread(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The ``tensors`` of the first process, in all of them."""
        return tensors

    def watched(self) -> AbstractContextManager[None]:
        """While entered, the end of another process, however sudden, ends this one with its message."""
        return nullcontext()


ALONE = Processes()
