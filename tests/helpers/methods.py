"""The losses of one update of a method."""

from diptych.methods import Execution

ONE_BY_ONE = Execution()
"""Runs networks one after the other: nothing batched, recomputed or parallel."""


def flat(groups):
    """All losses by name, without their groups."""
    return {name: loss for group in groups.values() for name, loss in group.items()}


def losses_of(method, real, query=lambda fake: fake, execution=ONE_BY_ONE):
    """The value of every loss of one update by its name, without an optimiser step."""
    return {
        name: loss.item()
        for _, groups, *_ in method.update(real, query, execution)
        for name, loss in flat(groups).items()
    }
