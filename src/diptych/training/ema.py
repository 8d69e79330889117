"""The running mean of the generators' weights, which translates more steadily than any one moment of them."""

import copy

import torch
from torch import nn


class Ema:
    """An exponential moving average of a module's parameters; buffers are copied as they are."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module = copy.deepcopy(module).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, module: nn.Module, num_updates: int) -> None:
        """Takes in ``module`` after its update number ``num_updates`` (from 1).

        The decay begins low, min(decay, (1 + n) / (10 + n)), so that the initial weights are soon forgotten.
        """
        decay = min(self.decay, (1 + num_updates) / (10 + num_updates))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)
        for mean, buffer in zip(self.module.buffers(), module.buffers(), strict=True):
            mean.copy_(buffer)
