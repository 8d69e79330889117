"""Configs survive JSON; presets have their documented values."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych import config as configs
from diptych.config import (
    CycleganConfig,
    DataConfig,
    OptimiserConfig,
    PixelConfig,
    ResnetConfig,
    SourceConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.config.constraints import ADJUSTABLE, Range, iter_fields
from diptych.config_json import flatten, from_json, to_json
from diptych.errors import OptionError
from diptych.presets import PRESETS, demo, paper
from diptych.registry import METHODS

CONFIG = TrainConfig(
    source=SourceConfig(root=Path("a/b")),
    generator=UnetConfig(num_levels=7, dropout=True),
    discriminator=PixelConfig(norm="batch"),
    data=DataConfig(crop_size=128),
)


@pytest.mark.parametrize(
    "config",
    [CONFIG, demo(), *(preset(method()) for preset in PRESETS.values() for method in METHODS.built_in.values())],
)
def test_a_config_survives_a_json_round_trip(config):
    assert from_json(TrainConfig, json.loads(json.dumps(to_json(config)))) == config


@given(st.builds(OptimiserConfig, learning_rate=st.floats(allow_nan=False), seed=st.integers()))
def test_numbers_survive_json_exactly(config):
    assert from_json(OptimiserConfig, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"crop_sise": 3}}, ["config.data", "crop_sise", "did you mean crop_size?"]),
        ({"data": {"crop_size": "3"}}, ["config.data.crop_size", "'3'"]),
        ({"data": {"flip": 1}}, ["config.data.flip", "1"]),
        ({"data": 3}, ["config.data", "3"]),
        ({"generator": {"kind": "gru"}}, ["no generator 'gru'", "resnet, unet, or package.module:Class"]),
        ({"generator": {"width": 3}}, ["config.generator names no kind", "resnet, unet"]),
        ({"optimiser": {"schedule": "never"}}, ["config.optimiser.schedule", "never", "linear"]),
    ],
)
def test_a_wrong_value_is_reported_with_its_option_and_cure(change, words):
    with pytest.raises(OptionError) as caught:
        from_json(TrainConfig, change)
    assert all(word in str(caught.value) for word in words)


def test_an_option_missing_in_an_older_file_takes_its_default():
    value = to_json(CONFIG)
    del value["optimiser"]["ema"]
    assert from_json(TrainConfig, value) == CONFIG


def test_flatten_names_every_option_once():
    flat = flatten(CONFIG)
    assert flat["generator.kind"] == "unet"
    assert flat["data.crop_size"] == 128
    assert flat["source.root"] == "a/b"


def test_every_option_is_explained():
    kinds = [kind for name, kind in vars(configs).items() if dataclasses.is_dataclass(kind) and name != "TrainConfig"]
    assert len(kinds) == 17
    for kind in kinds:
        assert kind.__doc__, kind
        for field in dataclasses.fields(kind):
            assert field.metadata["help"].endswith("."), (kind, field.name)


def test_the_paper_preset_has_the_papers_settings():
    config = paper(CycleganConfig())
    assert config.generator.resolved(256) == ResnetConfig().resolved(256)
    assert (config.data.load_size, config.data.crop_size) == (286, 256)
    assert (config.method.lambda_a, config.method.lambda_b, config.method.pool_size) == (10, 10, 50)
    assert config.method.resolved((3, 3)).lambda_identity == 0.5
    optimiser = config.optimiser
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2, optimiser.batch_size) == (2e-4, 0.5, 0.999, 1)
    assert (optimiser.schedule, optimiser.schedule_unit, optimiser.decay_fraction) == ("linear", "epoch", 0.5)
    assert (optimiser.ema, optimiser.initialisation) == (0, "normal")
    assert (sum(config.method.epochs), config.engine.precision) == (200, "fp32")


def test_generator_defaults_depend_on_the_crop():
    assert ResnetConfig().resolved(256).num_blocks == 9
    assert ResnetConfig().resolved(128).num_blocks == 6
    assert ResnetConfig().resolved(0).num_blocks == 9
    assert ResnetConfig(num_blocks=3).resolved(256).num_blocks == 3
    assert [UnetConfig().resolved(crop).num_levels for crop in (256, 128, 96, 512)] == [8, 7, 5, 8]
    with pytest.raises(OptionError, match="crop-size 72"):
        UnetConfig().resolved(72)


def test_identity_needs_equal_channels():
    assert CycleganConfig().resolved((1, 3)).lambda_identity == 0
    with pytest.raises(OptionError, match="A has 1 channels and B 3"):
        CycleganConfig(lambda_identity=0.5).resolved((1, 3))


EVERY_CONFIG = [TrainConfig(), TrainConfig(generator=UnetConfig()), TrainConfig(discriminator=PixelConfig())] + [
    TrainConfig(method=method()) for method in METHODS.built_in.values()
]


@pytest.mark.parametrize("config", EVERY_CONFIG)
def test_every_number_has_a_range_and_its_default_is_in_it(config):
    for name, value, marks in iter_fields(config):
        ranges = [mark for mark in marks if isinstance(mark, Range)]
        if type(value) in (int, float):
            assert ranges, name
        assert all(mark.contains(value) for mark in ranges if value is not None), name


def test_a_resumed_run_may_change_adjustable_options_only():
    free = {name.partition(".")[0] for name, _, marks in iter_fields(TrainConfig()) if ADJUSTABLE in marks}
    assert free == {"source", "content", "length", "output", "data"}
    of_data = {
        name for name, _, marks in iter_fields(TrainConfig()) if ADJUSTABLE in marks and name.startswith("data.")
    }
    assert of_data == {
        "data.num_workers", "data.cache_gib", "data.disk_cache_gib", "data.skip_unreadable", "data.skip_unpaired",
    }  # fmt: skip
