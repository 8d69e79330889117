"""The length of a run, in images per domain."""

import re

from diptych.config import TrainConfig
from diptych.errors import OptionError


def parse_time(text: str) -> float:
    """Seconds in a time such as ``40m``, ``2h30m`` or ``90s``.

    Raises:
        OptionError: ``text`` is not such a time.
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if total == 0:
        raise OptionError(f"time is {text!r}", cure="give a time such as 40m, 2h30m or 90s")
    return float(total)


def total_pictures(config: TrainConfig, epoch_size: int, world_size: int = 1) -> int:
    """The length of a run in images: ``pictures`` where it is given, otherwise ``epochs``; rounded up to whole updates.

    Raises:
        OptionError: the length or the batch size is below 1.
    """
    length, batch_size = config.length, config.optimiser.batch_size
    pictures = length.pictures if length.pictures is not None else round(length.epochs * epoch_size)
    if batch_size < 1 or pictures < 1:
        problem = f"a run of {pictures} pictures with batch-size {batch_size}"
        raise OptionError(problem, cure="give at least 1 picture and batch-size 1")
    global_batch_size = batch_size * world_size
    return -(-pictures // global_batch_size) * global_batch_size
