"""Alarms: when a number means that a run is failing, said in plain words, with what to try."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """When a number is alarming: below ``low`` or above ``high``."""

    alarm: str
    """What it means, as a person would say it."""
    advice: str
    low: float = -float("inf")
    high: float = float("inf")


RULES: dict[str, Rule] = {
    "luminance_correlation": Rule(
        "colours are inverted: what is light in the picture comes out dark",
        "begin again with another --seed; raise --lambda-identity",
        low=-0.3,
    ),
    "change": Rule(
        "nothing is translated: the output is the input",
        "lower --lambda-identity, or --lambda-a and --lambda-b",
        low=0.01,
    ),
    "relative_spread": Rule(
        "mode collapse: different pictures come out alike",
        "lower --learning-rate, raise --lambda-a and --lambda-b, or give more pictures",
        low=0.2,
    ),
    "hidden_information": Rule(
        "the cycle closes by hidden detail: a slightly disturbed translation does not lead back",
        "lower --lambda-a and --lambda-b; if one domain holds less, lower the cycle that passes through it",
        high=4.0,
    ),
    "relative_checkerboard": Rule(
        "a checkerboard lies over the translations",
        "train longer, or with --generator.upsampling nearest",
        high=3.0,
    ),
    "relative_dots": Rule(
        "a faint lattice of dots lies over the translations",
        "train longer, or with --generator.upsampling nearest",
        high=1.7,
    ),
    "discriminator_loss": Rule(
        "the discriminator is never wrong, so the generator learns nothing from it",
        "lower --learning-rate, or give more pictures",
        low=0.04,
    ),
    "discriminator_guess": Rule(
        "the discriminator does worse than chance_level, so the generator learns nothing from it",
        "raise --discriminator.width, or lower --generator.width",
        high=1.15,
    ),
    "gradient_large": Rule(
        "gradients explode",
        "lower --learning-rate, or give --precision fp32",
        high=1e4,
    ),
    "gradient_small": Rule(
        "gradients vanish",
        "begin again with another --initialisation or --seed, or --precision fp32",
        low=1e-6,
    ),
    "waiting_fraction": Rule(
        "training waits for pictures",
        "raise --num-workers, and where it goes on after the first epoch, --cache-gib or --disk-cache-gib; or put the "
        "pictures on a faster disk",
        high=0.05,
    ),
    "memorised_fraction": Rule(
        "the discriminator knows its training pictures by heart",
        "give more pictures, keep --flip, or stop earlier",
        high=0.6,
    ),
}
"""By the name of the number. Thresholds are chosen so that sound runs keep well clear of them: see docs/log.md."""


QUIET_FRACTION, QUIET_PICTURES = 0.2, 500
"""The part of a run, at its beginning, in which nothing is alarming yet."""


def quiet_until(total: int) -> int:
    """The pictures after which alarms begin, in a run of ``total``."""
    return max(QUIET_PICTURES, round(QUIET_FRACTION * total))


@dataclass(frozen=True)
class Alarm:
    """One alarming number."""

    name: str
    about: str
    """The direction, domain or network that it is about."""
    value: float
    rule: Rule

    @property
    def threshold(self) -> float:
        """The bound that is crossed."""
        return self.rule.low if self.value < self.rule.low else self.rule.high

    def __str__(self) -> str:
        side = "below" if self.value < self.rule.low else "above"
        number = f"{self.name.replace('_', ' ')} {self.value:.3g}, {side} {self.threshold:g}"
        return f"{self.about}: {self.rule.alarm} ({number}): {self.rule.advice}"

    def to_json(self) -> dict[str, Any]:
        """As ``metrics.jsonl`` has it."""
        return {
            "alarm": self.rule.alarm,
            "name": self.name,
            "direction": self.about,
            "value": self.value,
            "threshold": self.threshold,
            "advice": self.rule.advice,
        }


def alarms(about: str, numbers: Mapping[str, float]) -> list[Alarm]:
    """Those of the ``numbers``, by their names in ``RULES``, that are alarming."""
    found = [Alarm(name, about, value, RULES[name]) for name, value in numbers.items()]
    return [alarm for alarm in found if not alarm.rule.low <= alarm.value <= alarm.rule.high]
