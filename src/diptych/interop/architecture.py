"""The architecture of a network, read from the keys and shapes of its state dict."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from diptych.config import Norm, PatchganConfig, PixelConfig, ResnetConfig, UnetConfig
from diptych.networks import build_discriminator, build_generator
from diptych.networks.unet import MIN_LEVELS

NAMES: dict[type, str] = {
    ResnetConfig: "ResNet of {0.num_blocks} blocks",
    UnetConfig: "U-Net of {0.num_levels} levels",
    PatchganConfig: "PatchGAN of {0.num_layers} layers",
    PixelConfig: "pixel discriminator",
}
NORMS: dict[Norm, str] = {"instance": "instance norm", "batch": "batch norm", "none": "no norm"}
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Architecture:
    """The config and the channels of a network."""

    config: ResnetConfig | UnetConfig | PatchganConfig | PixelConfig
    in_channels: int
    out_channels: int
    """1 for a discriminator."""

    @property
    def is_generator(self) -> bool:
        """Whether this is a generator, not a discriminator."""
        return isinstance(self.config, ResnetConfig | UnetConfig)

    def build(self) -> nn.Module:
        """The network on torch's meta device, without memory for its weights."""
        with torch.device("meta"):
            if isinstance(self.config, ResnetConfig | UnetConfig):
                return build_generator(self.config, self.in_channels, self.out_channels)
            return build_discriminator(self.config, self.in_channels)

    def __str__(self) -> str:
        name, norm = NAMES[type(self.config)].format(self.config), NORMS[self.config.norm]
        dropout = ", dropout" if getattr(self.config, "dropout", False) else ""
        channels = f"{self.in_channels} to {self.out_channels}" if self.is_generator else f"{self.in_channels}"
        return f"{name}, width {self.config.width}, {norm}{dropout}, {channels} channels"


def read_architecture(state: Mapping[str, Tensor]) -> Architecture | None:
    """The architecture of the network with the state dict ``state``, whose keys the original code and diptych share;
    None if it is another network.

    Reads only a few keys; ``mismatch`` checks all. The state dict of a U-Net, or of a ResNet without blocks, does not
    record dropout: the config has the default.
    """
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
    for first_key, read in (
        ("model.1.weight", _resnet),
        ("model.model.0.weight", _unet),
        ("model.0.weight", _patchgan),
        ("net.0.weight", _pixel),
    ):
        if len(shapes.get(first_key, ())) == 4 and all(shapes[first_key]):
            return read(shapes)
    return None


def mismatch(state: Mapping[str, Tensor], network: nn.Module) -> str | None:
    """Why ``state`` does not fit ``network``, in a few words; None if it fits."""
    expected = network.state_dict()
    if missing := [key for key in expected if key not in state]:
        return f"{missing[0]} is missing" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    if extra := [key for key in state if key not in expected]:
        return f"{ascii(extra[0])[:60]} is not one of its keys"
    for key, tensor in expected.items():
        if state[key].shape != tensor.shape:
            return f"{key} has shape {list(state[key].shape)} instead of {list(tensor.shape)}"
        if state[key].dtype != tensor.dtype:
            return f"{key} has dtype {state[key].dtype}"
    return None


Shapes = Mapping[str, tuple[int, ...]]


def _norm(shapes: Shapes, convolution: str, norm: str) -> Norm:
    """The norm after a ``convolution``, which has a bias only with instance norm."""
    if f"{convolution}.bias" in shapes:
        return "instance"
    return "batch" if f"{norm}.weight" in shapes else "none"


def _resnet(shapes: Shapes) -> Architecture | None:
    width, in_channels = shapes["model.1.weight"][:2]
    num_blocks = sum(key.endswith(".conv_block.1.weight") for key in shapes)
    last = shapes.get(f"model.{17 + num_blocks}.weight")
    if not last:
        return None
    config = ResnetConfig(
        width=width,
        num_blocks=num_blocks,
        norm=_norm(shapes, "model.1", "model.2"),
        upsampling="transposed",
        residual=False,
        dropout=num_blocks > 0 and "model.10.conv_block.5.weight" not in shapes,
    )
    return Architecture(config, in_channels, last[0])


def _unet(shapes: Shapes) -> Architecture | None:
    width, in_channels = shapes["model.model.0.weight"][:2]
    last = shapes.get("model.model.3.weight", ())
    level, num_levels = "model.model.1.", 1
    while f"{level}model.1.weight" in shapes:
        level, num_levels = f"{level}model.3.", num_levels + 1
    if num_levels < MIN_LEVELS or len(last) != 4:
        return None
    norm = _norm(shapes, "model.model.0", "model.model.1.model.2")
    return Architecture(UnetConfig(width=width, num_levels=num_levels, norm=norm), in_channels, last[1])


def _patchgan(shapes: Shapes) -> Architecture | None:
    width, in_channels = shapes["model.0.weight"][:2]
    num_layers = sum(len(shape) == 4 for shape in shapes.values()) - 2
    if num_layers < 1:
        return None
    norm = _norm(shapes, "model.2", "model.3")
    return Architecture(PatchganConfig(width=width, num_layers=num_layers, norm=norm), in_channels, 1)


def _pixel(shapes: Shapes) -> Architecture:
    width, in_channels = shapes["net.0.weight"][:2]
    return Architecture(PixelConfig(width=width, norm=_norm(shapes, "net.2", "net.3")), in_channels, 1)
