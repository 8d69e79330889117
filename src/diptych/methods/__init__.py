"""Training methods, which combine networks and losses. The registry lists them."""

from diptych.config import DiscriminatorConfig, GeneratorConfig, MethodConfig
from diptych.methods.content import Content, with_content
from diptych.methods.execution import Execution, supports_parallel
from diptych.methods.method import LossGroups, Method, PoolQuery, Step, module_names
from diptych.pair import Pair
from diptych.registry import build


def build_method(
    config: MethodConfig, generator: GeneratorConfig, discriminator: DiscriminatorConfig, channels: Pair[int]
) -> Method:
    """The method that ``config`` describes, with torch's default initial weights."""
    method: Method = build(config, generator, discriminator, channels)
    return method


__all__ = [
    "Content", "Execution", "LossGroups", "Method", "PoolQuery", "Step", "build_method", "module_names",
    "supports_parallel", "with_content",
]  # fmt: skip
