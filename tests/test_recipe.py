"""The recipe: what the default preset chooses by pictures, machine and time."""

from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from torch import nn

from diptych.config import (
    ContentConfig,
    CutConfig,
    CycleganConfig,
    DataConfig,
    LengthConfig,
    OptimiserConfig,
    PatchganConfig,
    Pix2pixConfig,
    PixelConfig,
    ResnetConfig,
)
from diptych.device import resolve_engine
from diptych.presets import default, paper
from diptych.training.plan.recipe import LAMBDA, ROWS, TIME, with_recipe
from diptych.training.speed import flops_per_picture

NARROWEST, WIDEST = ROWS[-1], ROWS[0]


def never(engine):
    raise AssertionError("the speed was measured")


def choose(config, *, speed=1e12, side=256, epoch_size=1000, report=lambda line: None):
    data = replace(
        config.data, load_size=config.data.load_size or side, channels_a=config.data.channels_a or 3, channels_b=3
    )
    config = replace(config, data=data, engine=resolve_engine(config.engine))
    measure = speed if callable(speed) else lambda engine: speed
    return with_recipe(config, epoch_size=epoch_size, report=report, measure=measure)


def with_length(config, **length):
    return replace(config, length=LengthConfig(**length))


@pytest.mark.parametrize("method", [CycleganConfig(), Pix2pixConfig(), CutConfig()], ids=lambda m: type(m).__name__)
def test_the_paper_preset_is_never_changed_nor_is_the_speed_measured(method):
    config = paper(method)
    chosen = choose(config, speed=never)
    stored = replace(config, generator=config.generator.resolved(256), data=chosen.data, engine=chosen.engine)
    assert chosen == stored
    assert (chosen.data.load_size, chosen.data.crop_size) == (286, 256)


def test_a_given_option_is_never_changed():
    config = replace(
        default(CycleganConfig()),
        generator=ResnetConfig(width=7, upsampling="bilinear", num_blocks=2, residual=True),
        discriminator=PatchganConfig(width=9),
        data=DataConfig(crop_size=200),
        optimiser=OptimiserConfig(batch_size=5, learning_rate=1e-3, ema=0.5),
        length=LengthConfig(time="10m"),
    )
    chosen = choose(config, speed=1e6)
    assert chosen.generator == config.generator
    assert chosen.discriminator == config.discriminator
    assert chosen.optimiser == config.optimiser
    assert chosen.data.crop_size == 200


def test_nothing_is_left_open():
    chosen = choose(with_length(default(CycleganConfig()), time="1h"))
    for config in (chosen.generator, chosen.discriminator):
        assert all(getattr(config, field.name) is not None for field in fields(config))
    optimiser = replace(chosen.optimiser, init_from="")
    assert all(getattr(optimiser, field.name) is not None for field in fields(optimiser))


def test_more_pictures_give_wider_networks():
    few, many = (choose(with_length(default(CycleganConfig()), pictures=n), speed=never) for n in (1000, 1_000_000))
    assert few.generator.width == NARROWEST.generator_width
    assert many.generator.width == WIDEST.generator_width
    assert few.discriminator.width < many.discriminator.width


def test_the_widest_networks_that_have_time_for_their_pictures_are_chosen():
    config = with_length(default(CycleganConfig()), time="1h")
    for row in ROWS:
        wide = choose(with_length(default(CycleganConfig()), pictures=row.pictures), speed=never)
        enough = 1.001 * row.pictures * flops_per_picture(wide) / 3600 or 1e10
        assert choose(config, speed=enough).generator.width == row.generator_width
        if row.pictures:
            assert choose(config, speed=0.99 * enough).generator.width < row.generator_width


def test_twice_the_processes_are_twice_the_speed():
    data = DataConfig(load_size=64, channels_a=3, channels_b=3)
    config = replace(with_length(default(CycleganConfig()), time="1h"), data=data)
    run = partial(with_recipe, config, epoch_size=1000)
    said = [[], []]
    run(report=said[0].append, measure=lambda engine: 2e10)
    run(report=said[1].append, measure=lambda engine: 1e10, processes=2)
    assert said[0] == said[1]


def test_crops_are_halved_if_there_is_no_time_for_whole_pictures():
    config = with_length(default(CycleganConfig()), time="10m")
    said = []
    slow = choose(config, speed=1e10, side=256, report=said.append)
    assert (slow.data.load_size, slow.data.crop_size) == (256, 128)
    assert said[0] == "crops of 128: with crops of 256, the run would see fewer than 4,000 pictures"
    assert choose(config, speed=1e13, side=256).data.crop_size == 256
    assert choose(config, speed=1e8, side=64).data.crop_size == 64  # crops are never less than 128, or whole pictures


