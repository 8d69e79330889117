"""Scores, each beside its reference values, which show what it means."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diptych.evaluation.features import FeatureNetwork

Better = Literal["lower", "higher"]
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Score:
    """A number and its reference values; None if there is no such value."""

    name: str
    better: Better | None
    """None if it should be close to the value of real pictures."""
    trained: float
    interval: tuple[float, float] | None = None
    """95 % confidence interval of ``trained``."""
    untranslated: float | None = None
    """Of the untranslated source pictures."""
    untrained: float | None = None
    """Of generators with initial weights."""
    real: float | None = None
    """Of real pictures: one half against the other half, or all of them if the score needs no reference."""

    def beats(self, reference: float | None) -> bool:
        """Whether ``trained`` is better than ``reference``; True if they cannot be compared."""
        if reference is None or self.better is None:
            return True
        return self.trained < reference if self.better == "lower" else self.trained > reference

    def to_json(self) -> dict[str, Any]:
        """As a JSON object with six digits; further digits are noise."""
        interval = None if self.interval is None else [_rounded(value) for value in self.interval]
        numbers = {key: _rounded(getattr(self, key)) for key in ("trained", "untranslated", "untrained", "real")}
        return {"name": self.name, "better": self.better} | numbers | {"interval": interval}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")


OF_FEATURES: dict[str, tuple[str, Better | None]] = {
    "kid": ("KID", "lower"),
    "fid": ("FID", "lower"),
    "density": ("density", "higher"),
    "coverage": ("coverage", "higher"),
    "diversity": ("diversity", None),
    "feature_distance": ("feature distance", "lower"),
}
"""The scores that depend on the feature network, by key: name, and which is better."""
OF_PIXELS: dict[str, tuple[str, Better | None]] = {
    "psnr": ("PSNR, dB", "higher"),
    "ssim": ("SSIM", "higher"),
    "l1": ("L1 (0 to 255)", "lower"),
    "pixel_accuracy": ("per-pixel accuracy", "higher"),
    "class_accuracy": ("class accuracy", "higher"),
    "class_iou": ("class IoU", "higher"),
    "cycle_psnr": ("cycle PSNR, dB", "higher"),
    "cycle_ssim": ("cycle SSIM", "higher"),
    "identity_l1": ("identity L1 (0 to 255)", "lower"),
}
"""The other scores, except those of content."""
OF_CONTENT: dict[str, tuple[str, Better | None]] = {
    "edges_lost": ("edges lost", "lower"),
    "edges_invented": ("edges invented", "lower"),
    "kept_l1": ("L1 in masks (0 to 255)", "lower"),
    "objects_lost": ("objects lost", "lower"),
}
"""Differences from the input. Untranslated pictures have none, and initial weights make few: neither is a reference."""


def tabulate(
    columns: Mapping[str, Mapping[str, float]], interval: tuple[float, float], network: FeatureNetwork
) -> dict[str, Score]:
    """The scores of one direction by key: numbers by column ("trained", ...) and key, and the ``interval`` of KID."""
    named = {key: (network.label(name), better) for key, (name, better) in OF_FEATURES.items()} | OF_PIXELS | OF_CONTENT
    scores = {}
    for key, (name, better) in named.items():
        if key in columns["trained"]:
            compared = ("trained", "real") if key in OF_CONTENT else columns.keys()
            values: dict[str, Any] = {column: columns[column].get(key) for column in compared}
            confidence = interval if key == "kid" else None
            scores[key] = Score(name=name, better=better, interval=confidence, **values)
    return scores


def remarks(scores: dict[str, Score], *, source: str, target: str) -> Iterator[str]:
    """Warnings about the ``scores``, for the user."""
    for column, baseline in (("untranslated", "the untranslated input"), ("untrained", "untrained generators")):
        lost = [
            f"{score.name} ({score.trained:.3g} against {getattr(score, column):.3g})"
            for score in scores.values()
            if not score.beats(getattr(score, column))
        ]
        if lost:
            yield f"{source} to {target} does not beat {baseline} in {', '.join(lost)}"
    kid = scores["kid"]
    if kid.interval and kid.untranslated is not None and kid.trained < kid.untranslated <= kid.interval[1]:
        beats = f"beats the untranslated input in {kid.name}, but the confidence interval includes the input's value"
        yield f"{source} to {target} {beats}: evaluate on more pictures"
