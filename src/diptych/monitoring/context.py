"""What monitoring needs to know about a run."""

from dataclasses import dataclass

import torch

from diptych.config import TrainConfig
from diptych.data.sources import Split
from diptych.pair import Pair
from diptych.run import Run


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """A run, without what trains it."""

    config: TrainConfig
    """Resolved."""
    run: Run
    names: Pair[str]
    split: Split
    """The domains trained on and held out; the latter may be empty."""
    total: int
    """Pictures per domain at the end of the run."""
    device: torch.device
