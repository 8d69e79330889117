"""Normalisation layers."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diptych.config import Norm
from diptych.networks.exporting import is_exporting
from diptych.networks.layout import is_channels_last


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Instance norm without parameters or running statistics, batch norm with both, or nothing (CycleGAN
    paper, appendix 7.2)."""
    match norm:
        case "instance":
            return InstanceNorm2d(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether the convolutions before a norm have a bias: with instance norm only, as in the authors' code."""
    return norm == "instance"


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm: ``(B, C, H, W)`` to the same, each channel of each image with mean 0 and variance 1.

    On a CPU, torch's own layer copies channels-last tensors, and its gradient is wrong if the batch size is 1 and the
    gradient is channels-last (torch 2.13). So contiguous tensors go through layer norm, and channels-last ones through
    ``ChannelsLastNorm``, or if they are small through batch norm, an image at a time. Other devices, compiled and
    exported graphs use torch's own layer. Source: Ulyanov et al. 2016, equation 3.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling() or is_exporting():
            return F.instance_norm(x, eps=self.eps)
        if not is_channels_last(x):
            return F.layer_norm(x, x.shape[2:], eps=self.eps)
        if x.shape[2:].numel() > batch_norm_pixels(x.dtype):
            return ChannelsLastNorm.apply(x, self.eps)[0]  # type: ignore[no-any-return, no-untyped-call]
        images = [F.batch_norm(image, None, None, training=True, eps=self.eps) for image in torch.split(x, 1)]
        return images[0] if len(images) == 1 else torch.cat(images)

    def normalise(self, x: Tensor, variance: Tensor, mean: Tensor) -> Tensor:
        """``x`` normalised by given statistics, each ``(B, C, 1, 1)``, in their dtype."""
        return (x - mean) * torch.rsqrt(variance + self.eps)


class ChannelsLastNorm(torch.autograd.Function):
    """Instance norm of a channels-last tensor: ``(y, 1 / σ)``, with σ² the variance plus ``eps`` and statistics in
    float32 or float64.

    For large images, where batch norm loses digits (see ``batch_norm_pixels``). The second output makes the second
    derivative right: the gradient is a function of both outputs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(x.dtype, torch.float32)
        y = x - _mean(x.to(dtype))
        scale = torch.rsqrt(_mean(y * y) + eps)
        y = y.mul_(scale).to(x.dtype)
        ctx.save_for_backward(y, scale)
        ctx.set_materialize_grads(False)
        return y, scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None]:
        y, scale = ctx.saved_tensors
        g, scale_gradient = gradients
        along_y = torch.zeros_like(scale) if g is None else scale * _mean((g * y).to(scale.dtype))
        if scale_gradient is not None:
            along_y = along_y + scale_gradient * scale**2 / y.shape[2:].numel()
        if g is None:
            return (-along_y * y).to(y.dtype), None
        result = torch.addcmul(-scale * _mean(g.to(scale.dtype)), g, scale)
        return result.addcmul_(y, -along_y).to(y.dtype), None


def batch_norm_pixels(dtype: torch.dtype) -> int:
    """Number of pixels up to which torch's channels-last batch norm is precise enough for ``dtype``.

    It sums all pixels in one float32 number. For tensors without negative values, its error was 8·10⁻⁶ at 64², 10⁻⁴ at
    256² and 2·10⁻³ at 1024².
    """
    return 2**16 if dtype == torch.bfloat16 else 2**12


def _mean(x: Tensor) -> Tensor:
    """The mean over the pixels, ``(B, C, 1, 1)``. Torch sums in blocks, which keeps all digits of float32."""
    return x.sum((2, 3), keepdim=True) / x.shape[2:].numel()


def running_statistics_kept(
    network: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    """Two contexts for ``torch.utils.checkpoint``: for the forward pass, and for its recomputation.

    The recomputation does not update the running statistics of batch norm: the forward pass has done so.
    """
    return contextlib.nullcontext(), _frozen_statistics(network)


@contextlib.contextmanager
def _frozen_statistics(network: nn.Module) -> Iterator[None]:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
