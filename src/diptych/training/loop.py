"""The training loop: it feeds pictures, descends, and keeps the run folder; it reads nothing inside a method."""

import time
from pathlib import Path

from diptych.config import TrainConfig
from diptych.engine import Engine
from diptych.errors import PictureError, RunError, WeightsError
from diptych.lock import locked
from diptych.run import Run
from diptych.training.begin import copy_networks
from diptych.training.checkpoint import restore
from diptych.training.interrupts import Interrupts
from diptych.training.outputs import Outputs
from diptych.training.plan import Plan, describe, make_plan
from diptych.training.progress import Display, Silent
from diptych.training.state import State
from diptych.training.update import learning_rate_at, update
from diptych.training.window import NonFiniteError

LOG_EVERY = 100
"""Pictures between two records of the metrics."""


def train(
    config: TrainConfig, run: Path | None = None, *, fork: Path | None = None, display: Display | None = None
) -> Run:
    """Trains as ``config`` asks in the folder ``run``; a run that stopped goes on from its last checkpoint.

    ``run`` is by default ``runs/<A>2<B>``. ``fork`` is a folder for a new run that begins with the last checkpoint of
    ``run`` and may differ from it in any option that leaves the networks as they are.

    Raises:
        UserError: something that the person who asked can mend.
        KeyboardInterrupt: asked to stop by Ctrl-C; the run is saved.
    """
    display = display or Silent()
    plan = make_plan(config, run, fork, display)
    for line in describe(plan):
        display.note(line)
    plan.run.create()
    with locked(plan.run.folder):
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


def open_run(plan: Plan, display: Display) -> tuple[State, Outputs]:
    """The state to train from, that of the last checkpoint or a fresh one, and the run folder made ready for it."""
    run = plan.run
    run.sweep()
    state = State(plan.config, Engine(plan.config.engine))
    checkpoint = next(reversed(run.checkpoint_files()), plan.parent)
    if checkpoint is not None:
        try:
            restore(checkpoint, state)
        except WeightsError as error:
            older = [file for file in run.checkpoint_files() if file != checkpoint]
            if not older:
                raise
            raise RunError(error.problem, cure=f"remove it, and the run goes on from {older[-1]}") from None
        display.note(f"going on from {checkpoint}: {state.pictures:,} of {plan.total:,} pictures")
    elif plan.config.optimiser.begin_with is not None:
        copied = copy_networks(plan.config.optimiser.begin_with, state)
        display.note(f"begun with the {' '.join(copied)} of {plan.config.optimiser.begin_with}")
    run.rewind(state.pictures)
    outputs = Outputs(plan, state, display)
    outputs.write_config()
    if checkpoint is None:
        outputs.draw()
    return state, outputs


def loop(plan: Plan, state: State, outputs: Outputs, interrupts: Interrupts) -> None:
    """Updates ``state`` until the plan's length is reached, logging, drawing and saving at intervals.

    Raises:
        KeyboardInterrupt: asked to stop; the state is saved.
        PictureError: a picture cannot be read; the state is saved.
        NonFiniteError: a loss or a weight is NaN or infinite; nothing is saved.
        RunError: the disk is full, and this is the end or the config says to stop.
    """
    saved = time.monotonic()
    sample_every = max(1, plan.total // max(1, plan.config.output.num_samples))
    batches = plan.loader.batches(state.pictures)
    while state.pictures < plan.total:
        asked = time.perf_counter()
        try:
            batch = next(batches)
        except PictureError:
            outputs.save(last=True)
            raise
        outputs.waited += time.perf_counter() - asked
        before, rate = state.pictures, learning_rate_at(state, total=plan.total, epoch_size=plan.epoch_size)
        real = batch.map(state.engine.receive)
        losses = update(state, real, learning_rate=rate)
        state.window.add(losses, state.pictures)
        done = state.pictures >= plan.total
        last = done or interrupts.requested
        if done or state.pictures // LOG_EVERY > before // LOG_EVERY:
            outputs.log(rate)
        if done or state.pictures // sample_every > before // sample_every:
            outputs.draw()
            outputs.examine()
            outputs.score()
            if not done and outputs.scoring.is_flat(plan.config.length.stop_when_flat):
                outputs.save(last=True)
                outputs.note_flat()
                return
        if last or time.monotonic() - saved >= 60 * plan.config.output.save_minutes:
            outputs.save(last=last)
            saved = time.monotonic()
        if last and not done:
            raise KeyboardInterrupt
