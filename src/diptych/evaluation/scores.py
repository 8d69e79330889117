"""Scores, each beside its anchors: what it is worth is seen only there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from diptych.evaluation import distances
from diptych.evaluation.features import FeatureNetwork, Features
from diptych.evaluation.measure import Measured
from diptych.rng import Stream, generator

Better = Literal["lower", "higher"]
NUM_SPLITS = 8
"""Random splits of the real pictures in halves, over which what is said of halves is a mean."""
MIN_SPLIT = 4
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number, and what it is to be held against. ``None`` where there is no such thing."""

    name: str
    better: Better | None
    """None where it should be near that of real pictures."""
    trained: float
    interval: tuple[float, float] | None = None
    """Of the trained, with 95 % confidence."""
    untranslated: float | None = None
    """Of the input as it is."""
    untrained: float | None = None
    """Of generators with initial weights."""
    real: float | None = None
    """Of real pictures: of one half against the other, or where it is no comparison, of all."""

    def beats(self, anchor: float | None) -> bool:
        """Whether the trained is better than ``anchor``, where there is one and a better."""
        if anchor is None or self.better is None:
            return True
        return self.trained < anchor if self.better == "lower" else self.trained > anchor

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, with six digits: more are chance."""
        interval = None if self.interval is None else [_rounded(value) for value in self.interval]
        numbers = {key: _rounded(getattr(self, key)) for key in ("trained", "untranslated", "untrained", "real")}
        return {"name": self.name, "better": self.better} | numbers | {"interval": interval}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


MEANS: dict[str, tuple[str, Better]] = {
    "psnr": ("PSNR, dB", "higher"),
    "ssim": ("SSIM", "higher"),
    "l1": ("L1 of 255", "lower"),
    "pixel_accuracy": ("per-pixel accuracy", "higher"),
    "class_accuracy": ("class accuracy", "higher"),
    "class_iou": ("class IoU", "higher"),
    "cycle_psnr": ("cycle PSNR, dB", "higher"),
    "cycle_ssim": ("cycle SSIM", "higher"),
    "identity_l1": ("identity L1 of 255", "lower"),
}
"""The scores that are means over pictures: name, and which is better."""


@dataclass(frozen=True)
class Subjects:
    """What translates."""

    trained: Measured
    untranslated: Measured
    untrained: Measured

    def each(self, function: Callable[[Measured], float | None]) -> dict[str, Any]:
        """``function`` of each by name."""
        return {name: function(measured) for name, measured in vars(self).items()}


def score(subjects: Subjects, network: FeatureNetwork, *, seed: int = 0) -> dict[str, Score]:
    """All scores of one direction by key."""
    return dict(_of_sets(subjects, network, seed)) | dict(_of_pictures(subjects, network))


def _of_sets(subjects: Subjects, network: FeatureNetwork, seed: int) -> Iterator[tuple[str, Score]]:
    """How the translations, as a set, are like the real pictures of their domain, as a set."""
    real = subjects.trained.truth.features
    pairs = list(halves(real, seed))

    def held(function: Callable[[Features, Features], float]) -> dict[str, Any]:
        among = {"real": float(np.mean([function(*pair) for pair in pairs])) if pairs else None}
        return subjects.each(lambda measured: function(real, measured.features)) | among

    def kid(real: Features, made: Features) -> float:
        return distances.kid(real, made, seed=seed)

    interval = distances.kid_interval(real, subjects.trained.features, seed=seed)
    yield "kid", Score(name=network.label("KID"), better="lower", interval=interval, **held(kid))
    yield "fid", Score(name=network.label("FID"), better="lower", **held(distances.fid))
    for place, name in enumerate(("density", "coverage")):
        values = held(lambda real, made, place=place: distances.density_coverage(real, made)[place])  # type: ignore[misc]
        yield name, Score(name=network.label(name), better="higher", **values)
    varied = subjects.each(lambda measured: distances.diversity(measured.features))
    yield "diversity", Score(name=network.label("diversity"), better=None, real=distances.diversity(real), **varied)


def _of_pictures(subjects: Subjects, network: FeatureNetwork) -> Iterator[tuple[str, Score]]:
    """How each translation is like its truth, and what comes back of it."""
    for key, (name, better) in MEANS.items():
        if key in subjects.trained.scores:
            yield key, Score(name=name, better=better, **subjects.each(lambda m, key=key: m.scores.get(key)))  # type: ignore[misc]
        if key == "l1" and (truth := subjects.trained.truth).paired:
            apart = subjects.each(lambda measured: distances.feature_distance(measured.features, truth.features))
            yield "feature_distance", Score(name=network.label("feature distance"), better="lower", **apart)


def halves(real: Features, seed: int) -> Iterator[tuple[Features, Features]]:
    """Random halves of ``real``, of equal size, some times over; none where there are fewer than four pictures."""
    size = len(real) // 2
    for split in range(NUM_SPLITS if len(real) >= MIN_SPLIT else 0):
        order = generator(seed, Stream.SCORES, 2 + split).permutation(len(real))
        yield real[order[:size]], real[order[size : 2 * size]]


def remarks(scores: dict[str, Score], *, source: str, target: str) -> Iterator[str]:
    """In words, what ``scores`` say that a person should not overlook."""
    for anchor, words in (("untranslated", "the untranslated input"), ("untrained", "untrained generators")):
        lost = [
            f"{score.name} ({score.trained:.3g} against {getattr(score, anchor):.3g})"
            for score in scores.values()
            if not score.beats(getattr(score, anchor))
        ]
        if lost:
            yield f"{source} to {target} does not beat {words} in {', '.join(lost)}"
    kid = scores["kid"]
    if kid.interval and kid.untranslated is not None and kid.trained < kid.untranslated <= kid.interval[1]:
        words = f"beats the untranslated input in {kid.name}, but not surely: more pictures would tell"
        yield f"{source} to {target} {words}"
