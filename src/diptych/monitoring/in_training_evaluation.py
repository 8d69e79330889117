"""In-training evaluation: a fast score of held-out pictures that selects the best model."""

import time
from collections.abc import Mapping
from statistics import mean
from typing import Any

import numpy as np

from diptych.data.encoding import Array, from_network, to_network
from diptych.data.transforms import stack
from diptych.errors import MissingExtraError
from diptych.evaluation.distances import kid
from diptych.evaluation.feature_networks import load_features
from diptych.evaluation.features import FeatureNetwork
from diptych.evaluation.metrics import l1
from diptych.inference.forward import Forward
from diptych.monitoring.context import RunContext
from diptych.monitoring.progress import Display
from diptych.monitoring.samples import sample_pictures
from diptych.pair import Direction, Pair

SCORING_FRACTION = 0.05
"""Largest fraction of the training time for scores. Except for the first, a score that would exceed it is skipped."""
MAX_PICTURES = 32
MIN_FOR_KID = 8
"""KID of fewer pictures is too noisy."""


class InTrainingEvaluation:
    """Scores at most 32 held-out pictures of each domain at training size; lower is better.

    For paired data, the score is the mean absolute difference from the true picture (0 to 255). Otherwise it is the
    mean KID of the directions, which needs the extra ``evaluate``.
    """

    def __init__(self, context: RunContext, display: Display) -> None:
        config, self.device = context.config, context.device
        self.num_directions = len(config.method.directions)
        self.paired, self.seed = config.method.paired, config.optimiser.seed
        self.history: list[float] = [record["score"]["value"] for record in context.run.metrics() if "score" in record]
        self.started, self.spent, self.last_cost = time.monotonic(), 0.0, 0.0
        is_scored = config.output.score and all(map(len, context.split.test))
        self.pictures: Pair[list[Array]] = (
            sample_pictures(context.split.test, config, MAX_PICTURES) if is_scored else Pair([], [])
        )
        self.network = None if self.paired else self._load_network(display)
        self.real = self.pictures.map(self.network) if self.network else None

    def _load_network(self, display: Display) -> FeatureNetwork | None:
        if min(map(len, self.pictures)) < MIN_FOR_KID:
            return None
        try:
            return load_features(device=self.device)
        except MissingExtraError as error:
            display.note(f"no scores while training: {error.problem}: {error.cure}")
            return None

    @property
    def criterion(self) -> str:
        """What is measured."""
        if self.network is None:
            return "L1 to the true picture (0 to 255)"
        return self.network.label("KID") + (", mean of the directions" if self.num_directions == 2 else "")

    def score(self, generators: Mapping[Direction, Forward]) -> dict[str, Any] | None:
        """A score for ``metrics.jsonl``; None if nothing can be scored, or if scoring would take too long."""
        if not (self.network or (self.paired and self.pictures.a)):
            return None
        started = time.monotonic()
        if self.history and self.spent + self.last_cost > SCORING_FRACTION * (started - self.started):
            return None
        values: dict[str, float] = {direction: self._value(generators, direction) for direction in generators}
        value = mean(values.values())
        self.last_cost = time.monotonic() - started
        self.spent += self.last_cost
        best = not self.history or value < min(self.history)
        self.history.append(value)
        fraction = round(self.spent / max(time.monotonic() - self.started, 1e-9), 4)
        return {"criterion": self.criterion, "value": value, "best": best, "fraction_of_time": fraction} | values

    def _value(self, generators: Mapping[Direction, Forward], direction: Direction) -> float:
        source, target = self.pictures.along(direction)
        translations = [self._translate(generators[direction], picture) for picture in source]
        if self.network and self.real:
            return kid(self.real.along(direction)[1], self.network(translations), seed=self.seed)
        return mean(map(l1, translations, target))

    def _translate(self, generator: Forward, picture: Array) -> Array:
        return np.asarray(from_network(generator(to_network(stack([picture]), self.device)))[0])

    def has_plateaued(self, patience: int) -> bool:
        """Whether none of the last ``patience`` scores is better than all scores before; False if ``patience`` is 0."""
        return 0 < patience < len(self.history) and min(self.history[-patience:]) >= min(self.history[:-patience])
