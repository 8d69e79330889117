"""``--time`` while a run trains: measures how long everything takes, and revises how many images fit into the time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from diptych.config import TrainConfig
from diptych.monitoring.in_training_evaluation import SCORING_FRACTION
from diptych.revisions import Pace, Revision
from diptych.training.plan.length import Length, parse_time

REVISED_FRACTION = 0.01
"""Fraction of ``--time`` between two revisions."""
SAMPLING_FRACTION = 0.1
"""Largest fraction of ``--time`` that is planned for sample grids. If they become slower, each may take twice that
fraction of the time since the last one."""
SAVED_FRACTION = 0.25
"""Largest fraction of ``--time`` between two checkpoints. What a killed run loses counts as used."""
NEWEST_WEIGHT = 0.5
"""Weight of the newest measurement in the speed of updates and of sample grids."""


class Budget:
    """The time of a run. It starts when the command does, and includes ``used``: seconds of earlier processes that
    trained the run.

    ``afterwards`` is work of the caller after training, as the number of sample grids that take as long.
    """

    def __init__(
        self,
        config: TrainConfig,
        pace: Pace,
        *,
        batch_size: int,
        used: float = 0.0,
        started: float | None = None,
        afterwards: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.pace, self.batch_size = config, pace, batch_size
        self.afterwards, self.clock = afterwards, clock
        self.seconds, self.used_before = parse_time(config.length.time or ""), used
        self.started = clock() if started is None else started
        self.sampled = self.clock()
        """When the last sample grid ended."""
        self.scoring_seconds = 0.0
        """Seconds spent on scores in this process."""
        self.restart(0)

    def __str__(self) -> str:
        passed = f", of which {self.used_before:.0f} s have passed" if self.used_before else ""
        return f"revised to end after {self.config.length.time}{passed}"

    @property
    def used(self) -> float:
        """Seconds of the time that have passed."""
        return self.used_before + self.clock() - self.started

    @property
    def save_seconds(self) -> float:
        """Seconds between checkpoints."""
        return min(60 * self.config.output.save_minutes, SAVED_FRACTION * self.seconds)

    @property
    def has_time_to_sample(self) -> bool:
        """Whether enough time has passed since the last sample grid for another one before the end."""
        return self.clock() - self.sampled >= self.pace.sample_seconds / (2 * SAMPLING_FRACTION)

    @property
    def is_due(self) -> bool:
        """Whether it is time for a revision."""
        return self.clock() - self.window_started >= REVISED_FRACTION * self.seconds

    def restart(self, pictures: int) -> None:
        """Measures the speed of updates from here on, after ``pictures`` images per domain."""
        self.window_pictures, self.window_started, self.other_seconds = pictures, self.clock(), 0.0

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Context of writing a checkpoint."""
        started = self.clock()
        yield
        seconds = self.clock() - started
        self.other_seconds += seconds
        self.pace = self.pace._replace(save_seconds=seconds)

    @contextmanager
    def sampling(self, scoring_seconds: Callable[[], float]) -> Iterator[None]:
        """Context of a sample grid with its alarms and its score. ``scoring_seconds`` returns the seconds spent on
        scores so far."""
        started = self.clock()
        yield
        seconds, score_seconds = self.clock() - started, scoring_seconds() - self.scoring_seconds
        self.other_seconds += seconds
        self.scoring_seconds += score_seconds
        self.sampled = self.clock()
        if score_seconds or self.pace.score_seconds is None:  # 0 if it was skipped
            self.pace = self.pace._replace(score_seconds=score_seconds)
        sample_seconds = _mean(seconds - score_seconds, self.pace.sample_seconds)
        self.pace = self.pace._replace(sample_seconds=sample_seconds)

    def revise(self, length: Length, pictures: int) -> Revision:
        """A plan for the rest of the time, after ``pictures`` images per domain of ``length``."""
        self._measure(pictures)
        requested = self.config.output.num_samples or 0
        num_samples = max(1, requested - length.num_passed(requested, pictures))
        num_updates = max(0, round(self._images_left(num_samples) / self.batch_size))
        return Revision(pictures, pictures + num_updates * self.batch_size, self.used, self.pace)

    def _measure(self, pictures: int) -> None:
        """Measures the speed of updates since the last revision, and averages it into the pace."""
        number = pictures - self.window_pictures
        seconds = self.clock() - self.window_started - self.other_seconds
        if number > 0 and seconds > 0:
            seconds_per_picture = _mean(seconds / number, 1 / self.pace.pictures_per_second)
            self.pace = self.pace._replace(pictures_per_second=1 / seconds_per_picture)
        self.restart(pictures)

    def _images_left(self, num_samples: int) -> float:
        """Images per domain that fit into the rest of the time, beside ``num_samples`` sample grids with their scores,
        the checkpoints, and the caller's work afterwards."""
        left, pace = self.seconds - self.used, self.pace
        update_seconds = self.batch_size / pace.pictures_per_second
        num_saves = 1 + max(0, int(left / (max(self.save_seconds, update_seconds) + pace.save_seconds)))
        left -= num_saves * pace.save_seconds + (1 + self.afterwards) * pace.sample_seconds
        left -= min((num_samples - 1) * pace.sample_seconds, 2 * SAMPLING_FRACTION * max(0.0, left))
        return pace.pictures_per_second * (left - self._scoring_seconds(num_samples))

    def _scoring_seconds(self, num_samples: int) -> float:
        """Seconds that the scores of ``num_samples`` sample grids will take. A score over the limit is skipped."""
        allowed = SCORING_FRACTION * (self.seconds - self.used_before) - self.scoring_seconds
        each = self.pace.score_seconds
        if not self.config.output.score or each == 0:
            return 0.0
        return max(0.0, allowed if each is None else each * min(num_samples, int(allowed / each)))


def _mean(newest: float, before: float) -> float:
    """Exponential moving average of measurements."""
    return NEWEST_WEIGHT * newest + (1 - NEWEST_WEIGHT) * before
