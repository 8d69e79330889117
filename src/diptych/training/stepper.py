"""One update: each module of the method takes an optimiser step, in the method's order."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from diptych.config.constraints import resolved
from diptych.methods import Content, LossGroups, Step, module_names, with_content
from diptych.monitoring.meters import GRADIENT, NonFiniteError
from diptych.pair import Pair
from diptych.rng import Stream, torch_seed
from diptych.training.plan.length import Length
from diptych.training.schedules import factor
from diptych.training.state import State

MIN_SCALE = 2.0**-10
"""Scale of the losses in fp16 below which a run ends. It begins at 2¹⁶, and halves with each overflow."""


def update(
    state: State, real: Pair[Tensor], known: Pair[Tensor] | None = None, *, learning_rate: float
) -> dict[str, Tensor]:
    """Trains ``state`` on one batch ``real``, (B, C, H, W) in [-1, 1] for each domain, and on as many ``known`` pairs.

    A mask of an image of ``real`` is one more channel: above -1 where content is kept.

    Returns each loss by its name, detached, and the norm of each module's gradient as ``gradient.<module>``. With
    several ranks, ``real`` and the losses are those of this rank, and gradients are means over all ranks.

    With gradient accumulation, each module takes one optimiser step, after the gradients of all micro-batches are
    summed. So all micro-batches use the same weights, as the whole batch would.
    """
    with state.device.kernels(), state.execution.threads():
        return _update(state, real, known, learning_rate)


def _update(state: State, real: Pair[Tensor], known: Pair[Tensor] | None, learning_rate: float) -> dict[str, Tensor]:
    if state.config.engine.cuda_graphs:
        # From here on, a graph may overwrite the outputs of the last update.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    torch.manual_seed(torch_seed(state.config.optimiser.seed, Stream.TORCH, state.next_picture))  # for dropout
    for optimiser in state.optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = learning_rate
    logged: dict[str, Tensor] = {}
    updates, weights = _micro_batches(state, real, known)
    stepped: set[str] = set()
    while True:
        names: tuple[str, ...] = ()
        for part, weight in zip(updates, weights, strict=True):
            with state.device.autocast():  # a new context per step: it caches cast weights, and the step changes them
                step = next(part, None)
            if step is not None:
                names, groups = module_names(step.modules), step.losses
                if part is updates[-1]:
                    for name in names:
                        state.all_reduce[name]()
                backward(state, names, groups, weight=weight)
                for loss_name, loss in _flat(groups).items():
                    logged[loss_name] = logged.get(loss_name, 0.0) + weight * loss.detach()
        if not names:
            break
        if not stepped.isdisjoint(names):  # the gradient scaler takes one step of each optimiser between two updates
            state.scaler.update()
            stepped.clear()
        logged |= optimiser_step(state, names)
        stepped.update(names)
    if stepped:
        state.scaler.update()
    state.pictures += len(real.a) * state.world.size
    for name, ema in state.ema.items():
        ema.update(state.modules[name], state.num_updates)
    return logged


def backward(state: State, names: Sequence[str], groups: LossGroups, *, weight: float) -> None:
    """Adds the gradient of ``weight`` times the sum of all losses to the parameters of the modules ``names``."""
    parallel = state.execution.parallel
    if parallel and len(groups) > 1:
        totals = [weight * torch.stack(list(group.values())).sum() for group in groups.values()]
        parallel.backward(totals, [parameter for name in names for parameter in state.modules[name].parameters()])
    else:
        total = torch.stack(list(_flat(groups).values())).sum()
        state.scaler.scale(weight * total).backward()  # type: ignore[no-untyped-call]


def optimiser_step(state: State, names: Sequence[str]) -> dict[str, Tensor]:
    """One optimiser step of the modules ``names``. Clears their gradients, and returns the norm of each."""
    norms = {}
    for name in names:
        optimiser = state.optimisers[name]
        state.scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norms[f"{GRADIENT}{name}"] = norm
        state.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)
    return norms


def refuse_endless_overflow(state: State) -> None:
    """Ends a run in fp16 whose gradients overflow whatever their scale: the scaler would skip every step for ever.

    Raises:
        NonFiniteError: the scale has become smaller than ``MIN_SCALE``.
    """
    if state.scaler.is_enabled() and state.scaler.get_scale() < MIN_SCALE:
        raise NonFiniteError("every gradient in fp16", state.pictures, math.inf)


def learning_rate_at(state: State, length: Length, *, epoch_size: int) -> float:
    """The learning rate of the next update, in a run of ``length`` with ``epoch_size`` images in an epoch."""
    options = state.config.optimiser
    unit = epoch_size if options.schedule_unit == "epoch" else state.batch_size
    step, num_steps = length.step(state.pictures, unit)
    return resolved(options.learning_rate) * factor(options.schedule, step, num_steps, options.decay_fraction)


def _micro_batches(
    state: State, real: Pair[Tensor], known: Pair[Tensor] | None
) -> tuple[list[Iterator[Step]], list[float]]:
    """The method's update for each micro-batch of ``real``, and the fraction of the batch in each."""
    number, method, execution = state.config.engine.accumulate, state.method, state.execution
    parts = _chunks(real, number)
    pairs = [None] * len(parts) if known is None else _chunks(known, number)
    updates, index = [], state.next_picture
    for part, pair in zip(parts, pairs, strict=True):
        images, content = Content.of(state.config.content, part, state.channels, pair)
        query = partial(state.query_pools, count=index)
        updates.append(with_content(method, method.update(images, query, execution), content, execution))
        index += len(part.a)
    return updates, [len(part.a) / len(real.a) for part in parts]


def _chunks(batch: Pair[Tensor], number: int) -> list[Pair[Tensor]]:
    return [Pair(*part) for part in zip(*(domain.chunk(number) for domain in batch), strict=True)]


def _flat(groups: LossGroups) -> Mapping[str, Tensor]:
    return {name: loss for group in groups.values() for name, loss in group.items()}
