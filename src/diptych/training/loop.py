"""The training loop: it feeds pictures, descends, and keeps the run folder; it reads nothing inside a method."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path

from torch import Tensor

from diptych.config import TrainConfig
from diptych.device import Engine
from diptych.errors import PictureError, RunError, WeightsError
from diptych.lock import locked
from diptych.monitoring.meters import NonFiniteError
from diptych.monitoring.progress import Display, Silent
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.checkpoint import Share, restore, share_out
from diptych.training.interrupts import Interrupts
from diptych.training.join import join
from diptych.training.plan.initial_weights import copy_weights
from diptych.training.plan.plan import Plan, describe, make_plan
from diptych.training.run_writer import RunWriter
from diptych.training.state import State
from diptych.training.update import learning_rate_at, update

LOG_EVERY = 100
"""Pictures between two records of the metrics."""


def train(
    config: TrainConfig, run: Path | None = None, *, fork: Path | None = None, display: Display | None = None
) -> Run:
    """Trains as ``config`` asks in the folder ``run``; a run that stopped goes on from its last checkpoint.

    ``run`` is by default ``runs/<A>2<B>``. ``fork`` is a folder for a new run that begins with the last checkpoint of
    ``run`` and may differ from it in any option that leaves the networks as they are.

    Raises:
        UserError: something that the person who asked can mend; of several processes, only in the first.
        KeyboardInterrupt: asked to stop by Ctrl-C; the run is saved.
    """
    processes = join()
    display = display if display and processes.is_main else Silent()
    with processes.watched(), ExitStack() as held:
        plan = make_plan(config, run, fork, display, processes)
        for line in describe(plan):
            display.note(line)
        processes.first(partial(_claim, plan.run, held))
        state, outputs = open_run(plan, display)
        if state.pictures >= plan.total:
            display.note(f"{plan.run.folder} is complete: {state.pictures:,} pictures")
            return plan.run
        display.start(state.pictures, plan.total)
        try:
            with Interrupts() as interrupts:
                loop(plan, state, outputs, interrupts)
        except NonFiniteError as error:
            raise _diverged(plan.run, error) from None
        finally:
            display.stop()
    return plan.run


def _claim(run: Run, held: ExitStack) -> None:
    """Makes the folder of ``run``, and keeps other trainings out of it as long as ``held`` lasts."""
    run.create()
    held.enter_context(locked(run.folder))


def _diverged(run: Run, error: NonFiniteError) -> RunError:
    """What to tell when training broke down, and what to try."""
    other = "a lower --learning-rate, or --precision fp32"
    if not run.checkpoint_files():
        return RunError(f"{run.folder}: {error}", cure=f"begin again with {other}")
    good = run.checkpoint_files()[-1]
    return RunError(
        f"{run.folder}: {error}; {good} is the last good checkpoint",
        cure=f"go on from it in a new run with --fork NEW_RUN and {other}",
    )


def open_run(plan: Plan, display: Display) -> tuple[State, RunWriter]:
    """The state to train from, that of the last checkpoint or a fresh one, and the run folder made ready for it."""
    state = State(plan.config, Engine(plan.config.engine), plan.processes)
    shares = [Share(Pair([], []), state.window.numbers()) for _ in range(plan.processes.number)]
    plan.processes.first(partial(_restore, plan, state, shares, display))
    share_out(state, shares)
    outputs = RunWriter(plan, state, display)
    plan.processes.first(outputs.open)
    return state, outputs


def _restore(plan: Plan, state: State, shares: list[Share], display: Display) -> None:
    """Puts ``state`` to where the run begins, and fills ``shares`` with those in its checkpoint."""
    run = plan.run
    run.sweep()
    checkpoint = next(reversed(run.checkpoint_files()), plan.parent)
    if checkpoint is not None:
        try:
            shares[:] = restore(checkpoint, state)
        except WeightsError as error:
            older = [file for file in run.checkpoint_files() if file != checkpoint]
            if not older:
                raise
            raise RunError(error.problem, cure=f"remove it, and the run goes on from {older[-1]}") from None
        display.note(f"going on from {checkpoint}: {state.pictures:,} of {plan.total:,} pictures")
        if len(shares) != plan.processes.number:
            display.note(f"processes: {len(shares)} before, {plan.processes.number} now; image pools are dealt anew")
    elif plan.config.optimiser.init_from is not None:
        display.note(copy_weights(plan.config.optimiser.init_from, state))
    run.rewind(state.pictures)


def loop(plan: Plan, state: State, outputs: RunWriter, interrupts: Interrupts) -> None:
    """Updates ``state`` until the plan's length is reached, logging, drawing and saving at intervals.

    Raises:
        KeyboardInterrupt: asked to stop; the state is saved.
        PictureError: a picture cannot be read; the state is saved.
        NonFiniteError: a loss or a weight is NaN or infinite; nothing is saved.
        RunError: the disk is full, and this is the end or the config says to stop.
    """
    processes, saved = plan.processes, time.monotonic()
    batches = plan.loader.batches(state.next_picture, every=state.batch_size)
    compiling: AbstractContextManager[None] = outputs.compiling() if plan.config.engine.compile else nullcontext()
    while state.pictures < plan.total:
        with outputs.clock.waiting():
            batch = _next(batches)
        is_time = processes.is_main and time.monotonic() - saved >= 60 * plan.config.output.save_minutes
        # All stop, and all save, at the same update: afterwards, each would wait for gradients that never come.
        failed, stop, save = processes.any(isinstance(batch, PictureError), interrupts.requested, is_time)
        if failed or stop:
            outputs.save(last=True)
            outputs.display.note(f"saved at {state.pictures:,} of {plan.total:,} pictures")
            processes.together(partial(_raise, batch if failed else KeyboardInterrupt()))
        assert isinstance(batch, Pair)
        before, rate = state.pictures, learning_rate_at(state, total=plan.total, epoch_size=plan.epoch_size)
        real = batch.map(state.engine.receive)
        with compiling:
            losses = update(state, real, learning_rate=rate)
        compiling = nullcontext()
        state.window.add(losses, state.pictures)
        done = state.pictures >= plan.total
        outputs.display.advance(state.pictures)
        if done or _passed(LOG_EVERY, before, state.pictures):
            outputs.log(rate)
        if done or _passed(plan.sample_every, before, state.pictures):
            is_flat = outputs.look()
            if is_flat and not done:
                outputs.save(last=True)
                outputs.note_flat()
                return
        if done or save:
            outputs.save(last=done)
            saved = time.monotonic()


def _passed(interval: int, before: int, now: int) -> bool:
    """Whether a multiple of ``interval`` lies after ``before`` and not after ``now``."""
    return now // interval > before // interval


def _next(batches: Iterator[Pair[Tensor]]) -> Pair[Tensor] | PictureError:
    try:
        return next(batches)
    except PictureError as error:
        return error


def _raise(outcome: object) -> None:
    """Raises ``outcome`` where it is an error."""
    if isinstance(outcome, BaseException):
        raise outcome
