"""Half precision: steps that overflow are skipped, and the scale changes once per update. A scaler on the CPU stands in
for one on a GPU; its scale decides whether gradients in float32 overflow."""

import math

import pytest
import torch

from diptych.config import LengthConfig
from diptych.errors import RunError
from diptych.monitoring.meters import NonFiniteError
from diptych.training.loop import train
from diptych.training.stepper import MIN_SCALE, refuse_endless_overflow, update
from helpers.runs import records_of, tiny
from helpers.states import noise, state_of

OVERFLOWING = 2.0**127


def scaled(scale, **options):
    """A state whose losses are multiplied by ``scale``."""
    state = state_of({"fused": True}, width=2, **options)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=3)
    return state


def test_the_scale_grows_after_as_many_updates_as_its_interval_and_not_after_as_many_steps():
    state, scales = scaled(8.0), []
    for seed in range(6):
        update(state, noise(seed=seed), learning_rate=1e-3)
        scales.append(state.scaler.get_scale())
    assert scales == [8, 8, 16, 16, 16, 32]


def test_an_update_with_a_scale_equals_one_without():
    plain, state = state_of({"fused": True}, width=2), scaled(2.0**10)
    for seed in range(2):
        expected, found = (update(each, noise(seed=seed), learning_rate=1e-3) for each in (plain, state))
        for name, value in expected.items():
            assert found[name].item() == pytest.approx(value.item(), rel=1e-4), name
    found = state.tensors()
    for name, value in plain.tensors().items():
        if "bias" not in name:  # before an instance norm, a bias moves by rounding alone
            assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-6), name


def test_an_update_that_overflows_changes_no_weight_and_halves_the_scale_once():
    state = scaled(OVERFLOWING)
    before = {name: value.clone() for name, value in state.tensors().items()}
    logged = update(state, noise(), learning_rate=1e-3)
    assert not any(value.isfinite() for name, value in logged.items() if name.startswith("gradient."))
    assert all(value.isfinite() for name, value in logged.items() if not name.startswith("gradient."))
    after = state.tensors()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {after[name].item() for name in after if name.endswith(".step")} == {0.0}
    assert state.scaler.get_scale() == OVERFLOWING / 2
    assert state.pictures == 1


def test_a_method_may_step_a_module_twice_in_an_update():
    state = scaled(8.0)
    steps = list(state.method.update(noise(), lambda fake: fake, state.execution))
    assert len(steps) == 2
    once = state.method.update

    def twice(real, query, execution):
        for _ in range(2):
            yield from once(real, query, execution)

    state.method.update = twice
    update(state, noise(), learning_rate=1e-3)
    assert {value.item() for name, value in state.tensors().items() if name.endswith(".step")} == {2.0}
    assert state.scaler.state_dict()["_growth_tracker"] == 2


class OverflowsUntil(torch.amp.GradScaler):
    """A scaler on the CPU that multiplies losses by infinity in its first ``number`` steps."""

    def __init__(self, number):
        super().__init__("cpu", enabled=True)
        self.number = number

    def scale(self, outputs):
        self.number -= 1
        return super().scale(outputs) * (math.inf if self.number >= 0 else 1)


@pytest.fixture
def trained(squares, tmp_path, monkeypatch):
    """A function that trains with a scaler. Two updates of batch 2 are a log record, and alarms start at once."""

    def run(scaler, pictures):
        monkeypatch.setattr("diptych.training.state.torch.amp.GradScaler", lambda *_, **__: scaler)
        monkeypatch.setattr("diptych.training.loop.LOG_EVERY", 4)
        monkeypatch.setattr("diptych.monitoring.alarms.MIN_ALARM_PICTURES", 0)
        return train(tiny(squares, length=LengthConfig(pictures=pictures)), tmp_path / "run")

    return run


def test_a_run_goes_on_after_log_windows_whose_every_step_overflowed(trained):
    records = records_of(trained(OverflowsUntil(8), 24))  # an update has two steps
    assert [record["pictures"] for record in records] == [4, 8, 12, 16, 20, 24]
    assert [sorted(record["gradients"]) for record in records] == [[]] * 2 + [["discriminators", "generators"]] * 4
    numbers = [value for record in records for key in ("losses", "gradients") for value in record[key].values()]
    assert all(map(math.isfinite, numbers))


def test_a_run_whose_every_step_overflows_ends_with_a_cure(trained):
    with pytest.raises(RunError) as error:
        trained(OverflowsUntil(10**9), 200)
    message = "every gradient in fp16 is infinite after 56 pictures: start again with a lower --learning-rate, or"
    assert message in str(error.value)
    assert str(error.value).endswith("--precision fp32")


@pytest.mark.parametrize(("scale", "ends"), [(MIN_SCALE, False), (MIN_SCALE / 2, True)])
def test_gradients_that_overflow_at_every_scale_end_the_run(scale, ends):
    state = scaled(scale)
    if not ends:
        refuse_endless_overflow(state)
        return
    with pytest.raises(NonFiniteError, match="every gradient in fp16 is infinite after 0 pictures"):
        refuse_endless_overflow(state)
    state.scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=False)
    refuse_endless_overflow(state)
