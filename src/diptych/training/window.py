"""Losses between two records of the metrics: summed where they are computed, read in one go."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

GRADIENT = "gradient."
"""What the names of gradients' norms begin with, among the names of losses."""


class NonFiniteError(ArithmeticError):
    """A loss or a weight, named by ``term``, became NaN or infinite."""

    def __init__(self, term: str, pictures: int) -> None:
        self.term, self.pictures = term, pictures
        super().__init__(f"{term} is not finite after {pictures} pictures")


class Window:
    """The mean of each loss over the updates since the last record. Reading waits for the device, adding does not."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.updates = 0
        self._pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, losses: Mapping[str, Tensor], pictures: int) -> None:
        """Takes in the losses of the update that ended at ``pictures``."""
        self._pending.append((pictures, dict(losses)))

    def settle(self) -> None:
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
        self.settle()
        return {name: total / self.updates for name, total in self.sums.items()}

    def clear(self) -> None:
        """Begins the next window."""
        self.sums, self.updates = {}, 0

    def numbers(self) -> dict[str, object]:
        """The window as JSON."""
        self.settle()
        return {"sums": self.sums, "updates": self.updates}

    def restore(self, numbers: dict[str, object]) -> None:
        """Takes what ``numbers`` gave."""
        self.sums, self.updates = numbers["sums"], numbers["updates"]  # type: ignore[assignment]
