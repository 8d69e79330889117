"""The U-Net generator."""

import torch
from torch import Tensor, nn

from diptych.config import UnetConfig
from diptych.config.constraints import resolved
from diptych.networks.convolutions import OutputConvTranspose2d
from diptych.networks.norms import needs_bias, norm_layer
from diptych.networks.stages import Concatenate, Keep, Layer, Stage, Staged, StagedGenerator, stages_of

MIN_LEVELS = 5


class SkipLevel(Staged):
    """One level: down by 2, the inner levels, up by 2; the activated input is concatenated with the result.

    ``(B, outer, H, W)`` to ``(B, 2 * outer, H, W)``.
    """

    def __init__(self, outer: int, inner: int, config: UnetConfig, inside: nn.Module | None, *, dropout: bool) -> None:
        super().__init__()
        bias = needs_bias(config.norm)
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, stride=2, padding=1, bias=bias)]
        up_channels = inner if inside is None else 2 * inner
        up = [
            nn.ReLU(),
            nn.ConvTranspose2d(up_channels, outer, 4, stride=2, padding=1, bias=bias),
            norm_layer(config.norm, outer),
        ]
        middle = [] if inside is None else [norm_layer(config.norm, inner), inside]
        self.model = nn.Sequential(*down, *middle, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        # The authors' first activation works in place, so their skip connection carries the activated input.
        activated = self.model[0](x)
        return torch.cat([activated, self.model[1:](activated)], dim=1)

    def stages(self) -> list[Stage]:
        return [*stages_of(self.model[:1]), Keep(), *stages_of(self.model[1:]), Concatenate()]


class OutermostLevel(Staged):
    """The level next to the image: no norm, no skip connection, and tanh at the end."""

    def __init__(self, config: UnetConfig, in_channels: int, out_channels: int, inside: nn.Module) -> None:
        super().__init__()
        width = resolved(config.width)
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1, bias=needs_bias(config.norm)),
            inside,
            nn.ReLU(),
            OutputConvTranspose2d(2 * width, out_channels, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)  # type: ignore[no-any-return]

    def stages(self) -> list[Stage]:
        return stages_of(self.model)


class UnetGenerator(StagedGenerator):
    """U-Net: ``(B, in, H, W)`` in [-1, 1] to ``(B, out, H, W)`` in [-1, 1]; H and W are multiples of 2^levels.

    Built from the innermost level outwards. The state dict has the authors' keys.
    Source: Isola et al. 2017 (pix2pix), appendix 6.1.1.
    """

    def __init__(self, config: UnetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        assert config.num_levels is not None, "resolve the config first"
        config = config.resolved(0)  # what is still open is as in the paper
        num_levels, width = resolved(config.num_levels), resolved(config.width)
        assert num_levels >= MIN_LEVELS, num_levels
        level = SkipLevel(8 * width, 8 * width, config, None, dropout=False)
        for _ in range(num_levels - MIN_LEVELS):
            level = SkipLevel(8 * width, 8 * width, config, level, dropout=config.dropout)
        for factor in (4, 2, 1):
            level = SkipLevel(factor * width, 2 * factor * width, config, level, dropout=False)
        self.model = OutermostLevel(config, in_channels, out_channels, level)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).to(x.dtype)  # type: ignore[no-any-return]

    def stages(self) -> list[Stage]:
        return stages_of(self.model)

    def feature_layers(self) -> list[int]:
        """The first three downsampling convolutions."""
        layers = [stage.module if isinstance(stage, Layer) else None for stage in self.stages()]
        return [number for number, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)][:3]
