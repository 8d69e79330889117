"""Parallel directions: on a CPU, the two directions of a method are computed at the same time, each in its own thread.

If every operation is split over all cores, the cores wait for each other thousands of times per update, and one core
that is busy with another program delays all of them. Parallel directions wait for each other a few times.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diptych.pair import Pair

T = TypeVar("T")
NUM_DIRECTIONS = 2


def are_worth_it(num_threads: int) -> bool:
    """Whether parallel directions are the default with ``num_threads`` intra-op threads.

    Two directions on two cores of three would leave a third of the machine idle, so both use all three, one after the
    other. No machine with three cores was at hand to measure it. With five and more, a core left over is a small part.
    """
    return num_threads > 1 and num_threads != 3


@contextmanager
def halved_threads() -> Iterator[None]:
    """Context manager: this thread, and the threads of parallel directions, use half of torch's intra-op threads.

    For small operations: split over all cores, they would mostly wait for a busy core.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(max(1, num_threads // NUM_DIRECTIONS))
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


class ParallelDirections:
    """Two threads, each inside its own context from ``context``, such as autocast."""

    def __init__(self, context: Callable[[], AbstractContextManager[object]]) -> None:
        self.context = context
        self.pool = ThreadPoolExecutor(NUM_DIRECTIONS, "direction")

    def map(self, pair: Pair[Any], function: Callable[..., T], *others: Pair[Any]) -> Pair[T]:
        """``pair.map(function, *others)``, both members at the same time."""
        return Pair(*self._run([partial(function, *members) for members in zip(pair, *others, strict=True)]))

    def backward(self, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Adds the gradient of the sum of ``losses`` to ``parameters``.

        The losses share no graph. Their gradients are computed at the same time and added in the order of ``losses``,
        so that the result does not depend on which thread ends first.
        """
        gradients = self._run([partial(_gradient, loss, parameters) for loss in losses], with_context=False)
        for each in gradients:
            used = [(p, g) for p, g in zip(parameters, each, strict=True) if g is not None]
            torch._foreach_add_([_accumulated(p) for p, _ in used], [g for _, g in used])

    def _run(self, calls: Sequence[Callable[[], T]], *, with_context: bool = True) -> list[T]:
        """Runs all ``calls`` and returns their results."""
        compute = partial(self._compute, torch.get_num_threads(), torch.is_grad_enabled(), with_context)
        running = [self.pool.submit(compute, call) for call in calls]
        wait(running)
        return [future.result() for future in running]

    def _compute(self, num_threads: int, with_gradient: bool, with_context: bool, call: Callable[[], T]) -> T:
        torch.set_num_threads(num_threads)
        with torch.set_grad_enabled(with_gradient):
            if not with_context:  # torch advises against autocast around a backward pass
                return call()
            with self.context():
                return call()


def _gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad(loss, parameters, allow_unused=True)


def _accumulated(parameter: nn.Parameter) -> Tensor:
    """The gradient so far. A new one gets the memory layout of its parameter, as fused optimisers require."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
