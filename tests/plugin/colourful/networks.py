"""The network."""

from torch import Tensor, nn

from colourful.config import ShiftConfig


class ShiftGenerator(nn.Module):
    """(B, in, H, W) in [-1, 1] to (B, out, H, W) in [-1, 1]."""

    def __init__(self, config: ShiftConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        assert config.kernel is not None
        self.inner = nn.Conv2d(in_channels, config.width, config.kernel, padding=config.kernel // 2)
        self.outer = nn.Conv2d(config.width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.outer(self.inner(x).relu())).tanh()
