"""The memory layout of tensors."""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether ``(B, C, H, W)`` is channels-last but not contiguous (a tensor of one channel is both)."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
