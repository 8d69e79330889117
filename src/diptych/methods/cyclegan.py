"""CycleGAN: two generators and two discriminators, trained with cycle consistency.

Source: Zhu, Park, Isola, Efros 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
arXiv 1703.10593. Names refer to the domain of an image: ``fake.b`` is G(a), and the discriminator ``b``
scores images of B.
"""

from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.config import CycleganConfig, DiscriminatorConfig, GeneratorConfig
from diptych.config.constraints import resolved
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, PoolQuery, Step, Translated, frozen
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair


class Translations(NamedTuple):
    """The generators' outputs for a pair of real batches. Each is (B, C, H, W) in [-1, 1]."""

    fake: Pair[Tensor]
    """F(b) and G(a)."""
    reconstructed: Pair[Tensor]
    """F(G(a)) and G(F(b))."""
    identity: Pair[Tensor] | None
    """F(a) and G(b); None without the identity loss."""


class Cyclegan(Method):
    """G: A → B and F: B → A, with the discriminators D_A and D_B."""

    def __init__(
        self,
        config: CycleganConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        config = config.resolved((channels.a, channels.b))
        self.config, self.lambda_identity = config, resolved(config.lambda_identity)
        self.pool_size = config.pool_size
        self.generators = nn.ModuleDict(
            {
                "a2b": build_generator(generator, channels.a, channels.b),
                "b2a": build_generator(generator, channels.b, channels.a),
            }
        )
        self.discriminators = nn.ModuleDict(
            {
                "a": build_discriminator(discriminator, channels.a),
                "b": build_discriminator(discriminator, channels.b),
            }
        )

    def modules(self) -> dict[str, nn.Module]:
        return {"generators": self.generators, "discriminators": self.discriminators}

    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[Step]:
        translations = self.translate(real, execution)
        with frozen(self.discriminators):
            (fake_scores,) = self.discriminate(execution, translations.fake)
            groups = self.generator_losses(real, translations, fake_scores)
            translated: Translated = {"a2b": (real.a, translations.fake.b), "b2a": (real.b, translations.fake.a)}
            yield Step("generators", groups, translated)
        scores = self.discriminate(execution, real, query(translations.fake.map(torch.Tensor.detach)))
        yield Step("discriminators", self.discriminator_losses(*scores))

    def translate(self, real: Pair[Tensor], execution: Execution) -> Translations:
        """Every output of the generators that the losses need."""
        networks = Pair(self.generators["a2b"], self.generators["b2a"])
        translate = partial(self._translate, execution)
        outputs = execution.map(networks, translate, networks.swapped, real, real.swapped)
        fake, reconstructed, same = (outputs.map(itemgetter(index)) for index in range(3))
        return Translations(fake.swapped, reconstructed, same.swapped if self.lambda_identity else None)

    def _translate(
        self, execution: Execution, network: nn.Module, back: nn.Module, source: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """One direction: the translated ``source``, its reconstruction, and ``target`` through the same network."""
        batches = (source, target) if self.lambda_identity else (source,)
        fake, *same = execution.forward(network, *batches)
        (reconstructed,) = execution.forward(back, fake)
        return fake, reconstructed, same[0] if same else None

    def discriminate(self, execution: Execution, *images: Pair[Tensor]) -> list[Pair[Tensor]]:
        """The scores of each of ``images`` by the discriminators of their domains."""
        networks = Pair(self.discriminators["a"], self.discriminators["b"])
        scores = execution.map(networks, execution.forward, *images)
        return [scores.map(itemgetter(index)) for index in range(len(images))]

    def generator_losses(self, real: Pair[Tensor], translations: Translations, fake_scores: Pair[Tensor]) -> LossGroups:
        """The paper's equation 3, and the identity loss of section 5.2, relative to the cycle weight of its domain.

        A group for each direction: translating A gives the fake of B, its reconstruction in A, and G's identity loss.
        """
        weights = Pair(resolved(self.config.lambda_a), resolved(self.config.lambda_b))
        gan = fake_scores.map(partial(losses.generator_gan, self.config.gan_loss))
        cycle = weights.map(
            lambda weight, x, back: weight * losses.cycle_consistency(x, back), real, translations.reconstructed
        )
        groups = {"a2b": {"gan_b": gan.b, "cycle_a": cycle.a}, "b2a": {"gan_a": gan.a, "cycle_b": cycle.b}}
        if translations.identity is not None:
            same = weights.map(
                lambda weight, x, y: self.lambda_identity * weight * losses.identity(x, y), real, translations.identity
            )
            groups["a2b"]["identity_b"], groups["b2a"]["identity_a"] = same.b, same.a
        return groups

    def discriminator_losses(self, real_scores: Pair[Tensor], fake_scores: Pair[Tensor]) -> LossGroups:
        """One loss for each discriminator, halved (paper, appendix 7.1)."""
        loss = real_scores.map(partial(losses.discriminator_gan, self.config.gan_loss), fake_scores)
        return {"a": {"discriminator_a": loss.a}, "b": {"discriminator_b": loss.b}}
