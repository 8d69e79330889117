"""torch's layers as a CPU does them best: the same numbers and the same keys, only right, or sooner.

On other devices each is torch's own.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm: ``(B, C, H, W)`` to the same, each channel of each picture with mean 0 and variance 1.

    On a CPU the backward of torch's (2.13, eager) is wrong where a batch of one picture, or its gradient, has its
    channels last in memory. There the formula is computed step by step, its mean and variance in float32 or better.
    Source: Ulyanov et al. 2016, equation 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.instance_norm(x, eps=self.eps)
        if not is_channels_last(x):
            made = F.instance_norm(x, eps=self.eps)
            if made.requires_grad:
                made.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
            return made
        exact = x if x.dtype == torch.float64 else x.float()
        variance, mean = torch.var_mean(exact, (2, 3), keepdim=True, correction=0)
        return ((exact - mean) * torch.rsqrt(variance + self.eps)).to(x.dtype)


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection at the edge: ``(B, C, H, W)`` to ``(B, C, H + 2p, W + 2p)``, copied as it is.

    Autocast on a CPU would turn bf16 into float32 for it, and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)


class ColumnsConv2d(nn.Conv2d):
    """A convolution that makes few channels: ``(B, in, H, W)`` to ``(B, out, H - k + 1, W - k + 1)``.

    Processors compute 16 or 32 output channels at once, so that most of a convolution to 3 of them is thrown away. Here
    each column of the k×k kernel makes out channels of its own, k·out in all, and they are shifted and summed: the same
    products in another order, summed in float32 or better.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        columns = self.weight.permute(3, 0, 1, 2)  # (k, out, in, k)
        made = F.conv2d(x, columns.flatten(0, 1).unsqueeze(3))
        total: Tensor = ShiftedSum.apply(made.view(len(x), *columns.shape[:2], *made.shape[2:]))  # type: ignore[no-untyped-call]
        return total if self.bias is None else total + self.bias.view(1, -1, 1, 1)


class ShiftedSum(torch.autograd.Function):
    """Sums ``(B, k, C, H, W + k - 1)`` over its second dimension, number i from place i on: ``(B, C, H, W)``, in
    float32 or better.

    By hand, since autograd would fill k tensors of that size with zeros on the way back.
    """

    @staticmethod
    def forward(ctx: Any, made: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = made.shape, made.dtype
        first, *others = shifted(made)
        total = first.to(torch.promote_types(made.dtype, torch.float32), copy=True)
        for other in others:
            total += other
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        into = gradients[0].new_zeros(ctx.shape, dtype=ctx.dtype)
        for place in shifted(into):
            place.copy_(gradients[0])
        return into


def shifted(made: Tensor) -> list[Tensor]:
    """The parts of ``(B, k, C, H, W + k - 1)`` that ``ShiftedSum`` sums, as views."""
    num = made.shape[1]
    width = made.shape[4] - num + 1
    return [made[:, place, ..., place : place + width] for place in range(num)]


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of ``(B, C, H, W)`` are what lies closest together in memory."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
