"""One update: the generators and the discriminators each take one step, in the order of the method."""

import torch
from torch import Tensor

from diptych.chance import Stream, torch_seed
from diptych.pair import Pair
from diptych.training.schedules import factor
from diptych.training.state import State
from diptych.training.window import GRADIENT


def update(state: State, real: Pair[Tensor], *, learning_rate: float) -> dict[str, Tensor]:
    """Trains ``state`` on one batch ``real``, ``(B, C, H, W)`` in [-1, 1]; returns each loss by its name, detached, and
    the norm of each module's gradient as ``gradient.<module>``."""
    engine, modules = state.engine, state.modules
    torch.manual_seed(torch_seed(state.config.optimiser.seed, Stream.TORCH, state.pictures))  # for dropout
    for optimiser in state.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
    names = {module: name for name, module in modules.items()}
    logged: dict[str, Tensor] = {}
    steps = state.method.update(modules["generators"], modules["discriminators"], real, state.exchange)
    while True:
        with engine.autocast():  # a fresh one for each step: it keeps casts of weights, which a step makes stale
            step = next(steps, None)
        if step is None:
            break
        module, losses = step
        norm = engine.descend(state.optimisers[names[module]], losses)
        logged |= {name: loss.detach() for name, loss in losses.items()} | {f"{GRADIENT}{names[module]}": norm}
    state.pictures += len(real.a)
    if state.ema:
        state.ema.update(state.method.generators, state.num_updates)
    return logged


def learning_rate_at(state: State, *, total: int, epoch_size: int) -> float:
    """The learning rate of the next update, in a run of ``total`` pictures with ``epoch_size`` in an epoch."""
    options = state.config.optimiser
    unit = epoch_size if options.schedule_unit == "epoch" else options.batch_size
    num_steps = -(-total // unit)
    return options.learning_rate * factor(options.schedule, state.pictures // unit, num_steps, options.decay_share)
