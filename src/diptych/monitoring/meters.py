"""Losses between two records of the metrics: summed where they are computed, read in one go."""

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor

GRADIENT = "gradient."
"""What the names of gradients' norms begin with, among the names of losses."""


class NonFiniteError(ArithmeticError):
    """A loss or a weight, named by ``term``, became NaN or infinite."""

    def __init__(self, term: str, pictures: int) -> None:
        self.term, self.pictures = term, pictures
        super().__init__(f"{term} is not finite after {pictures} pictures")

    def __reduce__(self) -> "tuple[type[NonFiniteError], tuple[str, int]]":
        return type(self), (self.term, self.pictures)  # for other processes of the same run


class Numbers(TypedDict):
    """A window as JSON."""

    sums: dict[str, float]
    updates: int


class Window:
    """The mean of each loss over the updates since the last record. Reading waits for the device, adding does not."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.updates = 0
        self._pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, losses: Mapping[str, Tensor], pictures: int) -> None:
        """Takes in the losses of the update that ended at ``pictures``."""
        self._pending.append((pictures, dict(losses)))

    def synchronize(self) -> None:
        """Reads all losses that are still on the device.

        Raises:
            NonFiniteError: one is NaN or infinite; the first of them is named.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        values = torch.stack(
            [loss.double() if loss.device.type != "mps" else loss for _, losses in pending for loss in losses.values()]
        )
        numbers = iter(values.tolist())
        for pictures, losses in pending:
            for name in losses:
                value = next(numbers)
                if not math.isfinite(value):
                    if name.startswith(GRADIENT):
                        continue  # with a gradient scaler, a matter of course: such a step is left out
                    raise NonFiniteError(name, pictures)
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.updates += 1

    def means(self) -> dict[str, float]:
        """The mean of each loss so far."""
        self.synchronize()
        return {name: total / self.updates for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begins the next window."""
        self.sums, self.updates = {}, 0

    def numbers(self) -> Numbers:
        """The window as JSON."""
        self.synchronize()
        return {"sums": self.sums, "updates": self.updates}

    def restore(self, numbers: Numbers) -> None:
        """Takes what ``numbers`` gave."""
        self.sums, self.updates = dict(numbers["sums"]), numbers["updates"]


def mean_of(windows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each number over the windows of all processes."""
    return {name: sum(window[name] for window in windows) / len(windows) for name in windows[0]}


def redistribute(windows: Sequence[Numbers], world_size: int) -> list[Numbers]:
    """The ``windows`` of as many processes as a run had, for as many as it has now: the same, or the mean for each."""
    if len(windows) == world_size:
        return list(windows)
    sums = mean_of([window["sums"] for window in windows])
    return [{"sums": sums, "updates": windows[0]["updates"]} for _ in range(world_size)]
