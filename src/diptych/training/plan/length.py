"""How long a run is, in pictures per domain."""

import re
import time
from dataclasses import replace

from diptych.config import TrainConfig
from diptych.data.loader import Loader
from diptych.data.transforms import CENTRE, look
from diptych.device import Engine
from diptych.errors import OptionError
from diptych.monitoring.samples import MAX_COLUMNS, evaluating, sample_blocks
from diptych.pair import Pair
from diptych.training.processes import Processes
from diptych.training.state import State
from diptych.training.update import update

MEASURED_FRACTION, MEASURED_MAX = 0.04, 20.0
"""Share of the time given that is spent on measuring the speed, and its limit in seconds."""
WARM_UP_UPDATES = 1
"""Not measured, since much is done for the first time in them. One after them always is."""
NUM_SAMPLES = 20
"""How often samples are drawn, unless told."""
SAMPLING_FRACTION, SCORING_FRACTION = 0.1, 0.05
"""Of the time given, that samples and scores may take. Of a run of any length, scores that would take more are left
out."""


def parse_time(text: str) -> float:
    """Seconds in a time such as ``40m``, ``2h30m`` or ``90s``.

    Raises:
        OptionError: it is no such time.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total == 0:
        raise OptionError(f"time is {text!r}", cure="give a time such as 40m, 2h30m or 90s")
    return float(total)


def total_pictures(config: TrainConfig, epoch_size: int, world_size: int = 1) -> int:
    """The length of a run in pictures: ``pictures`` where it is given, else ``epochs``; a multiple of what an update of
    all processes takes.

    Raises:
        OptionError: less than one batch.
    """
    pictures = (
        config.length.pictures if config.length.pictures is not None else round(config.length.epochs * epoch_size)
    )
    batch_size = config.optimiser.batch_size
    if batch_size < 1 or pictures < 1:
        raise OptionError(
            f"a run of {pictures} pictures with batch-size {batch_size}", cure="give at least one of each"
        )
    batch_size *= world_size
    return -(-pictures // batch_size) * batch_size


def within_time(config: TrainConfig, loader: Loader, processes: Processes) -> TrainConfig:
    """``config`` with as many pictures as its time has room for, by trying with all ``processes``; what is learnt
    meanwhile is thrown away. Samples and scores are counted in; samples are as many as fit into a tenth at most.

    Raises:
        OptionError: its time is none, or has room for no update.
    """
    seconds, begun = parse_time(config.length.time or ""), time.perf_counter()
    state = State(config, Engine(config.engine), processes)
    speed = _pictures_per_second(state, loader, min(MEASURED_FRACTION * seconds, MEASURED_MAX))

    def room() -> tuple[int, int]:
        sample, wanted = _seconds_of_samples(state, loader), config.output.num_samples
        num_samples = max(1, min(NUM_SAMPLES if wanted is None else wanted, int(SAMPLING_FRACTION * seconds / sample)))
        left = seconds * (1 - SCORING_FRACTION * config.output.score) - num_samples * sample
        pictures = round(speed * (left - (time.perf_counter() - begun)))
        if pictures < state.batch_size:
            took = f"of which one takes {state.batch_size / speed:.2g} s, and samples {sample:.2g} s"
            problem = f"{config.length.time} has no time for an update, {took}"
            raise OptionError(problem, cure="give more, or a smaller --crop-size and --generator.width")
        return pictures, num_samples

    pictures, num_samples = processes.first(room)
    length, output = replace(config.length, pictures=pictures), replace(config.output, num_samples=num_samples)
    return replace(config, length=length, output=output)


def _pictures_per_second(state: State, loader: Loader, limit: float) -> float:
    """The speed of training, by updates without any step for ``limit`` seconds."""
    begun = time.perf_counter()
    timed = num_timed = 0.0
    for number, batch in enumerate(loader.batches(state.next_picture, every=state.batch_size)):
        started = time.perf_counter()
        losses = update(state, batch.map(state.engine.receive), learning_rate=0.0)
        next(iter(losses.values())).item()  # waits for the device
        if number >= WARM_UP_UPDATES:
            timed += time.perf_counter() - started
            num_timed += 1
        enough = num_timed > 0 and time.perf_counter() - begun > limit
        if all(state.processes.any(state.processes.is_main and enough)):
            break
    return num_timed / timed * state.batch_size


def _seconds_of_samples(state: State, loader: Loader) -> float:
    """Seconds of samples, about: to be drawn, and to be searched for alarms as long again; by those of one picture."""
    crop_size = state.config.data.crop_size or 0
    pictures = loader.readers.map(lambda reader: [look(reader(0), CENTRE, crop_size)])
    networks = state.method.networks(state.translators)
    durations = []
    with state.engine.plain(), evaluating(networks, state.engine.autocast) as translators:
        for _ in range(2):
            begun = time.perf_counter()
            sample_blocks(translators, pictures, Pair("a", "b"), state.engine.device)
            durations.append(time.perf_counter() - begun)
    return 2 * MAX_COLUMNS * min(durations)
