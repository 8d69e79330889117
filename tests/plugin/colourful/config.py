"""The options. No torch here, so that ``--help`` lists them at once."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from diptych.config import (
    Direction,
    DiscriminatorConfig,
    GanLoss,
    GeneratorConfig,
    Initialisation,
    PatchganConfig,
)
from diptych.config.constraints import Positive, option


@dataclass(frozen=True, kw_only=True)
class ShiftConfig:
    """A generator that adds to each pixel what it computes from its surroundings."""

    implementation: ClassVar[str] = "colourful.networks:ShiftGenerator"
    stride: ClassVar[int] = 2

    width: Positive[int] = option(6, "Channels of the inner layer.")
    kernel: Positive[int] | None = option(None, "Side of the first kernel. Chosen: 5 for crops of 32 and more, else 3.")

    def resolved(self, crop_size: int) -> Self:
        return self if self.kernel is not None else replace(self, kernel=5 if crop_size >= 32 else 3)


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """One generator, and a critic of the colours of whole images."""

    implementation: ClassVar[str] = "colourful.method:Critic"
    paired: ClassVar[bool] = False
    generator: ClassVar[GeneratorConfig] = ShiftConfig()
    discriminator: ClassVar[DiscriminatorConfig] = PatchganConfig()
    directions: ClassVar[tuple[Direction, ...]] = ("a2b",)
    gan_loss: ClassVar[GanLoss] = "least-squares"
    initialisation: ClassVar[Initialisation] = "normal"
    epochs: ClassVar[tuple[int, int]] = (100, 100)

    lambda_same: Positive[float] = option(1.0, "Weight of the distance between input and output.")

    def resolved(self, channels: tuple[int, int]) -> Self:
        return self

    def remarks(self, channels: tuple[int, int]) -> list[str]:
        return [f"colours of {channels[1]} channels are scored"]
