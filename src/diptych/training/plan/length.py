"""The length of a run, in images per domain."""

import re
from dataclasses import replace

from diptych.config import LengthConfig, TrainConfig
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


def with_default(length: LengthConfig, epochs: float) -> LengthConfig:
    """``length``, or ``epochs`` if it names none."""
    return length if _is_given(length) else replace(length, epochs=epochs)


def forked_length(given: LengthConfig, stored: LengthConfig) -> LengthConfig:
    """The length of a fork: ``given``, or that of its parent, ``stored``, if ``given`` names none."""
    return given if _is_given(given) else replace(stored, patience=given.patience)


def resumed_length(given: LengthConfig, stored: LengthConfig) -> LengthConfig:
    """The length of a resumed run: as ``forked_length``, but the same time as before is not measured again."""
    if (given.epochs, given.pictures) == (None, None) and given.time == stored.time:
        return replace(stored, patience=given.patience)
    return forked_length(given, stored)


def _is_given(length: LengthConfig) -> bool:
    return replace(length, patience=0) != LengthConfig()


def total_pictures(config: TrainConfig, epoch_size: int, *, world_size: int = 1, start: int = 0) -> int:
    """The length of a run in images: ``pictures`` where it is given, otherwise ``epochs``. It is rounded up so that the
    run has whole updates from ``start`` on.

    Raises:
        OptionError: the length or the batch size is below 1.
    """
    length, batch_size = config.length, config.optimiser.batch_size
    pictures = length.pictures if length.pictures is not None else round((length.epochs or 0) * epoch_size)
    if batch_size < 1 or pictures < 1:
        problem = f"a run of {pictures} pictures with batch-size {batch_size}"
        raise OptionError(problem, cure="give at least 1 picture and batch-size 1")
    global_batch_size = batch_size * world_size
    return pictures + (start - pictures) % global_batch_size
