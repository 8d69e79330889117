"""Resolves defaults: the options that a new run chooses from its pictures."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from diptych.config import DataConfig, TrainConfig
from diptych.config.constraints import check_ranges, resolved
from diptych.data.encoding import GREY, RGB
from diptych.data.files import Domain
from diptych.data.survey import Survey
from diptych.data.used_values import measure, range_findings, with_measured_ranges
from diptych.errors import OptionError
from diptych.pair import Pair

CROP_SIZES = (256, 128, 64, 32)
ENLARGEMENT = 1.25
"""The largest factor by which pictures may be enlarged to reach a crop size."""

Value = TypeVar("Value")


def chosen(given: Value | None, choice: Value) -> Value:
    """``given``, or ``choice`` if it is None."""
    return choice if given is None else given


def resolve(config: TrainConfig, surveys: Pair[Survey], choose: Callable[[TrainConfig], TrainConfig]) -> TrainConfig:
    """``config`` with the defaults resolved that depend on the pictures. ``choose`` is the recipe.

    Raises:
        OptionError: options contradict each other, or do not fit the pictures.
    """
    check_ranges(config)
    config = choose(replace(config, data=resolve_data(config.data, surveys)))
    data = config.data
    crop_size, channels = data.crop_size, (data.channels_a, data.channels_b)
    assert crop_size is not None
    assert channels[0] is not None
    assert channels[1] is not None
    generator = config.generator.resolved(crop_size)
    if getattr(generator, "residual", False) and channels[0] != channels[1]:
        raise OptionError(
            f"--generator.residual is given, but A has {channels[0]} channels and B {channels[1]}",
            cure="leave it out, or give --channels-a and --channels-b the same number",
        )
    if crop_size % generator.stride:
        raise OptionError(
            f"crop-size {crop_size} is not a multiple of {generator.stride}",
            cure=f"give a multiple of it, such as {max(1, round(crop_size / generator.stride)) * generator.stride}",
        )
    smallest = config.discriminator.smallest_side
    if 0 < crop_size < smallest:
        raise OptionError(
            f"crop-size {crop_size} is too small for this discriminator",
            cure=f"give at least {smallest}, or a discriminator with fewer layers",
        )
    batch_size = resolved(config.optimiser.batch_size)
    if config.engine.accumulate > batch_size:
        problem = f"a batch of {batch_size} cannot be split into {config.engine.accumulate} micro-batches"
        raise OptionError(problem, cure="give a larger --batch-size, or a smaller --accumulate")
    if config.engine.compile and crop_size == 0 and data.resize != "square":
        raise OptionError(
            "without a crop, --compile would compile again for each size of picture",
            cure="give a crop-size, or leave --compile out",
        )
    if batch_size > 1 and crop_size == 0 and data.resize != "square":
        raise OptionError("without a crop, pictures of different sizes cannot share a batch", cure="give batch-size 1")
    return replace(
        config,
        method=config.method.resolved((channels[0], channels[1])),
        content=config.content.resolved(config.method.directions, (channels[0], channels[1])),
        generator=generator,
    )


def resolve_data(data: DataConfig, surveys: Pair[Survey]) -> DataConfig:
    """``data`` with its load size and channels resolved. The recipe chooses the crop size.

    Raises:
        OptionError: the crop size is larger than the load size, or no picture has the given channels or can be
            converted to them.
    """
    shorter_side = min(survey.shorter_side for survey in surveys)
    largest = next((size for size in CROP_SIZES if size <= shorter_side * ENLARGEMENT), CROP_SIZES[-1])
    load_size = chosen(data.load_size, data.crop_size or largest)
    if data.resize != "none" and data.crop_size is not None and load_size < data.crop_size:
        problem = f"load-size {load_size} is less than crop-size {data.crop_size}"
        raise OptionError(problem, cure="give a larger load-size")
    given = Pair(data.channels_a, data.channels_b)
    channels = given.map(_channels, surveys, Pair("channels-a", "channels-b"))
    return replace(data, load_size=load_size, channels_a=channels.a, channels_b=channels.b)


def _channels(given: int | None, survey: Survey, option: str) -> int:
    if given is None:
        return survey.channels
    # Transparency of a TIFF, which its header does not count, can be one more band.
    if not any(given in (number, number + 1) or {number, given} == {GREY, RGB} for number in survey.all_channels):
        number = " or ".join(map(str, sorted(survey.all_channels)))
        raise OptionError(f"{option} is {given}, but pictures in {survey.folder} have {number}", cure=f"give {number}")
    return given


def resolve_ranges(data: DataConfig, domains: Pair[Domain], report: Callable[[str], None]) -> DataConfig:
    """``data`` with ranges of ``auto`` measured; ``report`` gets a line for each finding about the used values.

    Raises:
        OptionError: a range cannot be measured, since all values are equal.
        PictureError: no picture can be read.
    """
    used = measure(data, domains)
    data = with_measured_ranges(data, used)
    for finding in range_findings(data, used):
        report(f"{finding.problem}: {finding.cure}")
    return data


def filled_from(given: Any, stored: Any) -> Any:
    """The config ``given`` with each None and each ``auto`` replaced by the value in ``stored``."""
    if given is None or given == "auto":
        return given if stored is None else stored  # auto, where nothing is stored, is measured or refused
    if type(given) is not type(stored) or not is_dataclass(given) or isinstance(given, type):
        return given
    values = {f.name: filled_from(getattr(given, f.name), getattr(stored, f.name)) for f in fields(given)}
    return replace(given, **values)
