"""The method. Its critic is no discriminator of patches, and its size depends on that of the images."""

from collections.abc import Iterator

from torch import Tensor, nn

from colourful.config import CriticConfig
from diptych import losses
from diptych.config import DiscriminatorConfig, GeneratorConfig
from diptych.methods.execution import Execution
from diptych.methods.method import LossGroups, Method, PoolQuery, frozen
from diptych.networks import build_generator
from diptych.pair import Pair


class Critic(Method):
    """Modules: ``generators`` and ``critic``. Both are averaged."""

    averaged = ("generators", "critic")
    pool_size = 3

    def __init__(
        self, config: CriticConfig, generator: GeneratorConfig, discriminator: DiscriminatorConfig, channels: Pair[int]
    ) -> None:
        self.config = config
        self.generators = nn.ModuleDict({"a2b": build_generator(generator, channels.a, channels.b)})
        self.critic = nn.ModuleDict()

    def materialise(self, real: Pair[Tensor]) -> None:
        size = real.b[0].numel()
        self.critic["scores"] = nn.Sequential(nn.Flatten(), nn.Linear(size, 4), nn.LeakyReLU(0.2), nn.Linear(4, 1))

    def modules(self) -> dict[str, nn.Module]:
        return {"generators": self.generators, "critic": self.critic}

    def update(self, real: Pair[Tensor], query: PoolQuery, execution: Execution) -> Iterator[tuple[str, LossGroups]]:
        (fake,) = execution.forward(self.generators["a2b"], real.a)
        with frozen(self.critic):
            (scores,) = execution.forward(self.critic["scores"], fake)
            same = self.config.lambda_same * losses.identity(real.a, fake)
            yield "generators", {"": {"gan": losses.generator_gan("least-squares", scores), "same": same}}
        shown = query(Pair(real.a, fake.detach())).b
        real_scores, fake_scores = execution.forward(self.critic["scores"], real.b, shown)
        yield "critic", {"": {"critic": losses.discriminator_gan("least-squares", real_scores, fake_scores)}}
