"""Padding, upsampling, and the convolutions whose output is the image."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diptych.config import Upsampling
from diptych.networks.exporting import is_exporting
from diptych.networks.layout import is_channels_last


class ReflectionPad2d(nn.ReflectionPad2d):
    """Reflection padding: ``(B, C, H, W)`` to ``(B, C, H + 2p, W + 2p)`` in the same dtype.

    Without autocast, which would convert bf16 to float32 and back on a CPU. On a CPU, torch's gradient of contiguous
    tensors takes two to three times as long as that of ``Reflection``; on CUDA, it sums in no fixed order.
    """

    def forward(self, x: Tensor) -> Tensor:
        if is_exporting():
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            is_slow = x.device.type == "cpu" and not is_channels_last(x) and not torch.compiler.is_compiling()
            if is_slow or (x.is_cuda and torch.are_deterministic_algorithms_enabled()):
                return Reflection.apply(x, self.padding)  # type: ignore[no-any-return, no-untyped-call]
            return super().forward(x)


class Reflection(torch.autograd.Function):
    """Reflection padding (left, right, top, bottom). Its gradient is computed by slices, in a fixed order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        ctx.padding = padding
        return F.pad(x, padding, mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return FoldedEdges.apply(gradients[0], ctx.padding), None  # type: ignore[no-untyped-call]


class FoldedEdges(torch.autograd.Function):
    """The transpose of ``Reflection``: adds each pixel of the edges to the pixel that it is a reflection of.

    A separate function, for double backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        ctx.padding = padding
        for dim, (before, after) in ((2, padding[2:]), (3, padding[:2])):
            size = x.shape[dim] - before - after
            inside = x.narrow(dim, before, size).clone(memory_format=torch.contiguous_format)
            inside.narrow(dim, 1, before).add_(x.narrow(dim, 0, before).flip(dim))
            inside.narrow(dim, size - 1 - after, after).add_(x.narrow(dim, before + size, after).flip(dim))
            x = inside
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return Reflection.apply(gradients[0], ctx.padding), None  # type: ignore[no-untyped-call]


class ResizeConv2d(nn.Module):
    """Doubles height and width by resizing, then convolves 3×3, so that all output pixels sum equal numbers of terms.

    ``(B, in, H, W)`` to ``(B, out, 2H, 2W)``.
    Source: Odena, Dumoulin, Olah 2016, Deconvolution and Checkerboard Artifacts.
    """

    def __init__(self, in_channels: int, out_channels: int, *, mode: Upsampling, bias: bool) -> None:
        super().__init__()
        self.mode = mode
        self.resize = nn.Upsample(scale_factor=2, mode=mode, align_corners=False if mode == "bilinear" else None)
        self.pad = ReflectionPad2d(1)
        self.conv = nn.Conv2d(in_channels, out_channels, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(self.resize(x)))  # type: ignore[no-any-return]


class BlurDown(nn.Module):
    """Blurs with [1 2 1]⊗[1 2 1] / 16, then keeps every second pixel: ``(B, C, H, W)`` to ``(B, C, ⌈H/2⌉, ⌈W/2⌉)``.

    Source: Zhang 2019, Making Convolutional Networks Shift-Invariant Again, as CUT's networks use it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pad = ReflectionPad2d(1)
        self.register_buffer("filt", _blur_filter((1.0, 2.0, 1.0), channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(x), self.get_buffer("filt").to(x.dtype), stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Doubles height and width with the filter [1 3 3 1]⊗[1 3 3 1] / 16: ``(B, C, H, W)`` to ``(B, C, 2H, 2W)``.

    Source: as ``BlurDown``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", 4 * _blur_filter((1.0, 3.0, 3.0, 1.0), channels))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        larger = F.conv_transpose2d(padded, self.get_buffer("filt").to(x.dtype), stride=2, padding=2, groups=x.shape[1])
        return larger[:, :, 1:-1, 1:-1]


def _blur_filter(taps: tuple[float, ...], channels: int) -> Tensor:
    """A separable filter with sum 1, for each channel by itself: ``(channels, 1, k, k)``."""
    row = torch.tensor(taps) / sum(taps)
    return torch.outer(row, row).repeat(channels, 1, 1, 1)


def upsample(in_channels: int, out_channels: int, *, mode: Upsampling, bias: bool) -> list[nn.Module]:
    """Layers that double height and width: CycleGAN's transposed convolution, CUT's blur, or ``ResizeConv2d``."""
    match mode:
        case "transposed":
            return [nn.ConvTranspose2d(in_channels, out_channels, 3, 2, padding=1, output_padding=1, bias=bias)]
        case "blur":
            return [BlurUp(in_channels), nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)]
        case _:
            return [ResizeConv2d(in_channels, out_channels, mode=mode, bias=bias)]


def in_float32(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer`` of ``x``, in float32 where autocast would compute in bf16 or fp16.

    For the layer whose output is the image: in bf16, an image has too few values for more than 8 bits.
    """
    if x.is_meta or not torch.is_autocast_enabled(x.device.type):
        return layer(x)
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


class OutputConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose output is the image; see ``in_float32``."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return in_float32(super().forward, x) if output_size is None else super().forward(x, output_size)


class ColumnsConv2d(nn.Conv2d):
    """A convolution to few channels, fast on a CPU: ``(B, in, H, W)`` to ``(B, out, H - k + 1, W - k + 1)``.

    Processors compute 16 or 32 output channels at once, so most of a convolution to 3 channels is wasted. Here each
    column of the k×k kernel computes ``out`` channels of its own. The k parts are shifted and summed in float32 or
    float64: the same products in another order. Elsewhere, see ``in_float32``.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or is_exporting():
            return in_float32(super().forward, x)
        columns = self.weight.flip(3).permute(3, 0, 1, 2)  # (k, out, in, k), the last column first
        partial = F.conv2d(x, columns.flatten(0, 1).unsqueeze(3))
        total: Tensor = ShiftedSum.apply(partial, len(columns))  # type: ignore[no-untyped-call]
        return total if self.bias is None else total + self.bias.view(1, -1, 1, 1)


class ShiftedSum(torch.autograd.Function):
    """Sums k groups of C channels, group i shifted left by k - 1 - i: ``(B, k * C, H, W + k - 1)`` to ``(B, C, H, W)``.

    The sum is in float32 or float64. Autograd's own backward would fill k tensors of the input's size with zeros.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, num: int) -> Tensor:
        ctx.num, ctx.dtype, ctx.channels_last = num, x.dtype, is_channels_last(x)
        width = x.shape[3] - num + 1
        last, *others = (group[..., num - 1 - i : num - 1 - i + width] for i, group in enumerate(x.chunk(num, 1)))
        total = last.to(torch.promote_types(x.dtype, torch.float32), copy=True)
        for other in others:
            total += other
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ShiftedCopies.apply(gradients[0], ctx.num, ctx.dtype, ctx.channels_last), None  # type: ignore[no-untyped-call]


class ShiftedCopies(torch.autograd.Function):
    """The transpose of ``ShiftedSum``: a separate function, for double backward.

    If the tensor is channels-last, all copies are one view of the padded tensor: each pixel's k * C channels are
    adjacent.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, num: int, dtype: torch.dtype, channels_last: bool) -> Tensor:
        ctx.num, ctx.dtype = num, x.dtype
        windows = F.pad(x.to(dtype), (num - 1, num - 1)).unfold(3, num, 1)  # (B, C, H, W + k - 1, k)
        if channels_last:
            return windows.permute(0, 2, 3, 4, 1).flatten(3).permute(0, 3, 1, 2)
        return windows.permute(0, 4, 1, 2, 3).flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        return ShiftedSum.apply(gradients[0], ctx.num).to(ctx.dtype), None, None, None  # type: ignore[no-untyped-call]
