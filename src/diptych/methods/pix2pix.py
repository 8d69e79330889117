"""pix2pix: one generator, and a discriminator that sees a picture beside its translation.

Source: Isola, Zhu, Zhou, Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
arXiv 1611.07004.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.config import Direction, DiscriminatorConfig, GeneratorConfig, Pix2pixConfig
from diptych.methods.method import Exchange, Losses, frozen
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair


class Scores(NamedTuple):
    """What the discriminator says of true and of made-up pairs."""

    real: Tensor
    fake: Tensor


class Generators(nn.Module):
    """The one generator, under the name of its direction."""

    def __init__(self, network: nn.Module, direction: Direction) -> None:
        super().__init__()
        self.direction = direction
        self.add_module(direction, network)

    def forward(self, real: Pair[Tensor]) -> Tensor:
        """The translation of the given pictures, ``(B, C, H, W)`` in [-1, 1]."""
        given, _ = real.along(self.direction)
        return self.get_submodule(self.direction)(given)  # type: ignore[no-any-return]


class Discriminators(nn.Module):
    """The one discriminator, of the given picture and its translation concatenated."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.joint = network

    def forward(self, given: Tensor, wanted: Tensor, fake: Tensor) -> Scores:
        fake_scores = self.judge(given, fake)  # first, as in the authors' code: batch norm keeps running statistics
        return Scores(real=self.judge(given, wanted), fake=fake_scores)

    def judge(self, given: Tensor, other: Tensor) -> Tensor:
        """Scores of ``other`` as the translation of ``given``. Never merged: batch norm would mix their statistics."""
        return self.joint(torch.cat([given, other], dim=1))  # type: ignore[no-any-return]


class Pix2pix:
    """The method; see ``Method``. The discriminator steps first."""

    pool_size = 0

    def __init__(
        self,
        config: Pix2pixConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        self.config = config
        given, wanted = channels.along(config.direction)
        self.generators = Generators(build_generator(generator, given, wanted), config.direction)
        self.discriminators = Discriminators(build_discriminator(discriminator, given + wanted))

    def networks(self, generators: nn.Module) -> dict[Direction, nn.Module]:
        return {self.config.direction: generators.get_submodule(self.config.direction)}

    def judges(self) -> dict[str, nn.Module]:
        return {}

    def update(
        self, generators: nn.Module, discriminators: nn.Module, real: Pair[Tensor], exchange: Exchange
    ) -> Iterator[tuple[nn.Module, Losses]]:
        del exchange  # the discriminator judges fakes beside what they were made of, so no pool
        given, wanted = real.along(self.config.direction)
        fake: Tensor = generators(real)
        scores: Scores = discriminators(given, wanted, fake.detach())
        yield discriminators, self.discriminator_losses(scores)
        with frozen(self.discriminators):
            yield generators, self.generator_losses(fake, wanted, self.discriminators.judge(given, fake))

    def generator_losses(self, fake: Tensor, wanted: Tensor, fake_scores: Tensor) -> Losses:
        """Equation 4 of the paper: the adversarial loss and λ times the mean absolute difference to the truth."""
        return {
            "gan": losses.generator_gan(self.config.gan_loss, fake_scores),
            "l1": self.config.lambda_l1 * losses.reconstruction(wanted, fake),
        }

    def discriminator_losses(self, scores: Scores) -> Losses:
        """One loss, halved (section 3.3)."""
        return {"discriminator": losses.discriminator_gan(self.config.gan_loss, scores.real, scores.fake)}
