"""Presets: functions that return a config. One name sets everything that belongs together."""

from collections.abc import Callable
from dataclasses import replace

from diptych.config import (
    CycleganConfig,
    DataConfig,
    EngineConfig,
    LengthConfig,
    MethodConfig,
    OptimiserConfig,
    OutputConfig,
    PatchganConfig,
    ResnetConfig,
    TrainConfig,
)


def default(method: MethodConfig) -> TrainConfig:
    """The method as in its paper, but with mixed precision if the hardware has it, an EMA of the generators, a learning
    rate that decays at every update, and sizes that fit the pictures. `docs/design.md` lists each difference."""
    constant, decaying = method.epochs
    return TrainConfig(
        method=method,
        generator=method.generator,
        discriminator=method.discriminator,
        optimiser=OptimiserConfig(
            initialisation=method.initialisation, decay_fraction=decaying / (constant + decaying)
        ),
    )


def paper(method: MethodConfig) -> TrainConfig:
    """The settings of the method's paper: 286 → 256 pixels, fp32, batch 1, no EMA, its own length and initial
    weights."""
    config = default(method)
    return replace(
        config,
        data=DataConfig(load_size=286, crop_size=256, draft=False),
        optimiser=replace(config.optimiser, schedule_unit="epoch", ema=0.0),
        engine=EngineConfig(precision="fp32"),
    )


def demo() -> TrainConfig:
    """A small CycleGAN for pictures of 64×64 and a few minutes on two processor cores."""
    return replace(
        default(CycleganConfig(lambda_b=3.0, lambda_identity=1.0)),
        generator=ResnetConfig(width=16, num_blocks=6, upsampling="nearest"),
        discriminator=PatchganConfig(width=32),
        data=DataConfig(load_size=64, crop_size=64, draft=False),
        optimiser=OptimiserConfig(batch_size=2, learning_rate=4e-4, ema=0.995),
        length=LengthConfig(time="5m15s"),
        output=OutputConfig(score=False, num_samples=10),
    )


PRESETS: dict[str, Callable[[MethodConfig], TrainConfig]] = {"default": default, "paper": paper}
