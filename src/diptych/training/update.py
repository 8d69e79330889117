"""One update: the generators and the discriminators each take one step, in the order of the method."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn

from diptych.methods.method import Losses
from diptych.monitoring.meters import GRADIENT
from diptych.pair import Pair
from diptych.rng import Stream, torch_seed
from diptych.training.schedules import factor
from diptych.training.state import State


def update(state: State, real: Pair[Tensor], *, learning_rate: float) -> dict[str, Tensor]:
    """Trains ``state`` on one batch ``real``, ``(B, C, H, W)`` in [-1, 1]; returns each loss by its name, detached, and
    the norm of each module's gradient as ``gradient.<module>``. Where several processes train, ``real`` is this one's
    part of the batch, the gradients are means over all processes, and the losses are of this part.

    Where the engine accumulates, the batch goes through the method in parts, side by side: at each step the gradients
    of all parts are summed before the module descends, so that every part sees the weights that the whole batch would.
    """
    with state.engine.updating():
        return _update(state, real, learning_rate)


def _update(state: State, real: Pair[Tensor], learning_rate: float) -> dict[str, Tensor]:
    engine, modules = state.engine, state.modules
    torch.manual_seed(torch_seed(state.config.optimiser.seed, Stream.TORCH, state.next_picture))  # for dropout
    for optimiser in state.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
    names = {module: name for name, module in modules.items()}
    logged: dict[str, Tensor] = {}
    updates, shares = _in_parts(state, real)
    while True:
        module: nn.Module | None = None
        for part, share in zip(updates, shares, strict=True):
            with engine.autocast():  # a fresh one for each step: it keeps casts of weights, which a step makes stale
                step = next(part, None)
            if step is not None:
                module, losses = step
                if part is updates[-1]:
                    state.average[names[module]]()
                engine.add_gradient(losses, share=share)
                for name, loss in losses.items():
                    logged[name] = logged.get(name, 0.0) + share * loss.detach()
        if module is None:
            break
        logged[f"{GRADIENT}{names[module]}"] = engine.descend(state.optimisers[names[module]])
    state.pictures += len(real.a) * state.processes.number
    if state.ema:
        state.ema.update(state.method.generators, state.num_updates)
    return logged


def _in_parts(state: State, real: Pair[Tensor]) -> tuple[list[Iterator[tuple[nn.Module, Losses]]], list[float]]:
    """The update of each part of the batch ``real``, and the share of the batch that it is."""
    parts = [
        Pair(*part) for part in zip(*(domain.chunk(state.config.engine.accumulate) for domain in real), strict=True)
    ]
    method, modules, updates, begin = state.method, state.modules, [], state.next_picture
    for part in parts:
        exchange = partial(state.exchange, count=begin)
        updates.append(method.update(modules["generators"], modules["discriminators"], part, exchange))
        begin += len(part.a)
    return updates, [len(part.a) / len(real.a) for part in parts]


def learning_rate_at(state: State, *, total: int, epoch_size: int) -> float:
    """The learning rate of the next update, in a run of ``total`` pictures with ``epoch_size`` in an epoch."""
    options = state.config.optimiser
    unit = epoch_size if options.schedule_unit == "epoch" else state.batch_size
    num_steps = -(-total // unit)
    return options.learning_rate * factor(options.schedule, state.pictures // unit, num_steps, options.decay_fraction)
