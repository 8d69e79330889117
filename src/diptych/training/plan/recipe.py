"""The recipe: sizes, networks and optimiser that make the best of the pictures that a run has time to see.

It fills the options that are still None. ``--preset paper`` leaves it nothing to choose.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from diptych.config import PAPER_WIDTH, EngineConfig, TrainConfig
from diptych.config.constraints import resolved, with_defaults
from diptych.training.plan.defaults import CROP_SIZES
from diptych.training.plan.length import is_given, parse_time
from diptych.training.speed import flops_per_picture, flops_per_second

DAY = 24 * 3600.0
TIME = "1h"
"""Length of a run without a length, if the epochs of its method would take more than a day."""
SMALL_CROP, ENOUGH_PICTURES = 128, 4000
"""Crops are halved, but not below this side, until the run sees this number of pictures."""
EMA_FRACTION, EMA_RANGE = 0.1, (0.98, 0.999)
"""The moving average covers this fraction of the updates, within a range of decays."""
LAMBDA, LAMBDA_IDENTITY = 3.0, 1.0
"""Loss weights for generators that learn a change of the input. Their cycles start perfect, so low weights suffice."""
LEARNING_RATE = 2e-4
"""For each picture in a batch."""


class Row(NamedTuple):
    """The choices for a run that sees at least ``pictures`` pictures of each domain."""

    pictures: int
    generator_width: int
    discriminator_width: int
    batch_size: int


ROWS = (
    Row(pictures=400_000, generator_width=PAPER_WIDTH, discriminator_width=PAPER_WIDTH, batch_size=1),
    Row(pictures=60_000, generator_width=32, discriminator_width=PAPER_WIDTH, batch_size=2),
    Row(pictures=0, generator_width=16, discriminator_width=32, batch_size=2),
)
"""From the widest networks to the narrowest. The last row is measured (docs/log.md), the other two are not."""


def with_recipe(
    config: TrainConfig,
    *,
    epoch_size: int,
    processes: int = 1,
    report: Callable[[str], None],
    measure: Callable[[EngineConfig], float] = flops_per_second,
) -> TrainConfig:
    """``config`` of a new run with sizes, networks, optimiser and length chosen, where they are still open.

    Its engine is resolved, and its ``load_size`` and channels. ``report`` gets a line for each choice.

    ``measure`` returns the speed of this machine in operations per second. It is called only if the run has a time, or
    no length at all.
    """
    speed = cache(lambda: processes * measure(config.engine))

    def pictures_of(choice: TrainConfig) -> float:
        """How many pictures of each domain a run with ``choice`` sees."""
        length = choice.length
        if length.time is not None:
            return parse_time(length.time) * speed() / flops_per_picture(choice)
        return float(length.pictures or (length.epochs or 0) * epoch_size)

    given = config
    if not is_given(config.length):
        config = _with_length(config, epoch_size, speed, report)
    config = _with_residual(config)
    if config.data.crop_size is None:
        config = _with_crop(config, pictures_of, report)
    for row in ROWS:
        choice = _filled(config, row)
        pictures = pictures_of(choice)
        if pictures >= row.pictures:
            break
    choice = _with_ema(choice, pictures)
    if words := _words(given, choice):
        report(f"about {pictures:,.0f} pictures: {words}")
    return choice


def _with_length(
    config: TrainConfig, epoch_size: int, speed: Callable[[], float], report: Callable[[str], None]
) -> TrainConfig:
    """``config`` with the epochs of its method, or a time if they would take more than a day with wide networks."""
    epochs = float(sum(config.method.epochs))
    whole = replace(config, length=replace(config.length, epochs=epochs))
    seconds = epochs * epoch_size * flops_per_picture(_filled(_with_whole_pictures(whole), ROWS[0])) / speed()
    if seconds <= DAY:
        return whole
    report(
        f"{epochs:g} epochs would take about {seconds / DAY:,.0f} days on this machine, so this run takes {TIME}: give "
        "--time or --epochs for another length"
    )
    return replace(config, length=replace(config.length, time=TIME))


def _with_residual(config: TrainConfig) -> TrainConfig:
    """``config`` with generators that learn a change of the input, and with the weaker cycle losses that suit them, if
    its method has a cycle, the domains have the same channels and there are no masks. Masks ask for no change, and such
    generators then learn none at all (docs/log.md). With other methods this was not measured."""
    if getattr(config.generator, "residual", False) is None:
        has_masks = any(folder is not None for folder in config.content.masks)
        equal_channels = config.data.channels_a == config.data.channels_b
        fits = hasattr(config.method, "lambda_a") and equal_channels and not has_masks
        config = replace(config, generator=with_defaults(config.generator, residual=fits))
    if getattr(config.generator, "residual", False):
        weights = {"lambda_a": LAMBDA, "lambda_b": LAMBDA, "lambda_identity": LAMBDA_IDENTITY}
        config = replace(config, method=with_defaults(config.method, **weights))
    return config


def _with_crop(
    config: TrainConfig, pictures_of: Callable[[TrainConfig], float], report: Callable[[str], None]
) -> TrainConfig:
    """``config`` with the largest crops, or, if a time limits the run, smaller ones so that it sees more pictures."""
    config = _with_whole_pictures(config)
    if config.length.time is None:
        return config
    whole = side = resolved(config.data.crop_size)
    while side // 2 >= SMALL_CROP and pictures_of(_filled(config, ROWS[-1])) < ENOUGH_PICTURES:
        side //= 2
        config = replace(config, data=replace(config.data, crop_size=side))
    if side < whole:
        report(f"crops of {side}: with crops of {whole}, the run would see fewer than {ENOUGH_PICTURES:,} pictures")
    return config


def _with_whole_pictures(config: TrainConfig) -> TrainConfig:
    """``config`` with the largest usual crop that its load size holds."""
    load_size = resolved(config.data.load_size)
    crop_size = next((size for size in CROP_SIZES if size <= load_size), load_size)
    return replace(config, data=replace(config.data, crop_size=crop_size))


def _filled(config: TrainConfig, row: Row) -> TrainConfig:
    """``config`` with the open options of ``row``."""
    crop_size = resolved(config.data.crop_size)
    optimiser = with_defaults(config.optimiser, batch_size=row.batch_size)
    return replace(
        config,
        generator=with_defaults(config.generator, width=row.generator_width, upsampling="bilinear").resolved(crop_size),
        discriminator=with_defaults(config.discriminator, width=row.discriminator_width),
        optimiser=with_defaults(optimiser, learning_rate=LEARNING_RATE * resolved(optimiser.batch_size)),
    )


def _with_ema(config: TrainConfig, pictures: float) -> TrainConfig:
    updates = max(1.0, pictures / resolved(config.optimiser.batch_size))
    low, high = EMA_RANGE
    decay = min(high, max(low, 1 - 1 / (EMA_FRACTION * updates)))
    return replace(config, optimiser=with_defaults(config.optimiser, ema=round(decay, 5)))


def _words(before: TrainConfig, after: TrainConfig) -> str:
    """The options that ``after`` has chosen, in words."""
    parts = [
        (before.generator, after.generator, "width", "generator width {}"),
        (before.generator, after.generator, "upsampling", "upsampling {}"),
        (before.discriminator, after.discriminator, "width", "discriminator width {}"),
        (before.method, after.method, "lambda_a", "lambda-a {:g}"),
        (before.method, after.method, "lambda_b", "lambda-b {:g}"),
        (before.method, after.method, "lambda_identity", "lambda-identity {:g}"),
        (before.optimiser, after.optimiser, "batch_size", "batch size {}"),
        (before.optimiser, after.optimiser, "learning_rate", "learning rate {:g}"),
        (before.optimiser, after.optimiser, "ema", "EMA {:g}"),
    ]
    chosen = [text.format(getattr(new, name)) for old, new, name, text in parts if _is_chosen(old, new, name)]
    if _is_chosen(before.generator, after.generator, "residual") and getattr(after.generator, "residual", False):
        chosen.insert(0, "output = input + change")
    return ", ".join(chosen)


def _is_chosen(before: object, after: object, name: str) -> bool:
    return getattr(before, name, None) is None and getattr(after, name, None) is not None
