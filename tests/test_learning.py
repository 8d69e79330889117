"""A toy task is learnt: orange squares become blue ones where they are, and back.

It fails where the sign of a loss is wrong, the generators are exchanged, or a network is frozen that should learn.
"""

import numpy as np
import pytest
from PIL import Image

from diptych import Translator


@pytest.fixture
def run(learnt):
    return learnt


def error(run, direction, given, wanted):
    """Mean absolute difference to the truth over the test pictures, of 255."""
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


@pytest.mark.slow
def test_a_sound_run_raises_no_alarm(run):
    assert [record["health"] for record in run.metrics() if "health" in record] == []
