"""What the training loop asks of a method, and nothing more."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from diptych.config import Direction
from diptych.pair import Pair

Losses = Mapping[str, Tensor]
"""Weighted terms by name, scalars; what is descended is their sum."""

Exchange = Callable[[Pair[Tensor]], Pair[Tensor]]
"""Gives the pictures of each domain to its image pool and takes as many back."""

Each = Callable[..., Pair[Any]]
"""``Pair.map``, or what gives the same with both domains at once. A module that computes two halves of which neither
needs the other keeps it as ``each``, which the engine may set."""


class Method(Protocol):
    """Where networks and losses meet: two trainable modules, and the order of one update.

    Each module is entered once per update, so that distributed wrappers and compilers can wrap it whole.
    """

    generators: nn.Module
    discriminators: nn.Module
    pool_size: int
    """Translated pictures kept per domain for the discriminators."""

    def networks(self, generators: nn.Module) -> dict[Direction, nn.Module]:
        """The network of each direction that ``generators`` (the method's own, or a copy of them) holds."""
        ...

    def judges(self) -> dict[str, nn.Module]:
        """The discriminators that judge pictures of one domain by themselves, by ``a`` and ``b``; perhaps none."""
        ...

    def update(
        self, generators: nn.Module, discriminators: nn.Module, real: Pair[Tensor], exchange: Exchange
    ) -> Iterator[tuple[nn.Module, Losses]]:
        """One update: yields each module with its losses, and expects that module to have descended when asked again.

        ``generators`` and ``discriminators`` are the method's own modules, perhaps wrapped. ``real`` holds
        ``(B, C, H, W)`` in [-1, 1] for each domain.
        """
        ...


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """While this lasts, gradients flow through ``module`` and none is computed for its parameters."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def apply(network: nn.Module, picture: Tensor) -> Any:
    """``network(picture)``, as a function to map over a pair."""
    return network(picture)
