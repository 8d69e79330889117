"""Running means of losses between log records. Values stay on the device; one synchronisation per record."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

GRADIENT = "gradient."
"""Prefix of gradient norms among the names of losses."""

Totals = dict[str, tuple[float, int]]
"""The sum and the number of finite values by name."""


class NonFiniteError(ArithmeticError):
    """A loss or a weight became NaN or infinite: ``(name, pictures, value)``."""

    def __init__(self, name: str, pictures: int, value: float) -> None:
        super().__init__(name, pictures, value)  # all arguments, so that it can be pickled

    def __str__(self) -> str:
        name, pictures, value = self.args
        return f"{name} is {'NaN' if math.isnan(value) else 'infinite'} after {pictures} pictures"


class Meters:
    """The mean of each loss since the last record. ``add`` never waits for the device; reading does."""

    def __init__(self) -> None:
        self._totals: Totals = {}
        self._pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, losses: Mapping[str, Tensor], pictures: int) -> None:
        """Adds the scalar ``losses`` of the update that ended at ``pictures``."""
        self._pending.append((pictures, dict(losses)))

    def synchronize(self) -> None:
        """Reads all pending values from the device at once.

        A gradient norm that overflowed is left out: the gradient scaler of fp16 skips such a step.

        Raises:
            NonFiniteError: a loss is NaN or infinite; the first one is named.
        """
        pending, self._pending = self._pending, []
        tensors = [loss for _, losses in pending for loss in losses.values()]
        values = iter(torch.stack(tensors).tolist() if tensors else [])
        for pictures, losses in pending:
            for name in losses:
                value = next(values)
                if math.isfinite(value):
                    total, count = self._totals.get(name, (0.0, 0))
                    self._totals[name] = total + value, count + 1
                elif not name.startswith(GRADIENT):
                    raise NonFiniteError(name, pictures, value)

    def means(self) -> dict[str, float]:
        """The mean over the finite values of each name that has any."""
        return {name: total / count for name, (total, count) in self.totals().items()}

    def totals(self) -> Totals:
        """Sums and counts, for a checkpoint."""
        self.synchronize()
        return dict(self._totals)

    def restore(self, totals: Mapping[str, Sequence[float]]) -> None:
        """Loads the result of ``totals``, also after a JSON round trip."""
        self._totals = {name: (total, int(count)) for name, (total, count) in totals.items()}

    def clear(self) -> None:
        """Starts over, after a record."""
        self._totals = {}


def mean_over_ranks(means: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name over the ranks that have it, sorted by name."""
    values = {name: [mean[name] for mean in means if name in mean] for name in sorted(set().union(*means))}
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}


def redistribute(totals: Sequence[Totals], world_size: int) -> list[Totals]:
    """One entry for each of ``world_size`` ranks: ``totals`` unchanged if the number fits, otherwise their mean."""
    if len(totals) == world_size:
        return list(totals)
    sums = mean_over_ranks([{name: total for name, (total, _) in rank.items()} for rank in totals])
    counts = mean_over_ranks([{name: count for name, (_, count) in rank.items()} for rank in totals])
    return [{name: (sums[name], round(counts[name])) for name in sums}] * world_size
