"""The training state: what it restores, and where."""

from dataclasses import replace

import pytest
import torch

from diptych.training.state import State
from diptych.training.stepper import learning_rate_at, update
from helpers.states import noise, state_of

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(("fused", "step_device"), [(True, META), (False, CPU)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_the_optimisers_state_is_restored_where_torch_needs_it(fused, step_device, channels_last):
    """The meta device stands in for a GPU. A fused optimiser reads ``step`` on its parameter's device, and another one
    on the CPU. Moments lie on the parameter's device, in its memory layout."""
    saved = state_of({"fused": fused})
    update(saved, noise(), learning_rate=1e-3)
    engine = replace(saved.config.engine, device="meta", channels_last=channels_last)
    state = State(replace(saved.config, engine=engine))
    state.restore(saved.tensors(), saved.numbers())
    for name, module in state.modules.items():
        entries = state.optimisers[name].state
        for parameter in module.parameters():
            assert parameter.device == META
            entry = entries[parameter]
            assert set(entry) == {"step", "exp_avg", "exp_avg_sq"}
            assert entry["step"].device == step_device
            for moment in (entry["exp_avg"], entry["exp_avg_sq"]):
                assert moment.device == META
                assert moment.stride() == parameter.stride()


def test_the_optimisers_state_is_restored_to_the_bit():
    saved, state = state_of({"fused": True}), state_of({"fused": True, "channels_last": True})
    for seed in range(2):
        update(saved, noise(seed=seed), learning_rate=1e-3)
    state.restore(saved.tensors(), saved.numbers())
    expected, found = saved.tensors(), state.tensors()
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []
    steps = [value.item() for name, value in found.items() if name.endswith(".step")]
    assert set(steps) == {2.0}
    assert state.pictures == 2


@pytest.mark.parametrize(("unit", "factor"), [("epoch", 2 / 3), ("update", 5 / 6)])
def test_the_learning_rate_of_an_update_follows_the_schedule_in_its_unit(unit, factor):
    """19 images are 4 epochs of 5, or 10 updates of 2. After 10 images, the decay of the second half has begun."""
    config = state_of({}, width=2, batch_size=2).config
    state = State(replace(config, optimiser=replace(config.optimiser, learning_rate=1e-3, schedule_unit=unit)))
    assert learning_rate_at(state, total=19, epoch_size=5) == pytest.approx(1e-3)
    state.pictures = 10
    assert learning_rate_at(state, total=19, epoch_size=5) == pytest.approx(1e-3 * factor)
