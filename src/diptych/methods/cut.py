"""CUT and FastCUT: one generator and one discriminator; content is kept by a contrastive loss over patches.

Source: Park, Efros, Zhang, Zhu 2020, "Contrastive Learning for Unpaired Image-to-Image Translation", arXiv 2007.15651,
and the authors' code.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.config import CutConfig, DiscriminatorConfig, GeneratorConfig
from diptych.errors import OptionError
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, PoolQuery, Step, frozen
from diptych.networks import build_discriminator, build_generator
from diptych.networks.stages import StagedGenerator
from diptych.pair import Pair

EPSILON = 1e-7
"""Added to the length of a vector before dividing by it."""


class ProjectionHead(nn.ModuleList):
    """A two-layer perceptron for each feature map, from its patches' features to unit vectors (section 3)."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__(nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels)

    def forward(self, features: Sequence[Tensor], positions: Sequence[Tensor]) -> list[Tensor]:
        """Unit vectors (B, N, width) in float32 or more, of N positions in each feature map (B, C, H, W).

        Position y * W + x is pixel (x, y).
        """
        vectors = []
        for layer, feature, position in zip(self, features, positions, strict=True):
            patches = feature.flatten(2)[:, :, position].transpose(1, 2)
            with torch.autocast(feature.device.type, enabled=False):
                projected = layer(patches.to(torch.promote_types(feature.dtype, torch.float32)))
                vectors.append(projected / (projected.norm(dim=2, keepdim=True) + EPSILON))
        return vectors


class Cut(Method):
    """The discriminator takes its step first; then generator and projection head take theirs on one sum of losses."""

    def __init__(
        self,
        config: CutConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        self.config = config
        self.source_name, self.target_name = Pair("a", "b").along(config.direction)
        source, target = channels.along(config.direction)
        network = build_generator(generator, source, target)
        if not isinstance(network, StagedGenerator):
            problem = f"{type(network).__name__} has no feature_layers(), whose features CUT compares"
            cure = "give --generator resnet, or derive it from diptych.networks.stages.StagedGenerator"
            raise OptionError(problem, cure=cure)
        self.generator = network
        self.generators = nn.ModuleDict({config.direction: network})
        self.discriminators = nn.ModuleDict({self.target_name: build_discriminator(discriminator, target)})
        self.head = ProjectionHead((), config.head_width)

    def modules(self) -> dict[str, nn.Module]:
        return {"generators": self.generators, "discriminators": self.discriminators, "head": self.head}

    def materialise(self, real: Pair[Tensor]) -> None:
        source, _ = real.along(self.config.direction)
        with torch.no_grad():
            features = self.generator.features(source, self.generator.feature_layers())
        self.head = ProjectionHead([feature.shape[1] for feature in features], self.config.head_width)

    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[Step]:
        del query
        source, target = real.along(self.config.direction)
        inputs = (source, target) if self.config.nce_identity else (source,)
        mirrored = self.config.flip_equivariance and self.draw_mirrored()
        outputs, keys = self.translate(execution, inputs, mirrored=mirrored)
        fake_scores, real_scores = self.discriminate(execution, outputs[0].detach(), target)
        yield Step("discriminators", self.discriminator_losses(real_scores, fake_scores))
        with frozen(self.discriminators):
            (fake_scores,) = self.discriminate(execution, outputs[0])
            nce = self.contrast(execution, keys, outputs, mirrored=mirrored)
            translation = _mirror(outputs[0]) if mirrored else outputs[0]
            translated = {self.config.direction: (source, translation)}
            yield Step(("generators", "head"), self.generator_losses(fake_scores, nce), translated)

    def discriminate(self, execution: Execution, *images: Tensor) -> tuple[Tensor, ...]:
        """The scores of each of ``images``, of the target domain."""
        return execution.forward(self.discriminators[self.target_name], *images)

    def translate(
        self, execution: Execution, inputs: Sequence[Tensor], *, mirrored: bool
    ) -> tuple[Sequence[Tensor], list[list[Tensor]]]:
        """The outputs for ``inputs`` or their mirror images, and the detached features of each of ``inputs``."""
        layers = self.generator.feature_layers()
        if mirrored:
            outputs = execution.forward(self.generator, *map(_mirror, inputs))
            with torch.no_grad():
                return outputs, execution.features(self.generator, layers, *inputs)
        found = execution.features(self.generator, [*layers, len(self.generator.stages()) - 1], *inputs)
        translated = [features[-1].to(batch.dtype) for features, batch in zip(found, inputs, strict=True)]
        return translated, [[feature.detach() for feature in features[:-1]] for features in found]

    def contrast(
        self, execution: Execution, key_features: list[list[Tensor]], outputs: Sequence[Tensor], *, mirrored: bool
    ) -> list[Tensor]:
        """The PatchNCE loss between each input's features and its output, the mean over the feature layers."""
        found = []
        query_features = execution.features(self.generator, self.generator.feature_layers(), *outputs)
        for queries, keys in zip(query_features, key_features, strict=True):
            positions = [self.draw_positions(key[0, 0].numel()).to(key.device) for key in keys]
            with torch.no_grad():
                key_vectors = self.head(keys, positions)
            query_vectors = self.head([_mirror(query) for query in queries] if mirrored else queries, positions)
            terms = [
                losses.patch_nce(*vectors, self.config.temperature)
                for vectors in zip(query_vectors, key_vectors, strict=True)
            ]
            found.append(torch.stack(terms).mean())
        return found

    def generator_losses(self, fake_scores: Tensor, nce: Sequence[Tensor]) -> LossGroups:
        """The paper's final objective, with the mean of both PatchNCE terms, as in the authors' code."""
        weight = self.config.lambda_nce / len(nce)
        named = zip((self.source_name, self.target_name), nce, strict=False)
        gan = losses.generator_gan(self.config.gan_loss, fake_scores)
        return {"": {f"gan_{self.target_name}": gan} | {f"nce_{name}": weight * loss for name, loss in named}}

    def discriminator_losses(self, real_scores: Tensor, fake_scores: Tensor) -> LossGroups:
        """One loss, halved, on fakes of this update: there is no image pool."""
        loss = losses.discriminator_gan(self.config.gan_loss, real_scores, fake_scores)
        return {"": {f"discriminator_{self.target_name}": loss}}

    def draw_positions(self, num: int) -> Tensor:
        """At most ``num_patches`` of ``num`` positions, in random order, from torch's global generator."""
        return torch.randperm(num)[: self.config.num_patches]

    def draw_mirrored(self) -> bool:
        """True in half of the updates, from torch's global generator."""
        return bool(torch.rand(()) < 0.5)


def _mirror(batch: Tensor) -> Tensor:
    return batch.flip(3)
