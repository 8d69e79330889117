"""CycleGAN: two generators and two discriminators, held together by cycle consistency.

Source: Zhu, Park, Isola, Efros 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv 1703.10593. Domains are named by where a picture *is*: ``fake.b`` is G(a), and ``discriminators.b`` judges B.
"""

from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.config import CycleganConfig, Direction, DiscriminatorConfig, GeneratorConfig
from diptych.methods.method import Each, Exchange, Losses, apply, frozen
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair


class Translations(NamedTuple):
    """All that the generators make of a pair of real pictures; each ``(B, C, H, W)`` in [-1, 1], named by its
    domain."""

    fake: Pair[Tensor]
    """F(b) and G(a)."""
    reconstructed: Pair[Tensor]
    """F(G(a)) and G(F(b))."""
    identity: Pair[Tensor] | None
    """F(a) and G(b), or none where the identity loss is off."""


class Scores(NamedTuple):
    """What the discriminators say of real and of translated pictures, each by its domain."""

    real: Pair[Tensor]
    fake: Pair[Tensor]


def merged(network: nn.Module, first: Tensor, second: Tensor, *, merge: bool) -> tuple[Tensor, Tensor]:
    """``network`` of both, in one batch where ``merge`` allows it and the shapes agree: the same numbers, sooner."""
    if merge and first.shape[1:] == second.shape[1:]:
        both = network(torch.cat([first, second]))
        return both[: len(first)], both[len(first) :]
    return network(first), network(second)


class Generators(nn.Module):
    """G: A → B as ``a2b`` and F: B → A as ``b2a``."""

    def __init__(self, a2b: nn.Module, b2a: nn.Module, *, identity: bool, merge: bool) -> None:
        super().__init__()
        self.a2b, self.b2a = a2b, b2a
        self.identity, self.merge = identity, merge
        self.each: Each = Pair.map

    def forward(self, real: Pair[Tensor]) -> Translations:
        networks = Pair(self.a2b, self.b2a)
        made = self.each(networks, self._translate, networks.swapped, real, real.swapped)
        fake, reconstructed, same = (made.map(itemgetter(place)) for place in range(3))
        return Translations(fake.swapped, reconstructed, same.swapped if self.identity else None)

    def _translate(
        self, network: nn.Module, back: nn.Module, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """``source`` translated by ``network``, the same translated back, and ``target``, where ``network`` leads, as
        it leaves it."""
        if self.identity:
            fake, same = merged(network, source, target, merge=self.merge)
        else:
            fake, same = network(source), None
        return fake, back(fake), same


class Discriminators(nn.Module):
    """D_A as ``a``, which judges pictures of domain A, and D_B as ``b``."""

    def __init__(self, a: nn.Module, b: nn.Module, *, merge: bool) -> None:
        super().__init__()
        self.a, self.b = a, b
        self.merge = merge
        self.each: Each = Pair.map

    def forward(self, real: Pair[Tensor], fake: Pair[Tensor]) -> Scores:
        both = self.each(Pair(self.a, self.b), partial(merged, merge=self.merge), real, fake)
        return Scores(real=both.map(itemgetter(0)), fake=both.map(itemgetter(1)))


class Cyclegan:
    """The method; see ``Method``."""

    def __init__(
        self,
        config: CycleganConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        assert config.lambda_identity is not None, "the identity weight is chosen before a method is built"
        self.config = config
        self.pool_size = config.pool_size
        self.generators = Generators(
            build_generator(generator, channels.a, channels.b),
            build_generator(generator, channels.b, channels.a),
            identity=config.lambda_identity > 0,
            merge=generator.norm != "batch",
        )
        self.discriminators = Discriminators(
            *channels.map(partial(build_discriminator, discriminator)), merge=discriminator.norm != "batch"
        )

    def networks(self, generators: nn.Module) -> dict[Direction, nn.Module]:
        return {"a2b": cast(nn.Module, generators.a2b), "b2a": cast(nn.Module, generators.b2a)}

    def judges(self) -> dict[str, nn.Module]:
        return {"a": self.discriminators.a, "b": self.discriminators.b}

    def update(
        self, generators: nn.Module, discriminators: nn.Module, real: Pair[Tensor], exchange: Exchange
    ) -> Iterator[tuple[nn.Module, Losses]]:
        translations: Translations = generators(real)
        with frozen(self.discriminators):
            judges = Pair(self.discriminators.a, self.discriminators.b)
            fake_scores = self.discriminators.each(judges, apply, translations.fake)
            yield generators, self.generator_losses(real, translations, fake_scores)
        scores: Scores = discriminators(real, exchange(translations.fake.map(torch.Tensor.detach)))
        yield discriminators, self.discriminator_losses(scores)

    def generator_losses(self, real: Pair[Tensor], translations: Translations, fake_scores: Pair[Tensor]) -> Losses:
        """The paper's equation 3, and the identity loss of section 5.2 weighted relative to the cycle of its domain."""
        weights = Pair(self.config.lambda_a, self.config.lambda_b)
        gan = fake_scores.map(partial(losses.generator_gan, self.config.gan_loss))
        cycle = weights.map(
            lambda weight, x, back: weight * losses.cycle_consistency(x, back), real, translations.reconstructed
        )
        terms = {"gan_a": gan.a, "gan_b": gan.b, "cycle_a": cycle.a, "cycle_b": cycle.b}
        if translations.identity is not None:
            relative = cast(float, self.config.lambda_identity)
            same = weights.map(
                lambda weight, x, y: relative * weight * losses.identity(x, y), real, translations.identity
            )
            terms |= {"identity_a": same.a, "identity_b": same.b}
        return terms

    def discriminator_losses(self, scores: Scores) -> Losses:
        """One loss for each discriminator, halved (paper, section 4.1)."""
        loss = scores.real.map(partial(losses.discriminator_gan, self.config.gan_loss), scores.fake)
        return {"discriminator_a": loss.a, "discriminator_b": loss.b}
