"""pix2pix: one generator, and a discriminator of an image concatenated with its translation.

Source: Isola, Zhu, Zhou, Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
arXiv 1611.07004.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.config import DiscriminatorConfig, GeneratorConfig, Pix2pixConfig
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, PoolQuery, Step, frozen
from diptych.networks import build_discriminator, build_generator
from diptych.pair import Pair


class Pix2pix(Method):
    """The discriminator takes its step first. There is no image pool."""

    def __init__(
        self,
        config: Pix2pixConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        self.config = config
        source, target = channels.along(config.direction)
        self.generators = nn.ModuleDict({config.direction: build_generator(generator, source, target)})
        self.discriminators = nn.ModuleDict({"joint": build_discriminator(discriminator, source + target)})

    def modules(self) -> dict[str, nn.Module]:
        return {"generators": self.generators, "discriminators": self.discriminators}

    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[Step]:
        del query
        source, target = real.along(self.config.direction)
        (fake,) = execution.forward(self.generators[self.config.direction], source)
        # Fake before real, as in the authors' code: the order changes batch norm's running statistics.
        fake_scores = self.discriminate(execution, source, fake.detach())
        real_scores = self.discriminate(execution, source, target)
        yield Step("discriminators", self.discriminator_losses(real_scores, fake_scores))
        with frozen(self.discriminators):
            groups = self.generator_losses(fake, target, self.discriminate(execution, source, fake))
            yield Step("generators", groups, {self.config.direction: (source, fake)})

    def discriminate(self, execution: Execution, source: Tensor, candidate: Tensor) -> Tensor:
        """Scores of ``candidate`` as the translation of ``source``."""
        (scores,) = execution.forward(self.discriminators["joint"], torch.cat([source, candidate], dim=1))
        return scores

    def generator_losses(self, fake: Tensor, target: Tensor, fake_scores: Tensor) -> LossGroups:
        """The paper's equation 4: the adversarial loss, and λ times the mean absolute difference to the target."""
        gan = losses.generator_gan(self.config.gan_loss, fake_scores)
        return {"": {"gan": gan, "l1": self.config.lambda_l1 * losses.reconstruction(target, fake)}}

    def discriminator_losses(self, real_scores: Tensor, fake_scores: Tensor) -> LossGroups:
        """One loss, halved (paper, section 3.3)."""
        return {"": {"discriminator": losses.discriminator_gan(self.config.gan_loss, real_scores, fake_scores)}}