@pytest.mark.parametrize(("load_size", "crop_size"), [(286, 256), (256, 256), (143, 128), (72, 64), (20, 20)])
def test_the_crop_is_the_largest_usual_one_that_the_load_size_holds(load_size, crop_size):
    config = replace(with_length(default(CycleganConfig()), pictures=10_000), data=DataConfig(load_size=load_size))
    assert choose(config, speed=never).data.crop_size == crop_size


def test_each_choice_is_said_and_nothing_else():
    said = []
    choose(with_length(default(CycleganConfig()), pictures=1000), report=said.append)
    assert said == [
        "about 1,000 pictures: output = input + change, generator width 16, upsampling bilinear, discriminator width 32, "
        "lambda-a 3, lambda-b 3, lambda-identity 1, batch size 2, learning rate 0.0004, EMA 0.98"
    ]
    said.clear()
    choose(paper(CycleganConfig()), speed=never, report=said.append)
    assert said == []


def test_a_given_number_of_pictures_never_makes_the_crops_smaller():
    assert choose(with_length(default(CycleganConfig()), pictures=10), speed=never).data.crop_size == 256


def test_a_run_without_a_length_has_the_epochs_of_the_paper_if_they_take_at_most_a_day():
    said = []
    fast = choose(default(CycleganConfig()), speed=1e15, report=said.append)
    assert (fast.length.epochs, fast.length.time) == (200, None)
    assert fast.generator.width < WIDEST.generator_width or fast.length.epochs * 1000 >= WIDEST.pictures
    slow = choose(default(CycleganConfig()), speed=1e10, report=said.append)
    assert (slow.length.epochs, slow.length.time) == (None, TIME)
    assert any("200 epochs would take about" in line and "--time or --epochs" in line for line in said)


@pytest.mark.parametrize(("pictures", "decay"), [(200, 0.98), (4000, 0.995), (10_000_000, 0.999)])
def test_the_moving_average_covers_a_tenth_of_the_run(pictures, decay):
    config = replace(with_length(default(CycleganConfig()), pictures=pictures), optimiser=OptimiserConfig(batch_size=2))
    assert choose(config, speed=never).optimiser.ema == decay


def test_generators_learn_the_change_between_domains_of_equal_channels():
    config = with_length(default(CycleganConfig()), pictures=1000)
    same = choose(config)
    assert same.generator.residual
    assert (same.method.lambda_a, same.method.lambda_b, same.method.lambda_identity) == (LAMBDA, LAMBDA, 1)
    grey = replace(config, data=DataConfig(channels_a=1))
    for other in (grey, replace(config, generator=ResnetConfig(residual=False))):
        chosen = choose(other)
        assert not chosen.generator.residual
        assert chosen.method.resolved((3, 3)).lambda_a == 10


@pytest.mark.parametrize("masks", [{"masks_a": Path("m")}, {"masks_b": Path("m")}])
def test_with_masks_generators_output_the_image(masks):
    config = replace(with_length(default(CycleganConfig()), pictures=1000), content=ContentConfig(**masks))
    chosen = choose(config)
    assert not chosen.generator.residual
    assert chosen.method.resolved((3, 3)).lambda_a == 10
    assert choose(replace(config, generator=ResnetConfig(residual=True))).generator.residual


def test_the_generator_of_cut_does_not_learn_the_change():
    assert not choose(with_length(default(CutConfig()), pictures=1000)).generator.residual


def test_given_weights_stay_with_generators_that_learn_the_change():
    chosen = choose(with_length(default(CycleganConfig(lambda_b=7.0)), pictures=1000))
    assert (chosen.method.lambda_a, chosen.method.lambda_b) == (LAMBDA, 7)


def test_a_larger_batch_has_a_higher_learning_rate():
    rates = [
        choose(with_length(replace(default(CycleganConfig()), optimiser=OptimiserConfig(batch_size=size)), pictures=9))
        .optimiser.learning_rate
        for size in (1, 4)
    ]  # fmt: skip
    assert rates == pytest.approx([2e-4, 8e-4])


class Valued(nn.Module):
    """A generator of another package that reads values, which fake tensors do not have."""

    def __init__(self, config, in_channels, out_channels):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x):
        return self.convolution(x) * float(x.numpy().shape[0])


@dataclass(frozen=True, kw_only=True)
class ValuedConfig:
    implementation: ClassVar[str] = "test_recipe:Valued"
    stride: ClassVar[int] = 1

    def resolved(self, crop_size):
        return self


def test_operations_are_counted_in_closed_form_also_where_a_network_reads_values():
    config = choose(with_length(replace(default(CycleganConfig()), generator=ValuedConfig()), pictures=1000))
    config = replace(config, discriminator=PixelConfig(width=4), data=replace(config.data, crop_size=32))
    generator, discriminator = 2 * 9 * 3 * 3, 2 * (3 * 4 + 4 * 8 + 8)
    assert flops_per_picture(config) == 2 * 32**2 * (9 * generator + 8 * discriminator)
