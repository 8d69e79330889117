"""The length of a run, in images per domain."""

import re
from collections.abc import Sequence
from dataclasses import replace

from diptych.config import LengthConfig, TrainConfig
from diptych.config.constraints import resolved
from diptych.errors import OptionError
from diptych.revisions import Pace, Revision, with_revision


class Length:
    """The number of images per domain at the end of a run, and how far a run is. With ``--time``, it is revised.

    A run goes through its learning-rate schedule, from step 0 to the last one of its first plan. A revision changes
    how many images the remaining steps take. So the step is a continuous, piecewise linear function of the number of
    images, and never jumps.
    """

    def __init__(self, revisions: Sequence[Revision]) -> None:
        self.revisions = list(revisions)
        self._pieces: dict[int, tuple[int, float, int]] = {}

    @classmethod
    def fixed(cls, total: int) -> "Length":
        """A length that is not revised."""
        return cls([Revision(0, total, 0.0, Pace(0.0, 0.0))])

    @property
    def total(self) -> int:
        """Images per domain at the end of the run."""
        return self.revisions[-1].total

    def revise(self, revision: Revision) -> None:
        """Changes the plan from ``revision.pictures`` on."""
        self.revisions = with_revision(self.revisions, revision)
        self._pieces.clear()

    def step(self, pictures: int, unit: int) -> tuple[float, int]:
        """The step of the schedule after ``pictures`` images, at or after the last revision; and the number of steps.

        A step has ``unit`` images in the first plan. Without revisions, the step is ``pictures // unit``.
        """
        num_steps = -(-self.revisions[0].total // unit)
        if unit not in self._pieces:
            self._pieces[unit] = self._last_piece(unit, num_steps)
        return _interpolated(pictures // unit, self._pieces[unit], num_steps), num_steps

    def _last_piece(self, unit: int, num_steps: int) -> tuple[int, float, int]:
        """The piece since the last revision: the index of its first unit, the step there, and the index of its end."""
        piece = 0, 0.0, num_steps
        for revision in self.revisions[1:]:
            index = revision.pictures // unit
            piece = index, _interpolated(index, piece, num_steps), -(-revision.total // unit)
        return piece

    def num_passed(self, number: int, pictures: int) -> int:
        """How many of ``number`` points, spread evenly over the run, lie at or before ``pictures`` images."""
        step, num_steps = self.step(pictures, 1)
        return int(number * step / num_steps)


def _interpolated(index: int, piece: tuple[int, float, int], num_steps: int) -> float:
    """The step at ``index`` of the ``piece`` of a schedule that ends at ``num_steps``."""
    start, step, end = piece
    return step + (num_steps - step) * (index - start) / max(1, end - start)


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


def length_or_stored(given: LengthConfig, stored: LengthConfig) -> LengthConfig:
    """``given``, or the length of the run to resume or fork, ``stored``, if ``given`` names none."""
    return given if is_given(given) else replace(stored, patience=given.patience)


def refuse_two_lengths(length: LengthConfig) -> None:
    """Raises ``OptionError`` if ``length`` has a time and another length."""
    others = [name for name in ("epochs", "pictures") if getattr(length, name) is not None]
    if length.time is not None and others:
        raise OptionError(f"--time and --{others[0]} are given", cure="give one of them")


def is_given(length: LengthConfig) -> bool:
    """Whether ``length`` names a length."""
    return replace(length, patience=0) != LengthConfig()


def total_pictures(config: TrainConfig, epoch_size: int, *, world_size: int = 1, start: int = 0) -> int:
    """The length in images of a run without a time: ``pictures`` where it is given, otherwise ``epochs``. It is rounded
    up so that the run has whole updates from ``start`` on.

    Raises:
        OptionError: the length or the batch size is below 1.
    """
    length, batch_size = config.length, resolved(config.optimiser.batch_size)
    pictures = length.pictures if length.pictures is not None else round((length.epochs or 0) * epoch_size)
    if batch_size < 1 or pictures < 1:
        problem = f"a run of {pictures} pictures with batch-size {batch_size}"
        raise OptionError(problem, cure="give at least 1 picture and batch-size 1")
    global_batch_size = batch_size * world_size
    return pictures + (start - pictures) % global_batch_size
