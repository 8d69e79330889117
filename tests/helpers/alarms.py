"""Checks how far indicators are from the thresholds of their alarms."""

import math
from collections.abc import Mapping

from diptych.monitoring.alarms import RULES


def assert_clear(numbers: Mapping[str, float]) -> None:
    """Asserts that each number is on the sound side of its threshold, by more than a third of that threshold."""
    for name, value in numbers.items():
        low, high = RULES[name].low, RULES[name].high
        bound = low if math.isfinite(low) else high
        assert min(value - low, high - value) > abs(bound) / 3, f"{name} {value:.3g} is close to {bound}"
