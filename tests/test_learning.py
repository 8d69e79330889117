"""A toy task is learnt: orange squares become blue ones where they are, and back.

It fails where the sign of a loss is wrong, the generators are exchanged, or a network is frozen that should learn.
"""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diptych import Translator
from diptych.config import EngineConfig, LengthConfig
from diptych.data.encoding import to_network
from diptych.data.transforms import stack
from diptych.device import Device, resolve_engine
from diptych.inference.forward import inference_forwards
from diptych.model import load_model
from diptych.monitoring.indicators import of_translations
from diptych.training.loop import train
from helpers.alarms import assert_clear


@pytest.fixture
def run(learnt):
    return learnt


def error(run, direction, given, wanted):
    """Mean absolute difference to the true test pictures (0 to 255)."""
    translator = Translator.load(run.folder, direction)
    return np.mean(
        [difference(translator(Image.open(file)), Image.open(wanted / file.name)) for file in given.iterdir()]
    )


def difference(made, truth):
    return np.abs(np.asarray(made, float) - np.asarray(truth, float)).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("direction", "source", "target"), [("a2b", "testA", "testB"), ("b2a", "testB", "testA")])
def test_squares_change_their_colour_and_stay_where_they_are(run, squares, direction, source, target):
    given, wanted = squares / source, squares / target
    doing_nothing = np.mean([difference(Image.open(file), Image.open(wanted / file.name)) for file in given.iterdir()])
    assert error(run, direction, given, wanted) < doing_nothing / 2


@pytest.mark.slow
@pytest.mark.parametrize(("direction", "target"), [("a2b", "testB"), ("b2a", "testA")])
def test_a_picture_of_the_target_domain_stays_as_it_is(run, squares, direction, target):
    assert error(run, direction, squares / target, squares / target) < 8


def indicators_of(run, squares, precision):
    """The indicators of a run's translations of the test pictures by direction, computed in ``precision``."""
    device = Device(resolve_engine(EngineConfig(device="cpu", precision=precision)))
    a, b = (
        to_network(stack([np.asarray(Image.open(file)) for file in sorted((squares / part).iterdir())]))
        for part in ("testA", "testB")
    )
    with inference_forwards(load_model(run.folder).networks, device) as translators:
        a2b, b2a = translators["a2b"], translators["b2a"]
        return of_translations(a, a2b(a), b, b2a), of_translations(b, b2a(b), a, a2b)


@pytest.mark.slow
def test_a_healthy_run_raises_no_alarm_and_stays_far_from_the_thresholds(run, squares):
    raised = [alarm for record in run.metrics() for alarm in record.get("alarms", [])]
    assert [alarm for alarm in raised if alarm["name"] != "waiting_fraction"] == []  # waiting depends on the machine
    for numbers in indicators_of(run, squares, "fp32"):
        assert_clear(numbers)


@pytest.mark.slow
def test_a_healthy_run_in_bf16_stays_far_from_the_thresholds(run, squares, tmp_path):
    """It goes on from the run in fp32: where the processor has no bf16, a whole run would take minutes."""
    config = run.config()
    longer = replace(
        config,
        optimiser=replace(config.optimiser, schedule="constant"),
        length=LengthConfig(pictures=1640),
        engine=EngineConfig(precision="bf16"),
    )
    fork = train(longer, run.folder, fork=tmp_path / "bf16")
    for numbers in indicators_of(fork, squares, "bf16"):
        assert_clear(numbers)
