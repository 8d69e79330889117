"""How long a run is, in pictures per domain."""

import re
import time

from diptych.config import TrainConfig
from diptych.data.loader import Loader
from diptych.engine import Engine
from diptych.errors import OptionError
from diptych.training.processes import Processes
from diptych.training.state import State
from diptych.training.update import update

MEASURED_SHARE, MEASURED_MAX = 0.04, 20.0
"""Share of the time given that is spent on measuring the speed, and its limit in seconds."""
MIN_TIMED_UPDATES, WARM_UP_UPDATES = 3, 2


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


def total_pictures(config: TrainConfig, epoch_size: int, num_processes: int = 1) -> int:
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
    batch_size *= num_processes
    return -(-pictures // batch_size) * batch_size


def pictures_in(seconds: float, config: TrainConfig, loader: Loader, processes: Processes) -> int:
    """How many pictures a run of ``seconds`` trains on, by trying with all ``processes``; what is learnt meanwhile is
    thrown away."""
    begun = time.perf_counter()
    state = State(config, Engine(config.engine), processes)
    timed = num_timed = 0.0
    for number, batch in enumerate(loader.batches(state.next_picture, every=state.batch_size)):
        started = time.perf_counter()
        real = batch.map(state.engine.receive)
        losses = update(state, real, learning_rate=0.0)
        next(iter(losses.values())).item()  # waits for the device
        if number >= WARM_UP_UPDATES:
            timed += time.perf_counter() - started
            num_timed += 1
        spent = time.perf_counter() - begun
        enough = num_timed >= MIN_TIMED_UPDATES and spent > min(MEASURED_SHARE * seconds, MEASURED_MAX)
        if all(processes.any(processes.is_first and enough)):
            break
    return processes.first(lambda: max(1, round((seconds - spent) * num_timed / timed * state.batch_size)))
