"""Presets: functions that return a config. One name sets everything that belongs together."""

from collections.abc import Callable
from dataclasses import replace

from diptych.config import (
    PAPER_WIDTH,
    CycleganConfig,
    DataConfig,
    EngineConfig,
    LengthConfig,
    MethodConfig,
    OptimiserConfig,
    OutputConfig,
    TrainConfig,
)
from diptych.config.constraints import with_defaults


def default(method: MethodConfig) -> TrainConfig:
    """``method`` as in its paper. Sizes, networks, batch, learning rate, EMA and length are chosen when the run starts,
    by the pictures, the machine and the time: see ``training/plan/recipe.py``."""
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
    """The paper's settings: 286 → 256 pixels, fp32, width 64, batch 1, no EMA, the method's own length and initial
    weights."""
    config = default(method)
    return replace(
        config,
        method=with_defaults(method, lambda_a=10.0, lambda_b=10.0),
        generator=with_defaults(method.generator, width=PAPER_WIDTH, upsampling="transposed", residual=False),
        discriminator=with_defaults(method.discriminator, width=PAPER_WIDTH),
        data=DataConfig(load_size=286, crop_size=256, draft=False),
        optimiser=replace(config.optimiser, batch_size=1, learning_rate=2e-4, schedule_unit="epoch", ema=0.0),
        length=LengthConfig(epochs=float(sum(method.epochs))),
        engine=EngineConfig(precision="fp32"),
    )


def demo() -> TrainConfig:
    """The default preset for the built-in pictures, with a length of about five minutes."""
    return replace(
        default(CycleganConfig()),
        length=LengthConfig(time="5m15s"),
        output=OutputConfig(score=False, num_samples=10),
    )


PRESETS: dict[str, Callable[[MethodConfig], TrainConfig]] = {"default": default, "paper": paper}
