"""Directions at once: the same numbers as one after the other, every time, and only where that is so."""

from functools import partial

import pytest
import torch
from diptych.training.parallel import ParallelDirections, independent

from diptych.config import Pix2pixConfig, ResnetConfig, UnetConfig
from diptych.pair import Pair
from diptych.run import Run
from diptych.training.checkpoint import gather_rank_states, restore, save_checkpoint, scatter_state
from diptych.training.stepper import update
from helpers.states import noise, state_of
from helpers.system import cores

MERGED = {"batch_forwards": True, "fused": True}
AT_ONCE = MERGED | {"parallel_directions": True}


def trained(engine, *, batch_size=2, **networks):
    """A state after three updates."""
    state = state_of(engine, batch_size=batch_size, **networks)
    for seed in range(3):
        logged = update(state, noise(batch_size, seed=seed), learning_rate=1e-3)
    return state, logged


@pytest.fixture
def shared_weights():
    """Two losses of the same weight, and what lies between."""
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    one, other = weight.exp(), weight.sin()
    return weight, one, other


@pytest.mark.usefixtures("two_cores")
def test_in_fp32_weights_and_losses_are_those_of_one_after_the_other_to_the_bit():
    (state, found) = trained(AT_ONCE)
    with cores(1):  # as each direction has: with more, sums are taken in another order
        plain, expected = trained(MERGED)
    assert state.execution.parallel is not None
    assert plain.execution.parallel is None
    assert {name: value.item() for name, value in found.items()} == {k: v.item() for k, v in expected.items()}
    for name, value in plain.tensors().items():
        assert torch.equal(value, state.tensors()[name]), name


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"accumulate": 2}])
def test_whichever_direction_ends_first_the_numbers_are_the_same(options):
    (one, _), (other, _) = (trained(AT_ONCE | options) for _ in range(2))
    for name, value in one.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_goes_on_from_a_checkpoint_to_the_bit(tmp_path, precision):
    run = Run(tmp_path)
    run.create()
    whole, _ = trained(AT_ONCE | {"precision": precision})
    save_checkpoint(run, whole, gather_rank_states(whole))
    resumed = state_of(AT_ONCE | {"precision": precision}, batch_size=2)
    scatter_state(resumed, restore(run.checkpoint_files()[-1], resumed))
    for state in (whole, resumed):
        update(state, noise(2, seed=9), learning_rate=1e-3)
    for name, value in whole.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name


NETWORKS = {
    "batch norm": {"generator": ResnetConfig(width=4, num_blocks=1, norm="batch")},
    "dropout": {"generator": ResnetConfig(width=4, num_blocks=1, dropout=True)},
    "one generator": {"method": Pix2pixConfig(), "generator": UnetConfig(width=4, num_levels=5)},
}
ENGINES = {
    "passes apart": {"batch_forwards": False},
    "low memory": {"activation_checkpointing": True},
    "compiled": {"compile": True},
    "not wanted": {"parallel_directions": False},
}


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_whose_order_counts_are_computed_one_after_the_other(name):
    (plain, _), (state, _) = (trained(engine, **NETWORKS[name]) for engine in (MERGED, AT_ONCE))
    for key, value in plain.tensors().items():
        assert torch.equal(value, state.tensors()[key]), key


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("name", ENGINES)
def test_engines_that_cannot_compute_at_once_do_not(name):
    assert state_of(AT_ONCE | ENGINES[name]).execution.parallel is None


def test_one_core_computes_one_direction_after_the_other():
    with cores(1):
        assert state_of(AT_ONCE).execution.parallel is None


@pytest.mark.usefixtures("two_cores")
def test_an_update_leaves_the_number_of_threads_as_it_was():
    trained(AT_ONCE)
    assert torch.get_num_threads() == 2


def test_losses_of_a_common_weight_are_independent(shared_weights):
    _, one, other = shared_weights
    parts = independent([one.sum(), other.sum(), one.mean()])
    assert [len(part.losses) for part in parts] == [1, 2]


def test_a_loss_of_both_joins_them(shared_weights):
    weight, one, other = shared_weights
    (part,) = independent([one.sum(), other.sum(), (one * other).sum()])
    assert len(part.losses) == 3
    assert list(part.leaves) == [weight]


def test_gradients_of_parts_are_added_to_what_is_there(shared_weights):
    weight, one, other = shared_weights
    weight.grad = torch.tensor([10.0, 20.0])
    parts = independent([one.sum(), torch.tensor(1.0), other.sum()])
    ParallelDirections(torch.enable_grad).backward(parts, share=0.5)
    expected = torch.tensor([10.0, 20.0]) + 0.5 * (weight.exp() + weight.cos()).detach()
    assert torch.allclose(weight.grad, expected)


def test_the_gradient_is_laid_out_as_its_weight():
    weight = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    (part,) = independent([(weight.permute(3, 2, 1, 0) ** 2).sum()])
    ParallelDirections(torch.enable_grad).backward([part], share=1.0)
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(weight.grad, 2 * weight.detach())


def test_both_directions_are_computed_with_gradients_only_where_wanted():
    parallel_directions = ParallelDirections(torch.no_grad)
    assert parallel_directions.map(Pair(1, 2), lambda x, y: (x, y), Pair(3, 4)) == Pair((1, 3), (2, 4))
    assert parallel_directions.run([torch.is_grad_enabled] * 2) == [False, False]
    with torch.no_grad():
        assert ParallelDirections(partial(torch.autocast, "cpu")).run([torch.is_grad_enabled] * 2) == [False, False]


def test_an_error_in_one_direction_is_raised():
    def fail(x):
        if x == 2:
            raise MemoryError("no room")
        return x

    with pytest.raises(MemoryError, match="no room"):
        ParallelDirections(torch.enable_grad).map(Pair(1, 2), fail)
