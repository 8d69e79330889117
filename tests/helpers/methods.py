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


def graph_of(loss):
    """The nodes of the autograd graph of ``loss``, except those that accumulate the gradient of a parameter."""
    found, open_nodes = set(), [loss.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is not None and node not in found and not hasattr(node, "variable"):
            found.add(node)
            open_nodes += [following for following, _ in node.next_functions]
    return found
