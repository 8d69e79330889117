"""Alarms: the thresholds of the indicators, what a crossed threshold means, and what to try."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """Raises an alarm for a number below ``low`` or above ``high``."""

    alarm: str
    """What is wrong."""
    advice: tuple[str, ...]
    """What to try. An entry is left out if the run lacks one of its options."""
    low: float = -float("inf")
    high: float = float("inf")


RULES: dict[str, Rule] = {
    "luminance_correlation": Rule(
        "colours are inverted: light parts of the picture become dark",
        ("start again with another --seed", "raise --lambda-identity", "raise --lambda-nce"),
        low=-0.3,
    ),
    "change": Rule(
        "nothing is translated: the output equals the input",
        ("lower --lambda-identity, or --lambda-a and --lambda-b", "lower --lambda-nce", "lower --lambda-l1"),
        low=0.01,
    ),
    "relative_spread": Rule(
        "mode collapse: translations of different pictures are nearly the same",
        ("lower --learning-rate", "raise --lambda-a and --lambda-b", "raise --lambda-nce", "give more pictures"),
        low=0.2,
    ),
    "relative_edges_lost": Rule(
        "content is lost: the edges of an input are missing in its translation",
        (
            "raise --keep-edges",
            "raise --lambda-a and --lambda-b",
            "raise --lambda-nce",
            "give masks: --masks-a, --masks-b",
        ),
        high=0.85,
    ),
    "relative_edges_invented": Rule(
        "content is invented: the edges of a translation are not in its input",
        ("raise --keep-edges", "leave pictures out that have no counterpart in the other domain"),
        high=0.85,
    ),
    "hidden_information": Rule(
        "hidden information: a slightly disturbed translation cannot be translated back",
        ("lower --lambda-a and --lambda-b: --lambda-a more if B has less detail than A, otherwise --lambda-b",),
        high=4.0,
    ),
    "relative_checkerboard": Rule(
        "the translations show a checkerboard pattern",
        ("train longer", "train with --generator.upsampling bilinear, if it is transposed"),
        high=3.0,
    ),
    "relative_dots": Rule(
        "the translations show a faint lattice of dots",
        ("train longer", "train with --generator.upsampling bilinear, if it is transposed"),
        high=1.7,
    ),
    "relative_discriminator_loss": Rule(
        "the discriminator is never wrong, so the generator learns nothing from it",
        ("lower --learning-rate", "give more pictures"),
        low=0.04,
    ),
    "relative_discriminator_loss_high": Rule(
        "the discriminator is worse than chance, so the generator learns nothing from it",
        ("raise --discriminator.width", "lower --generator.width"),
        high=1.15,
    ),
    "gradient_large": Rule(
        "gradients explode",
        ("lower --learning-rate", "give --precision fp32"),
        high=1e4,
    ),
    "gradient_small": Rule(
        "gradients vanish",
        ("start again with another --initialisation or --seed", "give --precision fp32"),
        low=1e-6,
    ),
    "waiting_fraction": Rule(
        "training waits for pictures",
        ("raise --num-workers", "after the first epoch, raise --cache-gib or --disk-cache-gib", "use a faster disk"),
        high=0.05,
    ),
    "memorised_fraction": Rule(
        "the discriminator has memorised its training pictures",
        ("give more pictures", "keep --flip", "stop earlier"),
        high=0.6,
    ),
}
"""By the name of the indicator. Healthy runs stay far from the thresholds: see docs/log.md."""

MIN_ALARM_FRACTION, MIN_ALARM_PICTURES = 0.2, 500
"""No alarm, except waiting for pictures, is raised in the first fifth of a run, nor in its first 500 pictures."""


def alarms_start_at(total: int) -> int:
    """The number of pictures from which a run of ``total`` raises alarms."""
    return max(MIN_ALARM_PICTURES, round(MIN_ALARM_FRACTION * total))


@dataclass(frozen=True)
class Alarm:
    """A number that crossed a threshold."""

    name: str
    about: str
    """The direction, discriminator, module or data that the number describes."""
    value: float
    rule: Rule
    advice: str

    @property
    def threshold(self) -> float:
        """The threshold that was crossed."""
        return self.rule.low if self.value < self.rule.low else self.rule.high

    def __str__(self) -> str:
        side = "below" if self.value < self.rule.low else "above"
        number = f"{self.name.replace('_', ' ')} {self.value:.3g}, {side} {self.threshold:g}"
        return f"{self.about}: {self.rule.alarm} ({number}): {self.advice}"

    def to_json(self) -> dict[str, Any]:
        """The alarm in a record of ``metrics.jsonl``."""
        return {
            "alarm": self.rule.alarm,
            "name": self.name,
            "about": self.about,
            "value": self.value,
            "threshold": self.threshold,
            "advice": self.advice,
        }


def alarms(about: str, numbers: Mapping[str, float], options: Collection[str]) -> list[Alarm]:
    """An alarm for each of the ``numbers``, named as in ``RULES``, that crossed a threshold.

    ``options`` are the names of the run's options: advice never names another one.
    """
    found = [Alarm(name, about, value, RULES[name], _advice(RULES[name], options)) for name, value in numbers.items()]
    return [alarm for alarm in found if not alarm.rule.low <= alarm.value <= alarm.rule.high]


def _advice(rule: Rule, options: Collection[str]) -> str:
    named = {line: re.findall(r"--([a-z][a-z0-9.-]*)", line) for line in rule.advice}
    return "; or ".join(line for line, names in named.items() if all(name in options for name in names))
