"""The learning rate over a run, against the authors' table and closed forms."""

import math

import pytest

from diptych.training.schedules import factor
from helpers.reference import INDEX


@pytest.mark.parametrize(
    ("kind", "decay_fraction", "name"),
    [("linear", 0.5, "linear_100_100"), ("linear", 0.5, "linear_5_5"), ("step", 0.4, "step_4")],
)
def test_the_rate_of_each_epoch_equals_the_authors(kind, decay_fraction, name):
    table = INDEX["learning_rate"][name]
    assert [factor(kind, epoch, len(table), decay_fraction) for epoch in range(len(table))] == pytest.approx(
        table, rel=1e-12
    )


def test_linear_decay_follows_the_paper():
    assert factor("linear", 99, 200, 0.5) == 1
    assert factor("linear", 100, 200, 0.5) == pytest.approx(100 / 101)
    assert factor("linear", 199, 200, 0.5) == pytest.approx(1 / 101)


@pytest.mark.parametrize("kind", ["linear", "constant", "cosine", "step"])
@pytest.mark.parametrize("num_steps", [1, 2, 7, 200])
@pytest.mark.parametrize("decay_fraction", [0.1, 0.5, 1.0])
def test_no_schedule_rises_or_reaches_zero(kind, num_steps, decay_fraction):
    factors = [factor(kind, step, num_steps, decay_fraction) for step in range(num_steps)]
    assert factors == sorted(factors, reverse=True)
    assert 0 < min(factors) <= max(factors) <= 1


def test_the_other_schedules_follow_their_formulas():
    assert [factor("step", step, 200, 0.25) for step in (0, 49, 50, 100, 199)] == pytest.approx(
        [1, 1, 0.1, 0.01, 0.001]
    )
    assert [factor("step", step, 3, 0.3) for step in range(3)] == pytest.approx([1, 0.1, 0.01])  # round(0.9) = 1 epoch
    assert factor("cosine", 50, 200, 0.5) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert factor("constant", 150, 200, 0.5) == 1
