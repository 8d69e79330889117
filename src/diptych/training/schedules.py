"""Learning-rate schedules, as a factor of the initial rate."""

import math

from diptych.config import ScheduleKind

STEP_FACTOR = 0.1


def factor(kind: ScheduleKind, step: float, num_steps: int, decay_fraction: float) -> float:
    """The factor during ``step`` (from 0, less than ``num_steps``); a step is an epoch or an update. Never 0.

    Linear: 1, then decay over the last ``decay_fraction``. For CycleGAN's 100 + 100 epochs, epoch k (from 1) has
    1 − max(0, k − 100)/(100 + 1) (CycleGAN paper, section 4; the authors' code since 2022).
    Cosine: ½(1 + cos(π step/num_steps)). Step: divided by 10 after each ``decay_fraction`` of the run.
    """
    match kind:
        case "linear":
            num_decaying = round(num_steps * decay_fraction)
            return 1 - max(0, step + 1 - (num_steps - num_decaying)) / (num_decaying + 1)
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * step / num_steps))
        case "step":
            return float(STEP_FACTOR ** (step // max(1, round(num_steps * decay_fraction))))
