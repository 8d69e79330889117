"""The exponential moving average: its closed form, its buffers, and that it resumes to the bit."""

from math import prod

import pytest
import torch
from torch import nn

from diptych.config import ResnetConfig
from diptych.run import Run
from diptych.training.checkpoint import gather_rank_states, restore, save_checkpoint, scatter_state
from diptych.training.ema import Ema
from diptych.training.stepper import update
from helpers.states import noise, state_of

BATCH_NORM = {"generator": ResnetConfig(width=4, num_blocks=1, norm="batch"), "batch_size": 2}


def closed_form(weights, decay):
    """θ̄ = θ₀ ∏ dₙ + Σ (1 − dₙ) θₙ ∏_{k>n} d_k, with dₙ = min(decay, (1 + n) / (10 + n)) and n from 1."""
    decays = [min(decay, (1 + n) / (10 + n)) for n in range(1, len(weights))]
    shares = [prod(decays), *((1 - d) * prod(decays[n:]) for n, d in enumerate(decays, start=1))]
    assert sum(shares) == pytest.approx(1)
    return sum(share * weight for share, weight in zip(shares, weights, strict=True))


@pytest.mark.parametrize("decay", [0.25, 0.3, 0.999])
def test_the_average_has_its_closed_form(decay):
    """With 0.999, all eight updates lie in the warm-up; with 0.25 and 0.3, the first one or two do."""
    layer = nn.Linear(3, 2).double()
    ema, weights = Ema(layer, decay), [layer.weight.detach().clone()]
    for num_updates in range(1, 9):
        nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(num_updates))
        weights.append(layer.weight.detach().clone())
        ema.update(layer, num_updates)
    assert torch.allclose(ema.module.weight, closed_form(weights, decay), rtol=1e-12, atol=1e-12)


def test_the_warm_up_removes_the_influence_of_the_initial_weights():
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    ema = Ema(layer, 0.999)
    nn.init.zeros_(layer.weight)
    for num_updates in range(1, 31):
        ema.update(layer, num_updates)
    assert ema.module.weight.item() < 1e-6  # without the warm-up, it would be 0.97


def test_buffers_are_copied():
    norm = nn.BatchNorm2d(3)
    ema = Ema(norm, 0.999)
    norm(torch.randn(4, 3, 5, 5))
    assert not torch.equal(ema.module.running_mean, norm.running_mean)
    ema.update(norm, 1)
    assert torch.equal(ema.module.running_mean, norm.running_mean)
    assert torch.equal(ema.module.running_var, norm.running_var)
    assert ema.module.num_batches_tracked == 1


def test_the_average_is_not_trained_and_translates_in_evaluation_mode():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    ema = Ema(layer.train(), 0.9)
    assert not any(module.training for module in ema.module.modules())
    assert not any(p.requires_grad for p in ema.module.parameters())
    assert layer.training
    assert all(p.requires_grad for p in layer.parameters())


def test_training_averages_the_generators_after_each_update():
    state = state_of({}, ema=0.2, batch_size=2)
    (name,) = state.ema
    parameters = dict(state.modules[name].named_parameters())
    weights = {key: [p.detach().double().clone()] for key, p in parameters.items()}
    for seed in range(4):
        update(state, noise(2, seed=seed), learning_rate=1e-2)
        for key, p in parameters.items():
            weights[key].append(p.detach().double().clone())
    assert name == "generators"
    for key, average in state.ema[name].module.named_parameters():
        assert (weights[key][0] - weights[key][-1]).abs().max() > 1e-3
        assert torch.allclose(average.double(), closed_form(weights[key], 0.2), atol=1e-6), key


def test_the_average_of_a_resumed_run_is_the_same_to_the_bit(tmp_path):
    run = Run(tmp_path)
    run.create()
    whole = state_of({}, ema=0.9, **BATCH_NORM)
    for seed in range(3):
        update(whole, noise(2, seed=seed), learning_rate=1e-2)
    save_checkpoint(run, whole, gather_rank_states(whole))
    resumed = state_of({}, ema=0.9, **BATCH_NORM)
    scatter_state(resumed, restore(run.checkpoint_files()[-1], resumed))
    for seed in range(3, 5):
        for state in (whole, resumed):
            update(state, noise(2, seed=seed), learning_rate=1e-2)
    expected, found = (state.ema["generators"].module.state_dict() for state in (whole, resumed))
    current = whole.modules["generators"].state_dict()
    assert any("running_mean" in key for key in expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
        is_buffer = "running" in key or "num_batches" in key
        assert torch.equal(current[key], value) == is_buffer, key


def test_the_average_translates_if_there_is_one():
    averaged, current = (state_of({}, ema=ema) for ema in (0.9, 0.0))
    assert current.ema == {}
    assert current.inference_generators()["a2b"] is current.modules["generators"]["a2b"]
    assert averaged.inference_generators()["a2b"] is averaged.ema["generators"].module["a2b"]
