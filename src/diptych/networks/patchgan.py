"""The discriminators: PatchGAN and PixelGAN."""

from torch import Tensor, nn

from diptych.config import PAPER_WIDTH, PatchganConfig, PixelConfig
from diptych.networks.convolutions import BlurDown
from diptych.networks.norms import needs_bias, norm_layer

MAX_WIDTH_FACTOR = 8


class PatchganDiscriminator(nn.Module):
    """Scores overlapping patches: ``(B, C, H, W)`` in [-1, 1] to ``(B, 1, h, w)``, unbounded; 256² gives 30×30 scores.

    Source: the CycleGAN paper, appendix 7.2, after Isola et al. 2017.
    """

    def __init__(self, config: PatchganConfig, in_channels: int) -> None:
        super().__init__()
        first, bias = _width(config), needs_bias(config.norm)
        width, stride = first, 1 if config.antialias else 2
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 4, stride=stride, padding=1),
            nn.LeakyReLU(0.2),
            *([BlurDown(width)] if config.antialias else []),
        ]
        for layer in range(1, config.num_layers + 1):
            wider = first * min(2**layer, MAX_WIDTH_FACTOR)
            halves = layer < config.num_layers
            layers += [
                nn.Conv2d(width, wider, 4, stride=stride if halves else 1, padding=1, bias=bias),
                norm_layer(config.norm, wider),
                nn.LeakyReLU(0.2),
                *([BlurDown(wider)] if halves and config.antialias else []),
            ]
            width = wider
        self.model = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).to(x.dtype)  # type: ignore[no-any-return]


class PixelDiscriminator(nn.Module):
    """Scores each pixel by 1×1 convolutions: ``(B, C, H, W)`` in [-1, 1] to ``(B, 1, H, W)``, unbounded.

    Source: Isola et al. 2017, section 4.4.
    """

    def __init__(self, config: PixelConfig, in_channels: int) -> None:
        super().__init__()
        width, bias = _width(config), needs_bias(config.norm)
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            norm_layer(config.norm, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).to(x.dtype)  # type: ignore[no-any-return]


def _width(config: PatchganConfig | PixelConfig) -> int:
    """Channels after the first layer: those of the paper, unless ``config`` names others."""
    return PAPER_WIDTH if config.width is None else config.width
