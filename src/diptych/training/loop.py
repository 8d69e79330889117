"""The training loop: it feeds pictures, descends, and keeps the run folder; it reads nothing inside a method."""

import time
from pathlib import Path

from diptych.config import TrainConfig
from diptych.data.preprocess import to_network
from diptych.engine import Engine
from diptych.errors import PictureError, RunError
from diptych.run import Run
from diptych.training.checkpoint import restore_latest
from diptych.training.interrupts import Interrupts
from diptych.training.outputs import Outputs
from diptych.training.plan import Plan, make_plan
from diptych.training.progress import Display, Silent
from diptych.training.state import State
from diptych.training.update import learning_rate_at, update
from diptych.training.window import NonFiniteLossError

LOG_EVERY = 100
"""Pictures between two records of the metrics."""


def train(config: TrainConfig, run: Path | None = None, *, display: Display | None = None) -> Run:
    """Trains as ``config`` asks in the folder ``run``; a run that stopped before its end goes on from its last
    checkpoint.

    ``run`` is by default ``runs/<A>2<B>``.

    Raises:
        UserError: something that the person who asked can mend.
        KeyboardInterrupt: asked to stop by Ctrl-C; the run is saved.
    """
    display = display or Silent()
    plan = make_plan(config, run, display)
    state, outputs = open_run(plan, display)
    if state.pictures >= plan.total:
        display.note(f"{plan.run.folder} is complete: {state.pictures:,} pictures")
        return plan.run
    display.start(state.pictures, plan.total)
    try:
        with Interrupts() as interrupts:
            loop(plan, state, outputs, interrupts)
    except NonFiniteLossError as error:
        raise RunError(
            f"{plan.run.folder}: {error}; the last good checkpoint is {_last_checkpoint(plan.run)}",
            cure="give a lower learning rate, or --engine.precision fp32",
        ) from None
    finally:
        display.stop()
    return plan.run


def open_run(plan: Plan, display: Display) -> tuple[State, Outputs]:
    """The state to train from, that of the last checkpoint or a fresh one, and the run folder made ready for it."""
    run, resuming = plan.run, plan.run.exists
    run.create()
    run.sweep()
    state = State(plan.config, Engine(plan.config.engine))
    if resuming and restore_latest(run, state):
        display.note(f"going on with {run.folder} after {state.pictures:,} of {plan.total:,} pictures")
    run.rewind(state.pictures)
    outputs = Outputs(plan, state, display)
    outputs.write_config()
    if state.pictures == 0:
        outputs.draw()
    return state, outputs


def loop(plan: Plan, state: State, outputs: Outputs, interrupts: Interrupts) -> None:
    """Updates ``state`` until the plan's length is reached, logging, drawing and saving at intervals.

    Raises:
        KeyboardInterrupt: asked to stop; the state is saved.
        PictureError: a picture cannot be read; the state is saved.
        NonFiniteLossError: a loss is NaN or infinite; nothing is saved.
    """
    saved = time.monotonic()
    sample_every = max(1, plan.total // max(1, plan.config.output.num_samples))
    batches = plan.loader.batches(state.pictures)
    while state.pictures < plan.total:
        try:
            batch = next(batches)
        except PictureError:
            outputs.save()
            raise
        before, rate = state.pictures, learning_rate_at(state, total=plan.total, epoch_size=plan.epoch_size)
        real = batch.map(lambda values: to_network(values, state.engine.device))
        losses = update(state, real, learning_rate=rate)
        state.window.add(losses, state.pictures)
        done = state.pictures >= plan.total
        if done or state.pictures // LOG_EVERY > before // LOG_EVERY:
            outputs.log(rate)
        if done or state.pictures // sample_every > before // sample_every:
            outputs.draw()
        if done or interrupts.requested or time.monotonic() - saved > 60 * plan.config.output.save_minutes:
            outputs.save()
            saved = time.monotonic()
        if interrupts.requested and not done:
            raise KeyboardInterrupt


def _last_checkpoint(run: Run) -> str:
    files = run.checkpoint_files()
    return str(files[-1]) if files else "none"
