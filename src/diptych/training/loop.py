"""The training loop: reads batches, runs updates and writes the run folder. It is the same for every method."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path

from diptych.config import TrainConfig
from diptych.data.encoding import to_network
from diptych.data.loader import Batch
from diptych.errors import RunError, UserError, WeightsError
from diptych.inference.forward import memory_errors
from diptych.lock import locked
from diptych.memory import available_memory
from diptych.monitoring.meters import NonFiniteError
from diptych.monitoring.progress import Display, Silent
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.checkpoint import RankState, restore, scatter_state
from diptych.training.config_file import unreadable_recorded
from diptych.training.distributed import connect
from diptych.training.fit_time import fit_to_time
from diptych.training.interrupts import Interrupts
from diptych.training.memory import out_of_memory, refuse_too_large
from diptych.training.plan.initial_weights import copy_weights
from diptych.training.plan.plan import Plan, describe, make_plan
from diptych.training.run_writer import RunWriter
from diptych.training.state import State
from diptych.training.stepper import learning_rate_at, update

LOG_EVERY = 100
"""Images between two records of the metrics."""


def train(
    config: TrainConfig,
    run: Path | None = None,
    *,
    fork: Path | None = None,
    display: Display | None = None,
    started: float | None = None,
    afterwards: float = 0.0,
) -> Run:
    """Trains as ``config`` asks in the folder ``run``; a run that was stopped resumes from its last checkpoint.

    The default of ``run`` is ``runs/<A>2<B>``. ``fork`` is the folder of a new run. It starts from the last checkpoint
    of ``run`` and may change any option except those of the networks; of these, only dropout.

    A time limit counts from ``started``, a value of ``time.monotonic()``; by default from now. It leaves room for work
    of the caller afterwards that takes as long as ``afterwards`` sample grids.

    Raises:
        UserError: a mistake that the caller can correct; with several processes, only on the main rank.
        KeyboardInterrupt: stopped by Ctrl-C; the run is saved.
    """
    started = time.monotonic() if started is None else started
    world = connect()
    display = display if display and world.is_main else Silent()
    with world.guard(), ExitStack() as held:
        plan = make_plan(config, run, fork, display, world)
        held.enter_context(unreadable_recorded(plan))
        world.on_main(lambda: refuse_too_large(plan, free=available_memory()))
        held.enter_context(memory_errors(partial(out_of_memory, plan)))
        if plan.length is None:
            plan = fit_to_time(plan, display, started=started, afterwards=afterwards)
        for line in describe(plan):
            display.note(line)
        world.on_main(partial(_create_and_lock, plan.run, held))
        state, writer = open_run(plan, display)
        if state.pictures >= plan.total:
            display.note(f"{plan.run.folder} is complete: {state.pictures:,} pictures")
            return plan.run
        display.start(state.pictures, plan.total)
        try:
            with Interrupts() as interrupts:
                loop(plan, state, writer, interrupts)
        except NonFiniteError as error:
            raise _diverged(plan.run, error) from None
        finally:
            display.stop()
    return plan.run


def loop(plan: Plan, state: State, writer: RunWriter, interrupts: Interrupts) -> None:
    """Updates ``state`` until the end of the plan. Logs, draws samples, saves and revises the plan at intervals.

    Raises:
        KeyboardInterrupt: asked to stop; the state is saved.
        UserError: a picture cannot be read; the state is saved.
        NonFiniteError: a loss or a weight is NaN or infinite; nothing is saved.
        RunError: the disk is full at the end of training, or earlier with ``on_full_disk`` "stop".
    """
    world, timing = plan.world, writer.timing
    batches = plan.loader.updates(state.next_picture, every=state.batch_size)
    convert = partial(to_network, device=state.device.torch_device, memory_format=state.device.memory_format)
    first_update: AbstractContextManager[None] = writer.first_update()
    while state.pictures < plan.total:
        with writer.throughput.waiting():
            batch = _next(batches)
        # All ranks stop, save and revise at the same update. Otherwise, some would wait forever for the others.
        flags = (isinstance(batch, UserError), interrupts.requested, timing.is_save_due, timing.is_revision_due)
        failed, stop, save, revise = world.any(*flags)
        if failed or stop:
            writer.save(last=True)
            writer.display.note(f"saved at {state.pictures:,} of {plan.total:,} pictures")
            world.all_gather(partial(_raise, batch if failed else KeyboardInterrupt()))
        assert isinstance(batch, Batch)
        before, rate = state.pictures, learning_rate_at(state, timing.length, epoch_size=plan.epoch_size)
        with first_update:
            losses = update(state, *batch.map(convert), learning_rate=rate)
        first_update = nullcontext()
        state.meters.add(losses, state.pictures)
        passed_sample = timing.has_passed_sample(before)
        if revise and state.pictures < plan.total:
            timing.revise()
        done = state.pictures >= plan.total
        writer.display.advance(state.pictures)
        if done or _passed(LOG_EVERY, before, state.pictures):
            writer.log(rate)
        if done or passed_sample:
            has_plateaued = writer.sample_and_score(last=done)
            if has_plateaued and not done:
                writer.save(last=True)
                writer.report_early_stop()
                return
        if done or save:
            writer.save(last=done)


def open_run(plan: Plan, display: Display) -> tuple[State, RunWriter]:
    """The state to train from (a new one, or the last checkpoint's), and the writer of the run folder."""
    state = State(plan.config, plan.world)
    rank_states = [RankState(Pair([], []), state.meters.totals()) for _ in range(plan.world.size)]
    rank_states = plan.world.on_main(partial(_restore, plan, state, display)) or rank_states
    scatter_state(state, rank_states)
    writer = RunWriter(plan, state, display)
    plan.world.on_main(writer.open)
    return state, writer


def _restore(plan: Plan, state: State, display: Display) -> list[RankState]:
    """Loads the last checkpoint, or initial weights, into ``state``; returns the rank states of the checkpoint."""
    run, rank_states = plan.run, list[RankState]()
    run.remove_temporary_files()
    checkpoint = next(reversed(run.checkpoint_files()), plan.parent)
    if checkpoint is not None:
        try:
            rank_states = restore(checkpoint, state, display.note)
        except WeightsError as error:
            older = [file for file in run.checkpoint_files() if file != checkpoint]
            if not older:
                raise
            raise RunError(error.problem, cure=f"remove it, and the run continues from {older[-1]}") from None
        display.note(f"continuing from {checkpoint}: {state.pictures:,} of {plan.total:,} pictures")
        if len(rank_states) != plan.world.size:
            before, now = len(rank_states), plan.world.size
            display.note(f"processes: {before} before, {now} now; image pools are redistributed")
    elif plan.config.optimiser.init_from is not None:
        display.note(copy_weights(plan.config.optimiser.init_from, state))
    run.rewind(state.pictures)
    return rank_states


def _create_and_lock(run: Run, held: ExitStack) -> None:
    """Creates the folder of ``run`` and locks it until ``held`` is closed."""
    run.create()
    held.enter_context(locked(run.folder))


def _diverged(run: Run, error: NonFiniteError) -> RunError:
    """The error of training that diverged."""
    other = "a lower --learning-rate, or --precision fp32"
    if not run.checkpoint_files():
        return RunError(f"{run.folder}: {error}", cure=f"start again with {other}")
    good = run.checkpoint_files()[-1]
    problem = f"{run.folder}: {error}; {good} is the last good checkpoint"
    return RunError(problem, cure=f"continue from it in a new run with --fork NEW_RUN and {other}")


def _passed(interval: int, before: int, now: int) -> bool:
    """Whether a multiple of ``interval`` lies in (``before``, ``now``]."""
    return now // interval > before // interval


def _next(batches: Iterator[Batch]) -> Batch | UserError:
    try:
        return next(batches)
    except UserError as error:
        return error


def _raise(outcome: object) -> None:
    """Raises ``outcome`` if it is an error."""
    if isinstance(outcome, BaseException):
        raise outcome
