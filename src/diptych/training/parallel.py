"""Inter-op parallelism on a CPU: work that does not depend on each other is computed at once, each in a thread.

One operation spread over all cores makes them wait for each other at its end, some thousand times an update, and a core
that another program holds up then holds up all. Two directions at once wait for each other a few times an update.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import Node

from diptych.pair import Pair

T = TypeVar("T")


class ParallelDirections:
    """Two threads, in each of which ``context`` is entered for what it computes."""

    NUMBER = 2

    def __init__(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        self.context = context
        self.pool = ThreadPoolExecutor(self.NUMBER, "inter-op")

    @contextmanager
    def halved(self) -> Iterator[None]:
        """While entered, all threads that compute have half of the cores each, this one too: the operations between are
        small, and each that were spread over all cores would wait for one that is taken."""
        cores = torch.get_num_threads()
        torch.set_num_threads(max(1, cores // self.NUMBER))
        try:
            yield
        finally:
            torch.set_num_threads(cores)

    def map(self, pair: Pair[Any], function: Callable[..., T], *others: Pair[Any]) -> Pair[T]:
        """What ``Pair.map`` gives, both domains at once."""
        return Pair(*self.run([partial(function, *members) for members in zip(pair, *others, strict=True)]))

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What each of ``calls`` gives, once all have ended."""
        compute = partial(self._compute, torch.get_num_threads(), torch.is_grad_enabled())
        running = [self.pool.submit(compute, call) for call in calls]
        wait(running)
        return [call.result() for call in running]

    def _compute(self, cores: int, with_gradient: bool, call: Callable[[], T]) -> T:
        torch.set_num_threads(cores)
        with torch.set_grad_enabled(with_gradient), self.context():
            return call()

    def backward(self, parts: "list[Part]", share: float) -> None:
        """Adds the gradient of ``share`` times the sum of all losses in ``parts`` to their leaves: computed at once,
        and added in the order of ``parts``, whatever ends first."""
        made = self.run([partial(torch.autograd.grad, share * part.total, [*part.leaves]) for part in parts])
        for part, gradients in zip(parts, made, strict=True):
            torch._foreach_add_([_gradient_of(leaf) for leaf in part.leaves], list(gradients))


def _gradient_of(leaf: Tensor) -> Tensor:
    """Its gradient so far, laid out as it is itself, on which optimisers rely."""
    if leaf.grad is None:
        leaf.grad = torch.zeros_like(leaf)
    return leaf.grad


@dataclass(frozen=True, eq=False)
class Part:
    """Losses whose graphs hang together."""

    losses: list[Tensor]
    nodes: list[Node] = field(default_factory=list)
    """The operations in their graphs."""
    leaves: dict[Tensor, None] = field(default_factory=dict)
    """What these graphs begin with: weights, mostly."""

    @property
    def total(self) -> Tensor:
        """The sum of the losses."""
        return torch.stack(self.losses).sum()


def independent(losses: Iterable[Tensor]) -> list[Part]:
    """``losses`` in as many parts as can be, so that the graphs of two parts have nothing but leaves in common; those
    that depend on no leaf are left out."""
    parts: list[Part] = []
    part_of: dict[Node, Part] = {}
    for loss in losses:
        part, ahead = Part([loss]), [loss.grad_fn]
        while ahead:
            node = ahead.pop()
            if node is None:  # what needs no gradient
                continue
            if isinstance(leaf := getattr(node, "variable", None), Tensor):
                part.leaves[leaf] = None
            elif (other := part_of.get(node)) is None:
                part_of[node] = part
                part.nodes.append(node)
                ahead += [before for before, _ in node.next_functions]
            elif other is not part:
                parts.remove(other)
                part = _joined(other, part)
                part_of |= dict.fromkeys(part.nodes, part)
        if part.leaves:
            parts.append(part)
    return parts


def _joined(one: Part, other: Part) -> Part:
    return Part(one.losses + other.losses, one.nodes + other.nodes, one.leaves | other.leaves)
