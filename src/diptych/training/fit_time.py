"""``--time``: the first plan of how many images fit into a time, by a measurement of the speed."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from diptych.config import TrainConfig
from diptych.config.constraints import resolved
from diptych.data.loader import Loader
from diptych.data.transforms import CENTRE, crop_and_flip
from diptych.errors import OptionError, RunError
from diptych.inference.forward import inference_forwards
from diptych.monitoring.in_training_evaluation import SCORING_FRACTION
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import MAX_COLUMNS, sample_blocks
from diptych.pair import Pair
from diptych.revisions import Pace, Revision, in_effect, read_revisions
from diptych.training.budget import SAMPLING_FRACTION, Budget
from diptych.training.plan.length import Length, parse_time
from diptych.training.plan.plan import NUM_SAMPLES, Plan
from diptych.training.speed import measure_speed
from diptych.training.state import State

MEASURED_FRACTION, MEASURED_SECONDS = 0.02, 20.0
"""Limits of the measurement: a fraction of ``--time``, and seconds. Training revises the result."""


def measure_pace(state: State, loader: Loader, seconds: float) -> Pace:
    """Trains for about ``seconds`` and translates a sample of each domain twice; returns the pace. A collective."""
    batches = loader.updates(state.next_picture, every=state.batch_size)
    speed = measure_speed(state, batches, seconds=seconds)
    sample = state.world.on_main(partial(_seconds_of_samples, state, loader))
    return Pace(speed.pictures_per_second, sample)


def images_in_time(config: TrainConfig, pace: Pace, *, batch_size: int, elapsed: float = 0.0) -> tuple[int, int]:
    """The number of images and of sample grids that fit into ``--time``, of which ``elapsed`` seconds have passed.

    Sample grids get at most a tenth of the time, and scores ``SCORING_FRACTION``. ``batch_size`` is the global one.

    Raises:
        OptionError: there is no time for an update.
    """
    seconds, output = parse_time(config.length.time or ""), config.output
    requested = NUM_SAMPLES if output.num_samples is None else output.num_samples
    num_samples = max(1, min(requested, int(SAMPLING_FRACTION * seconds / pace.sample_seconds)))
    left = seconds * (1 - SCORING_FRACTION * output.score) - num_samples * pace.sample_seconds - elapsed
    pictures = round(pace.pictures_per_second * left)
    if pictures < batch_size:
        update_seconds = batch_size / pace.pictures_per_second
        needed = f"an update takes {update_seconds:.3g} s, and samples {pace.sample_seconds:.3g} s"
        problem = f"{config.length.time} is too short for an update: {needed}"
        raise OptionError(problem, cure="give a longer time, or a smaller --crop-size and --generator.width")
    return pictures, num_samples


def fit_to_time(
    plan: Plan,
    display: Display,
    *,
    started: float | None = None,
    afterwards: float = 0.0,
    measure: Callable[[State, Loader, float], Pace] = measure_pace,
    clock: Callable[[], float] = time.monotonic,
) -> Plan:
    """``plan`` with the number of images that fit into its ``--time``, along with sample grids and scores.

    The time counts from ``started`` on ``clock``, and includes that of earlier processes of the run. ``afterwards`` is
    as in ``Budget``. A resumed run continues with the plan and the speed of the stopped one. Any other run trains
    briefly on all ranks to measure the speed, and discards the result.

    Raises:
        OptionError: there is no time for an update.
        RunError: the run has used the time.
    """
    started = clock() if started is None else started
    recorded, is_same = plan.world.on_main(partial(_recorded, plan))
    revisions, used = in_effect(recorded, plan.done), max((line.seconds for line in recorded), default=0.0)
    make_budget = partial(
        Budget,
        batch_size=resolved(plan.config.optimiser.batch_size) * plan.world.size,
        used=used,
        started=started,
        afterwards=afterwards,
        clock=clock,
    )
    if not (is_same and revisions):
        return _first_plan(plan, display, make_budget, measure)
    length = Length(revisions)
    if plan.done >= length.total:
        return replace(plan, length=length)
    budget = make_budget(plan.config, recorded[-1].pace)
    length.revise(plan.world.on_main(lambda: _rest(plan, budget, length)))
    return replace(plan, length=length, budget=budget)


def _recorded(plan: Plan) -> tuple[list[Revision], bool]:
    """The recorded revisions of the run, and whether it is resumed with the same time."""
    run = plan.run
    return read_revisions(run.revisions_file), run.exists and run.config().length.time == plan.config.length.time


def _rest(plan: Plan, budget: Budget, length: Length) -> Revision:
    """The plan for the rest of the time of a resumed run."""
    rest = budget.revise(length, plan.done)
    if rest.total == 0:
        problem = f"{plan.run.folder} has no checkpoint, and has used its {plan.config.length.time}"
        raise RunError(problem, cure="give a longer --time")
    return rest


def _first_plan(
    plan: Plan, display: Display, make_budget: Callable[..., Budget], measure: Callable[[State, Loader, float], Pace]
) -> Plan:
    """The plan of a new run, or of one that gets another length."""
    length, output, world = plan.config.length, plan.config.output, plan.world
    seconds = parse_time(length.time or "")
    display.note(f"measuring how many pictures fit into {length.time}")
    pace = measure(State(plan.config, world), plan.loader, min(MEASURED_FRACTION * seconds, MEASURED_SECONDS))
    budget = make_budget(plan.config, pace)

    def choose() -> tuple[Revision, int]:
        if budget.used_before >= seconds:
            problem = f"{plan.run.folder} has trained for {budget.used_before:.0f} s, and {length.time} is asked for"
            raise RunError(problem, cure="give a longer --time, or no length")
        elapsed = budget.used + budget.afterwards * pace.sample_seconds
        pictures, num_samples = images_in_time(plan.config, pace, batch_size=budget.batch_size, elapsed=elapsed)
        total = plan.done + round(pictures / budget.batch_size) * budget.batch_size
        return Revision(plan.done, total, budget.used, pace, starts=True), num_samples

    revision, num_samples = world.on_main(choose)
    if num_samples < (output.num_samples or 0):
        requested = output.num_samples
        display.note(f"samples are drawn {num_samples} times, not {requested}: {length.time} is too short for more")
    config = replace(plan.config, output=replace(output, num_samples=num_samples))
    return replace(plan, config=config, length=Length([revision]), budget=make_budget(config, pace))


def _seconds_of_samples(state: State, loader: Loader) -> float:
    """Estimated seconds for a sample grid and its alarms; each takes about the same time."""
    crop_size, device = state.config.data.crop_size or 0, state.device
    pictures = loader.readers.map(
        lambda reader: [crop_and_flip(reader(0)[:, :, : reader.encoding.channels], CENTRE, crop_size)]
    )
    durations = []
    generators = inference_forwards(state.inference_generators(), device)
    with device.force_eager(), state.execution.threads(), generators as translators:
        for _ in range(2):
            start = time.perf_counter()
            sample_blocks(translators, pictures, Pair("a", "b"), device.torch_device)
            durations.append(time.perf_counter() - start)
    return 2 * MAX_COLUMNS * min(durations)
