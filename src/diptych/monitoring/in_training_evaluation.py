"""In-training evaluation: a cheap score of held-out images, by which the best model is kept."""

import time
from statistics import mean
from typing import Any

import numpy as np

from diptych.config import Direction
from diptych.data.encoding import Array, from_network, to_network
from diptych.data.transforms import stack
from diptych.errors import MissingExtraError
from diptych.evaluation.distances import kid
from diptych.evaluation.feature_networks import load_features
from diptych.evaluation.features import FeatureNetwork, Features
from diptych.evaluation.metrics import l1
from diptych.inference.forward import Forward, inference_forwards
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import sample_pictures
from diptych.training.plan.plan import Plan
from diptych.training.state import State

MAX_PICTURES = 32
SCORING_FRACTION = 0.05
"""Of the time, what scores may take. A score that would take more is left out."""
MIN_FOR_KID = 8
"""Fewer say nothing of a distribution."""


class InTrainingEvaluation:
    """Scores held-out pictures at the size of training; lower is better.

    Of pairs, the mean absolute difference to the truth, of 255. Else KID, the mean over directions, of at most 32
    pictures; its feature network is in the extra ``evaluate``, without which there are no scores.
    """

    def __init__(self, plan: Plan, state: State, display: Display) -> None:
        self.plan, self.state = plan, state
        self.history: list[float] = [record["score"]["value"] for record in plan.run.metrics() if "score" in record]
        self.begun, self.spent, self.last_cost = time.monotonic(), 0.0, 0.0
        self.paired = plan.config.method.paired
        self.network = self._network(display)
        if self.network is not None or self._scores_pairs:
            data, stride = plan.config.data, plan.config.generator.stride
            self.pictures = plan.split.test.map(
                lambda domain, channels: sample_pictures(
                    domain, data, channels=channels, stride=stride, number=MAX_PICTURES
                ),
                plan.channels,
            )
            self.real = None if self.network is None else self.pictures.map(self.network)

    @property
    def _scores_pairs(self) -> bool:
        return self.paired and self.plan.config.output.score and len(self.plan.split.test.a) > 0

    @property
    def criterion(self) -> str:
        """What the value is."""
        return (
            "L1 to the truth, of 255"
            if self.network is None
            else f"{self.network.label('KID')}, mean of the directions"
        )

    def _network(self, display: Display) -> FeatureNetwork | None:
        """The feature network, where one is needed and there is one."""
        if self.paired or not self.plan.config.output.score or min(map(len, self.plan.split.test)) < MIN_FOR_KID:
            return None
        try:
            return load_features(device=self.state.device.torch_device)
        except MissingExtraError as error:
            display.note(f"no scores while training: {error.problem}: {error.cure}")
            return None

    def score(self) -> dict[str, Any] | None:
        """The score of now, as ``metrics.jsonl`` has it; None where it would take too long, or there is none."""
        if self.network is None and not self._scores_pairs:
            return None
        elapsed = time.monotonic() - self.begun
        if self.history and self.spent + self.last_cost > SCORING_FRACTION * elapsed:
            return None
        started = time.monotonic()
        values = self._values()
        value = mean(values.values())
        self.last_cost = time.monotonic() - started
        self.spent += self.last_cost
        best = not self.history or value < min(self.history)
        self.history.append(value)
        share = round(self.spent / max(time.monotonic() - self.begun, 1e-9), 4)
        directions = {str(direction): number for direction, number in values.items()}
        return {"criterion": self.criterion, "value": value, "best": best, "fraction_of_time": share} | directions

    def is_flat(self, patience: int) -> bool:
        """Whether the last ``patience`` scores all were no better than one before them; never, where that is 0."""
        return 0 < patience < len(self.history) and min(self.history[-patience:]) >= min(self.history[:-patience])

    def _values(self) -> dict[Direction, float]:
        networks = self.state.inference_generators()
        values: dict[Direction, float] = {}
        with inference_forwards(networks, self.state.device) as translators:
            for direction, translate in translators.items():
                given, wanted = self.pictures.along(direction)
                made = [self._translated(translate, picture) for picture in given]
                values[direction] = (
                    mean(l1(*pair) for pair in zip(made, wanted, strict=True))
                    if self.network is None
                    else kid(self._real(direction), self.network(made), seed=self.plan.config.optimiser.seed)
                )
        return values

    def _real(self, direction: Direction) -> Features:
        assert self.real is not None
        return self.real.along(direction)[1]

    def _translated(self, translate: Forward, picture: Array) -> Array:
        return np.asarray(from_network(translate(to_network(stack([picture]), self.state.device.torch_device)))[0])
