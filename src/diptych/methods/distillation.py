"""Distillation: small generators learn the outputs of trained ones, the teacher, for the pictures of both domains.

The teacher is fixed, so this is regression with pairs (picture, output of the teacher). The losses are those with which
the literature compresses such generators: pixels, SSIM, and features of a network that knows the target domain.
Source: Ren, Wu, Xiao, Yang 2021, "Online Multi-Granularity Distillation for GAN Compression", arXiv 2108.06908.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from diptych import losses
from diptych.checksummed import MODEL, read_checksummed, sha256_of
from diptych.config import DiscriminatorConfig, DistillationConfig, GeneratorConfig
from diptych.config.constraints import resolved
from diptych.config_json import from_json
from diptych.errors import OptionError, RunError
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, PoolQuery, Step
from diptych.networks import build_generator
from diptych.networks.stages import StagedGenerator
from diptych.pair import REVERSE, Direction, Pair

NUM_LAYERS = 3
"""Feature maps that are compared: those of the finest ``feature_layers``."""


class Teacher:
    """The generators of a model file, and those of their outputs that fit into ``cache_bytes``.

    An output is that of a single image, rounded to float16. So it does not depend on what else is in a batch, or on
    whether it was kept.
    """

    def __init__(self, path: Path, sha256: str, cache_bytes: float, device: torch.device) -> None:
        """Raises ``RunError`` if the file has changed, and ``WeightsError`` if it is missing or damaged."""
        tensors, description = read_checksummed(path, MODEL)
        if sha256_of(path) != sha256:
            raise RunError(f"{path} has changed since the run was started", cure="give --run NEW_RUN to begin again")
        config: GeneratorConfig = from_json(GeneratorConfig, description["card"]["generator"], "generator")
        channels = Pair(*(encoding["channels"] for encoding in description["card"]["encodings"]))
        self.channels, self.free, self.device = channels, cache_bytes, device
        self.networks: dict[Direction, nn.Module] = {}
        for direction in description["directions"]:
            with torch.device("meta"):
                network = build_generator(config, *channels.along(direction))
            prefix = f"{direction}."
            weights = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            network.load_state_dict(weights, assign=True)
            self.networks[direction] = network.eval().requires_grad_(False).to(device)
        self.outputs: dict[tuple[Direction, bytes], Tensor] = {}

    @torch.no_grad()
    def translate(self, direction: Direction, batch: Tensor) -> Tensor:
        """The outputs for ``batch``, (B, C, H, W) in [-1, 1], in the type of ``batch``."""
        return torch.cat([self._translate(direction, image) for image in torch.split(batch, 1)]).to(batch)

    def _translate(self, direction: Direction, image: Tensor) -> Tensor:
        key = direction, hashlib.blake2b(image.detach().contiguous().cpu().numpy().tobytes(), digest_size=16).digest()
        if (known := self.outputs.get(key)) is not None:
            return known
        output: Tensor = self.networks[direction](image).half().cpu()
        if self.free >= output.nbytes:
            self.free -= output.nbytes
            self.outputs[key] = output
        return output

    def critic(self, direction: Direction) -> StagedGenerator | None:
        """The network whose encoder compares images of the target domain: the generator of the other direction, which
        was trained on them, or else the same generator. None if neither takes them or has ``feature_layers``."""
        source, target = self.channels.along(direction)
        network = self.networks.get(REVERSE[direction], self.networks[direction] if source == target else None)
        return network if isinstance(network, StagedGenerator) else None


class Distillation(Method):
    """One module: the small generators."""

    def __init__(
        self,
        config: DistillationConfig,
        generator: GeneratorConfig,
        discriminator: DiscriminatorConfig,
        channels: Pair[int],
    ) -> None:
        del discriminator
        if config.teacher is None:
            raise OptionError("distillation needs a teacher", cure="give diptych compress RUN")
        self.config = config
        self.is_same_channels = channels.a == channels.b
        self.generators = nn.ModuleDict(
            {direction: build_generator(generator, *channels.along(direction)) for direction in config.directions}
        )
        self.loaded: Teacher | None = None

    def modules(self) -> dict[str, nn.Module]:
        return {"generators": self.generators}

    def teacher(self, device: torch.device) -> Teacher:
        """The teacher, which the first call loads."""
        if self.loaded is None:
            config = self.config
            cache_bytes = config.teacher_cache_gib * 2**30
            self.loaded = Teacher(resolved(config.teacher), config.teacher_sha256, cache_bytes, device)
        return self.loaded

    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[Step]:
        del query
        teacher = self.teacher(real.a.device)
        learn = partial(self._learn, execution, teacher)
        if self.config.direction is None:
            found: Pair[Mapping[str, Tensor]] = execution.map(Pair("a2b", "b2a"), learn, real, real.swapped)
            groups: LossGroups = {"a2b": found.a, "b2a": found.b}
        else:
            groups = {"": learn(self.config.direction, *real.along(self.config.direction))}
        yield Step("generators", groups)

    def _learn(
        self, execution: Execution, teacher: Teacher, direction: Direction, source: Tensor, target: Tensor
    ) -> Mapping[str, Tensor]:
        """The losses of one direction: the mean over the pictures of one domain, or of both."""
        batches = (source, target) if self.config.other_domain and self.is_same_channels else (source,)
        outputs = execution.forward(self.generators[direction], *batches)
        terms = [
            self._losses(execution, teacher, direction, teacher.translate(direction, batch), output)
            for batch, output in zip(batches, outputs, strict=True)
        ]
        into = direction[-1]
        return {f"{name}_{into}": torch.stack([each[name] for each in terms]).mean() for name in terms[0]}

    def _losses(
        self, execution: Execution, teacher: Teacher, direction: Direction, truth: Tensor, output: Tensor
    ) -> dict[str, Tensor]:
        terms = {"l1": losses.reconstruction(truth, output)}
        if self.config.lambda_ssim:
            terms["ssim"] = self.config.lambda_ssim * losses.dissimilarity(truth, output)
        critic = teacher.critic(direction)
        if self.config.lambda_features and critic is not None:
            layers = critic.feature_layers()[:NUM_LAYERS]
            with torch.no_grad():
                (expected,) = execution.features(critic, layers, truth)
            (found,) = execution.features(critic, layers, output)
            terms["features"] = self.config.lambda_features * losses.feature_distance(expected, found)
        return terms
