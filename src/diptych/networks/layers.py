"""The layers that networks share: the choice of normalisation, upsampling and reflection at the edge."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn

from diptych.config import Norm, Upsampling
from diptych.networks.cpu import InstanceNorm2d, ReflectionPad2d


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Instance norm without parameters or running statistics, batch norm with both, or nothing (paper, appendix
    7.2)."""
    match norm:
        case "instance":
            return InstanceNorm2d(channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "none":
            return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether the convolutions of a network have a bias: with instance norm, as the authors' code has it."""
    return norm == "instance"


def running_statistics_kept(
    network: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    """Contexts for a forward pass and for one that repeats it: only the first moves the running statistics of batch
    norm."""
    return contextlib.nullcontext(), _still(network)


@contextlib.contextmanager
def _still(network: nn.Module) -> Iterator[None]:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches


class ResizeConv2d(nn.Module):
    """Doubles height and width by resizing, then convolves 3×3, so that no output pixel gets more terms than another.

    ``(B, in, H, W)`` to ``(B, out, 2H, 2W)``.
    Source: Odena, Dumoulin, Olah 2016, Deconvolution and Checkerboard Artifacts.
    """

    def __init__(self, in_channels: int, out_channels: int, *, mode: Upsampling, bias: bool) -> None:
        super().__init__()
        self.resize = nn.Upsample(scale_factor=2, mode=mode, align_corners=False if mode == "bilinear" else None)
        self.pad = ReflectionPad2d(1)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(self.resize(x)))  # type: ignore[no-any-return]


def upsample(in_channels: int, out_channels: int, *, mode: Upsampling, bias: bool) -> nn.Module:
    """A layer that doubles height and width: the paper's transposed convolution, or ``ResizeConv2d``."""
    if mode == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=bias)
    return ResizeConv2d(in_channels, out_channels, mode=mode, bias=bias)
