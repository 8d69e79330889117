"""The residual generator."""

from itertools import accumulate

from torch import Tensor, nn

from diptych.config import ResnetConfig
from diptych.config.constraints import resolved
from diptych.networks.convolutions import BlurDown, ColumnsConv2d, ReflectionPad2d, upsample
from diptych.networks.norms import needs_bias, norm_layer
from diptych.networks.stages import Add, AddChange, Keep, Stage, Staged, StagedGenerator, stages_of

NUM_DOWNSAMPLINGS = 2


class ResidualBlock(Staged):
    """Two 3×3 convolutions with a skip connection, no activation after the sum: ``(B, C, H, W)`` to the same."""

    def __init__(self, channels: int, config: ResnetConfig) -> None:
        super().__init__()
        bias = needs_bias(config.norm)
        self.conv_block = nn.Sequential(
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(config.norm, channels),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if config.dropout else []),
            ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(config.norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)  # type: ignore[no-any-return]

    def stages(self) -> list[Stage]:
        return [Keep(), *stages_of(self.conv_block), Add()]


class ResnetGenerator(StagedGenerator):
    """Encoder, residual blocks, decoder: ``(B, in, H, W)`` in [-1, 1] to ``(B, out, H, W)`` in [-1, 1].

    H and W are multiples of 4 and at least 8. The state dict has the authors' keys.
    Source: the CycleGAN paper, appendix 7.2, after Johnson et al. 2016.
    """

    def __init__(self, config: ResnetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        assert config.num_blocks is not None, "resolve the config first"
        config = config.resolved(0)  # what is still open is as in the paper
        width, bias = resolved(config.width), needs_bias(config.norm)
        layers: list[nn.Module] = [
            ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, 7, bias=bias),
            norm_layer(config.norm, width),
            nn.ReLU(),
        ]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=1 if config.antialias else 2, padding=1, bias=bias),
                norm_layer(config.norm, 2 * width),
                nn.ReLU(),
                *([BlurDown(2 * width)] if config.antialias else []),
            ]
            width *= 2
        layers += [ResidualBlock(width, config) for _ in range(resolved(config.num_blocks))]
        for _ in range(NUM_DOWNSAMPLINGS):
            layers += [
                *upsample(width, width // 2, mode=resolved(config.upsampling), bias=bias),
                norm_layer(config.norm, width // 2),
                nn.ReLU(),
            ]
            width //= 2
        layers += [ReflectionPad2d(3), ColumnsConv2d(width, out_channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)
        self.residual = config.residual

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x).to(x.dtype)
        return AddChange()((x, output))[-1] if self.residual else output

    def stages(self) -> list[Stage]:
        stages = stages_of(self.model)
        return [Keep(), *stages, AddChange()] if self.residual else stages

    def feature_layers(self) -> list[int]:
        """CUT's: the padded input, the downsampling convolutions, the first and the fifth residual block."""
        first = 1 if self.residual else 0
        ends = [first + end - 1 for end in accumulate(len(stages_of(module)) for module in self.model)]
        convolutions = [end for end, module in zip(ends, self.model, strict=True) if isinstance(module, nn.Conv2d)]
        blocks = [end for end, module in zip(ends, self.model, strict=True) if isinstance(module, ResidualBlock)]
        return [ends[0], *convolutions[1 : 1 + NUM_DOWNSAMPLINGS], *blocks[:1], *blocks[4:5]]
