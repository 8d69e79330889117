"""Configs survive JSON, strictly; presets are what they promise."""

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
from diptych.config_json import flatten, from_json, to_json
from diptych.errors import OptionError
from diptych.presets import METHODS, PRESETS, demo, paper

CONFIG = TrainConfig(
    source=SourceConfig(root=Path("a/b")),
    generator=UnetConfig(num_levels=7, dropout=True),
    discriminator=PixelConfig(norm="batch"),
    data=DataConfig(crop_size=128),
)


@pytest.mark.parametrize(
    "config", [CONFIG, demo(), *(preset(method()) for preset in PRESETS.values() for method in METHODS.values())]
)
def test_a_config_comes_back_from_json_as_it_was(config):
    assert from_json(TrainConfig, json.loads(json.dumps(to_json(config)))) == config


@given(st.builds(OptimiserConfig, learning_rate=st.floats(allow_nan=False), seed=st.integers()))
def test_numbers_come_back_exactly(config):
    assert from_json(OptimiserConfig, json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"crop_sise": 3}}, ["config.data", "crop_sise", "did you mean crop_size?"]),
        ({"data": {"crop_size": "3"}}, ["config.data.crop_size", "'3'"]),
        ({"data": {"flip": 1}}, ["config.data.flip", "1"]),
        ({"data": 3}, ["config.data", "3"]),
        ({"generator": {"kind": "gru"}}, ["config.generator", "gru", "resnet, unet"]),
        ({"generator": {"width": 3}}, ["config.generator", "None"]),
        ({"optimiser": {"schedule": "never"}}, ["config.optimiser.schedule", "never", "linear"]),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_cure(change, words):
    with pytest.raises(OptionError) as caught:
        from_json(TrainConfig, change)
    assert all(word in str(caught.value) for word in words)


def test_an_option_younger_than_the_file_takes_its_default():
    value = to_json(CONFIG)
    del value["optimiser"]["ema"]
    assert from_json(TrainConfig, value) == CONFIG


def test_flatten_names_every_option_once():
    flat = flatten(CONFIG)
    assert flat["generator.kind"] == "unet"
    assert flat["data.crop_size"] == 128
    assert flat["source.root"] == "a/b"


def test_every_option_is_explained():
    source = Path(configs.__file__).read_text()
    for name, kind in vars(configs).items():
        if dataclasses.is_dataclass(kind) and name != "TrainConfig":
            assert kind.__doc__, name
            for field in dataclasses.fields(kind):
                line = next(n for n, text in enumerate(source.splitlines()) if text.startswith(f"    {field.name}:"))
                assert source.splitlines()[line + 1].strip().startswith('"""'), (name, field.name)


def test_paper_is_the_paper():
    config = paper(CycleganConfig())
    assert (config.generator, config.data.load_size, config.data.crop_size) == (ResnetConfig(), 286, 256)
    assert (config.method.lambda_a, config.method.lambda_b, config.method.pool_size) == (10, 10, 50)
    assert config.method.settled((3, 3)).lambda_identity == 0.5
    optimiser = config.optimiser
    assert (optimiser.learning_rate, optimiser.beta1, optimiser.beta2, optimiser.batch_size) == (2e-4, 0.5, 0.999, 1)
    assert (optimiser.schedule, optimiser.schedule_unit, optimiser.decay_share) == ("linear", "epoch", 0.5)
    assert (optimiser.ema, optimiser.initialisation) == (0, "normal")
    assert (config.length.epochs, config.engine.precision) == (200, "fp32")


def test_choices_of_a_generator_follow_the_crop():
    assert ResnetConfig().settled(256).num_blocks == 9
    assert ResnetConfig().settled(128).num_blocks == 6
    assert ResnetConfig().settled(0).num_blocks == 9
    assert ResnetConfig(num_blocks=3).settled(256).num_blocks == 3
    assert [UnetConfig().settled(crop).num_levels for crop in (256, 128, 96, 512)] == [8, 7, 5, 8]
    with pytest.raises(OptionError, match="crop-size 72"):
        UnetConfig().settled(72)


def test_identity_needs_equal_channels():
    assert CycleganConfig().settled((1, 3)).lambda_identity == 0
    with pytest.raises(OptionError, match="A has 1 channels and B 3"):
        CycleganConfig(lambda_identity=0.5).settled((1, 3))
