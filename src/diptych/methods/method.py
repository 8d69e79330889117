"""The interface between the training loop and a method."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import ClassVar, NamedTuple, cast

from torch import Tensor, nn

from diptych.methods.execution import Execution
from diptych.pair import Direction, DomainName, Pair

LossGroups = Mapping[str, Mapping[str, Tensor]]
"""Weighted loss terms by group and name, each a scalar. An optimiser step minimises the sum of all.

Terms of different groups share no autograd graph, only parameters: groups can be differentiated in parallel.
"""

Translated = Mapping[Direction, tuple[Tensor, Tensor]]
"""A batch and its translation by direction, both ``(B, C, H, W)`` in [-1, 1]."""


class Step(NamedTuple):
    """What an optimiser step minimises."""

    modules: str | tuple[str, ...]
    """The name of a module, or the names of several that minimise the same sum."""
    losses: LossGroups
    translations: Translated = MappingProxyType({})
    """What generators have made of the real batches, for losses that all methods share (``methods/content.py``)."""


def module_names(names: str | tuple[str, ...]) -> tuple[str, ...]:
    """``Step.modules`` as a tuple: the names of the modules that take an optimiser step."""
    return (names,) if isinstance(names, str) else names


PoolQuery = Callable[[Pair[Tensor]], Pair[Tensor]]
"""Passes the fake images of each domain through its image pool; returns batches of the same shape."""


class Method(ABC):
    """Trainable modules, and the order of one update."""

    averaged: ClassVar[tuple[str, ...]] = ("generators",)
    """Names of the modules that have an exponential moving average."""
    pool_size: int = 0
    """Size of each domain's image pool."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """The trainable modules by name, each with an optimiser of its own.

        ``generators`` holds a network for each learned direction, under the direction's name. ``discriminators``, if
        there are any, holds those that score images of one domain under the names ``a`` and ``b``.
        """

    def materialise(self, real: Pair[Tensor]) -> None:
        """Creates layers whose size depends on data. ``real`` is a batch of zeros of the training size.

        Called once, before weights are initialised and optimisers are built.
        """

    @abstractmethod
    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[Step]:
        """One update, as a generator function. Yields losses with the modules to step; resumes after their step.

        ``real`` holds a batch (B, C, H, W) in [-1, 1] for each domain. All networks run through ``execution``.
        """

    def generators_by_direction(self, modules: Mapping[str, nn.Module] | None = None) -> dict[Direction, nn.Module]:
        """The generator of each direction in ``modules``: the method's own, or copies of them."""
        children = (modules or self.modules())["generators"].named_children()
        return {cast(Direction, name): network for name, network in children}

    def discriminators_by_domain(self) -> dict[DomainName, nn.Module]:
        """The discriminators that score images of one domain; may be empty."""
        discriminators = self.modules().get("discriminators", nn.Module())
        return {cast(DomainName, name): net for name, net in discriminators.named_children() if name in ("a", "b")}


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Context manager: gradients flow through ``module``, but its parameters get none."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
