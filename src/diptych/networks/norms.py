"""Normalisation layers."""

import contextlib
from collections.abc import Iterator

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
    gradient is channels-last (torch 2.13). Here each channels-last image is a batch for batch norm, and contiguous
    images are rows for layer norm: the same numbers without copies, with statistics in float32 or float64. Other
    devices, compiled and exported graphs use torch's own layer. Source: Ulyanov et al. 2016, equation 3.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling() or is_exporting():
            return F.instance_norm(x, eps=self.eps)
        if not is_channels_last(x):
            return F.layer_norm(x, x.shape[2:], eps=self.eps)
        images = [F.batch_norm(image, None, None, training=True, eps=self.eps) for image in torch.split(x, 1)]
        return images[0] if len(images) == 1 else torch.cat(images)

    def normalise(self, x: Tensor, variance: Tensor, mean: Tensor) -> Tensor:
        """``x`` normalised by given statistics, each ``(B, C, 1, 1)``, in their dtype."""
        return (x - mean) * torch.rsqrt(variance + self.eps)


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
