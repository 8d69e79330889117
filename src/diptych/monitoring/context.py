"""The input of monitoring."""

from dataclasses import dataclass

import torch

from diptych.config import TrainConfig
from diptych.data.sources import Split
from diptych.pair import Pair
from diptych.run import Run


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What monitoring needs of a run, without the training state."""

    config: TrainConfig
    """Resolved."""
    run: Run
    names: Pair[str]
    split: Split
    """Training and held-out pictures; there may be no held-out ones."""
    device: torch.device
