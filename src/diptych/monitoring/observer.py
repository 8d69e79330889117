"""The sampling points of a run: sample grids, alarms and scores of held-out pictures."""

from collections.abc import Mapping
from typing import Any

from diptych.inference.forward import Forward
from diptych.monitoring.alarms import Alarm
from diptych.monitoring.context import RunContext
from diptych.monitoring.grid import Block
from diptych.monitoring.in_training_evaluation import InTrainingEvaluation
from diptych.monitoring.monitor import Monitor
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import sample_blocks, sample_pictures
from diptych.pair import Direction, DomainName


class Observer:
    """Reads the pictures for samples and scores once; ``observe`` uses them at each sampling point.

    Raises:
        PictureError: a held-out picture, or a training picture to compare it with, cannot be read.
    """

    def __init__(self, context: RunContext, display: Display) -> None:
        self.context = context
        self.pictures = sample_pictures(context.split.shown, context.config)
        self.monitor = Monitor(context, self.pictures, display)
        self.evaluation = InTrainingEvaluation(context, display)

    def sample(self, generators: Mapping[Direction, Forward]) -> list[Block]:
        """The sample pictures and their translations, for the sample grid and the report."""
        paired = self.context.config.method.paired
        return sample_blocks(generators, self.pictures, self.context.names, self.context.device, paired=paired)

    def observe(
        self,
        generators: Mapping[Direction, Forward],
        discriminators: Mapping[DomainName, Forward],
        images_seen: int,
        total: int,
    ) -> tuple[list[Block], list[Alarm], dict[str, Any] | None]:
        """Samples, alarms and the score, if there is one, after ``images_seen`` of ``total`` images per domain."""
        alarms = self.monitor.check(generators, discriminators, images_seen, total)
        return self.sample(generators), alarms, self.evaluation.score(generators)
