"""``--time``: converts a time limit to a number of images, by a measurement of the speed."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from diptych.config import TrainConfig
from diptych.data.loader import Loader
from diptych.data.transforms import CENTRE, crop_and_flip
from diptych.errors import OptionError
from diptych.inference.forward import inference_forwards
from diptych.monitoring.in_training_evaluation import SCORING_FRACTION
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import MAX_COLUMNS, sample_blocks
from diptych.pair import Pair
from diptych.training.estimate import measure_speed
from diptych.training.plan.length import parse_time
from diptych.training.plan.plan import NUM_SAMPLES, Plan, refuse_finished
from diptych.training.state import State

MEASURED_FRACTION, MEASURED_SECONDS = 0.04, 20.0
"""Limits of the measurement: a fraction of ``--time``, and seconds."""
SAMPLING_FRACTION = 0.1
"""Largest fraction of ``--time`` for sample grids."""


class Pace(NamedTuple):
    """The measured speed of training and of sample grids."""

    pictures_per_second: float
    sample_seconds: float
    """Seconds per sample grid, including its alarms."""


def measure_pace(state: State, loader: Loader, seconds: float) -> Pace:
    """Trains for about ``seconds`` and draws two sample grids; returns the pace. A collective."""
    batches = loader.batches(state.next_picture, every=state.batch_size)
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
        needed = f"an update takes {update_seconds:.2g} s, and samples {pace.sample_seconds:.2g} s"
        problem = f"{config.length.time} is too short for an update: {needed}"
        raise OptionError(problem, cure="give a longer time, or a smaller --crop-size and --generator.width")
    return pictures, num_samples


def fit_to_time(
    plan: Plan, display: Display, *, measure: Callable[[State, Loader, float], Pace] = measure_pace
) -> Plan:
    """``plan`` with the number of images that fit into its ``--time``, along with sample grids and scores.

    Trains briefly on all ranks to measure the speed, and discards the result.

    Raises:
        OptionError: there is no time for an update.
    """
    length, output = plan.config.length, plan.config.output
    display.note(f"measuring how many pictures fit into {length.time}")
    start = time.perf_counter()
    state = State(plan.config, plan.world)
    pace = measure(state, plan.loader, min(MEASURED_FRACTION * parse_time(length.time or ""), MEASURED_SECONDS))
    pictures, num_samples = plan.world.on_main(
        lambda: images_in_time(plan.config, pace, batch_size=state.batch_size, elapsed=time.perf_counter() - start)
    )
    if num_samples < (output.num_samples or 0):
        requested = output.num_samples
        display.note(f"samples are drawn {num_samples} times, not {requested}: {length.time} is too short for more")
    config = replace(
        plan.config, length=replace(length, pictures=pictures), output=replace(output, num_samples=num_samples)
    )
    plan = replace(plan, config=config)
    plan.world.on_main(partial(refuse_finished, plan))
    return plan


def _seconds_of_samples(state: State, loader: Loader) -> float:
    """Estimated seconds for a sample grid and its alarms; each takes about the same time."""
    crop_size, device = state.config.data.crop_size or 0, state.device
    pictures = loader.readers.map(lambda reader: [crop_and_flip(reader(0), CENTRE, crop_size)])
    durations = []
    with device.force_eager(), inference_forwards(state.inference_generators(), device) as translators:
        for _ in range(2):
            start = time.perf_counter()
            sample_blocks(translators, pictures, Pair("a", "b"), device.torch_device)
            durations.append(time.perf_counter() - start)
    return 2 * MAX_COLUMNS * min(durations)
