"""How far indicators are from their alarms."""

import math
from collections.abc import Mapping

from diptych.monitoring.alarms import RULES


def assert_clear(numbers: Mapping[str, float]) -> None:
    """Each of the ``numbers`` keeps at least a third of its bound away from it, on the sound side."""
    for name, value in numbers.items():
        low, high = RULES[name].low, RULES[name].high
        bound = low if math.isfinite(low) else high
        assert min(value - low, high - value) > abs(bound) / 3, f"{name} {value:.3g} is close to {bound}"
