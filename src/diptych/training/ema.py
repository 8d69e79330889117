"""The exponential moving average (EMA) of weights: its translations vary less between updates."""

import copy

import torch
from torch import nn


class Ema:
    """An exponential moving average of a module's parameters. Buffers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module, num_updates: int) -> None:
        """Updates the average with ``module`` after update ``num_updates`` (from 1): θ̄ ← d θ̄ + (1 − d) θ.

        The decay is d = min(decay, (1 + n) / (10 + n)): low at first, so that the initial weights lose influence.
        """
        decay = min(self.decay, (1 + num_updates) / (10 + num_updates))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
        for average, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(buffer)
