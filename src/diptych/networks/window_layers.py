"""The layers of a generator as layers on windows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from diptych.errors import OptionError
from diptych.networks.convolutions import (
    BlurDown,
    BlurUp,
    ColumnsConv2d,
    OutputConvTranspose2d,
    ReflectionPad2d,
    ResizeConv2d,
    in_float32,
)
from diptych.networks.norms import InstanceNorm2d
from diptych.networks.stages import Add, Concatenate, Keep, Layer, Staged
from diptych.networks.windows import (
    Convolution,
    Doubling,
    Pad,
    Pointwise,
    SpatialLayer,
    TransposedConvolution,
    Window,
    WindowLayer,
)

POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Dropout, nn.Dropout2d)
"""Layers that map each pixel by itself, in evaluation mode."""
SPATIAL = (
    InstanceNorm2d, ReflectionPad2d, nn.ReflectionPad2d, nn.Conv2d, ColumnsConv2d, nn.ConvTranspose2d,
    OutputConvTranspose2d, BlurDown, BlurUp, ResizeConv2d,
)  # fmt: skip
PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}


@dataclass(frozen=True)
class Normalisation(WindowLayer):
    """Instance norm with given statistics."""

    module: InstanceNorm2d

    def normalise(self, window: Window, mean: Tensor, variance: Tensor) -> Window:
        """``window`` normalised by the mean and the variance of each channel, ``(C,)``."""
        x = window.values
        mean, variance = (each.to(x.device).float().view(1, -1, 1, 1) for each in (mean, variance))
        return Window(self.module.normalise(x.float(), variance, mean).to(x.dtype), window.area)


WindowStep = SpatialLayer | Normalisation | Keep | Add | Concatenate


def window_steps(network: nn.Module) -> list[WindowStep]:
    """The forward pass of ``network``, in evaluation mode, as steps on windows.

    Raises:
        OptionError: it has no stages, or a layer whose reach is unknown.
    """
    if not isinstance(network, Staged):
        raise _unknown(network, network)
    steps: list[WindowStep] = []
    for stage in network.stages():
        if isinstance(stage, Layer):
            steps += _window_layers(stage.module, network)
        elif isinstance(stage, Keep | Add | Concatenate):
            steps.append(stage)
        else:
            raise _unknown(stage, network)
    return steps


def _window_layers(module: nn.Module, network: nn.Module) -> list[SpatialLayer | Normalisation]:
    if type(module) not in (*POINTWISE, *SPATIAL):  # a subclass may compute something else
        raise _unknown(module, network)
    if isinstance(module, InstanceNorm2d):
        return [Normalisation(module)]
    if isinstance(module, nn.ReflectionPad2d):
        return [Pad(_one(module.padding, module, network), "reflect")]
    if isinstance(module, nn.Conv2d):
        return _convolution(module, network)
    if isinstance(module, nn.ConvTranspose2d):
        return [_transposed(module, network)]
    if isinstance(module, BlurDown):
        return [Pad(1, "reflect"), Convolution(partial(_blur, module, F.conv2d), 3, 2)]
    if isinstance(module, BlurUp):
        return [Pad(1, "replicate"), TransposedConvolution(partial(_blur, module, F.conv_transpose2d), 4, 2, 3)]
    if isinstance(module, ResizeConv2d):
        parts = (module.pad, module.conv)
        return [Doubling(module.mode), *(layer for part in parts for layer in _window_layers(part, network))]
    return [Pointwise(module)]


def _convolution(module: nn.Conv2d, network: nn.Module) -> list[SpatialLayer | Normalisation]:
    if isinstance(module.padding, str) or module.padding_mode not in PADDING_MODES:
        raise _unknown(module, network)
    one = partial(_one, module=module, network=network)
    amount, dilation = one(module.padding), one(module.dilation)

    def convolve(x: Tensor) -> Tensor:
        return F.conv2d(x, module.weight, module.bias, module.stride, 0, module.dilation, module.groups)

    function = module if type(module) is ColumnsConv2d else convolve
    kernel = dilation * (one(module.kernel_size) - 1) + 1
    padding = [Pad(amount, PADDING_MODES[module.padding_mode])] if amount else []
    return [*padding, Convolution(function, kernel, one(module.stride), module.out_channels)]


def _transposed(module: nn.ConvTranspose2d, network: nn.Module) -> SpatialLayer:
    one = partial(_one, module=module, network=network)
    padding, extra = one(module.padding), one(module.output_padding)
    if one(module.dilation) != 1 or extra > padding or one(module.kernel_size) < one(module.stride):
        raise _unknown(module, network)

    def convolve(x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, module.weight, module.bias, module.stride, groups=module.groups)

    function = partial(in_float32, convolve) if type(module) is OutputConvTranspose2d else convolve
    kernel, stride = one(module.kernel_size), one(module.stride)
    return TransposedConvolution(function, kernel, stride, padding, extra, module.out_channels)


def _blur(module: nn.Module, convolve: Callable[..., Tensor], x: Tensor) -> Tensor:
    return convolve(x, module.get_buffer("filt").to(x.dtype), stride=2, groups=x.shape[1])


def _one(numbers: Any, module: nn.Module, network: nn.Module) -> int:
    """The number that is the same along both axes."""
    values = {numbers} if isinstance(numbers, int) else set(numbers)
    if len(values) != 1:
        raise _unknown(module, network)
    return int(values.pop())


def _unknown(part: object, network: nn.Module) -> OptionError:
    names = [type(part).__name__, type(network).__name__]
    what = names[0] if part is network else " of ".join(names)
    return OptionError(f"{what} cannot be computed by tiles", cure="give --tile 0, and a smaller picture")
