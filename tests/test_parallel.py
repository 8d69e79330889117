"""Parallel directions: the same numbers as sequential directions, and used only where that holds."""

import subprocess
import sys
import threading
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch

from diptych.cli.console import tune_malloc
from diptych.config import EngineConfig, LengthConfig, Pix2pixConfig, ResnetConfig, UnetConfig
from diptych.monitoring.progress import Silent
from diptych.pair import Pair
from diptych.parallel import ParallelDirections
from diptych.run import Run
from diptych.training.checkpoint import gather_rank_states, restore, save_checkpoint, scatter_state
from diptych.training.loop import train
from diptych.training.stepper import update
from helpers.runs import tiny
from helpers.states import noise, state_of
from helpers.system import cores

BATCHED = {"batch_forwards": True, "fused": True}
PARALLEL = BATCHED | {"parallel_directions": True}


def trained(engine, *, batch_size=2, **networks):
    """A state after three updates."""
    state = state_of(engine, batch_size=batch_size, **networks)
    for seed in range(3):
        logged = update(state, noise(batch_size, seed=seed), learning_rate=1e-3)
    return state, logged


@pytest.mark.usefixtures("two_cores")
def test_in_fp32_weights_and_losses_equal_sequential_directions_to_the_bit():
    (state, found) = trained(PARALLEL)
    with cores(1):  # as each direction has: with more, sums are taken in another order
        plain, expected = trained(BATCHED)
    assert state.execution.parallel is not None
    assert plain.execution.parallel is None
    assert {name: value.item() for name, value in found.items()} == {k: v.item() for k, v in expected.items()}
    for name, value in plain.tensors().items():
        assert torch.equal(value, state.tensors()[name]), name


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"accumulate": 2}])
def test_whichever_direction_ends_first_the_numbers_are_the_same(options):
    (one, _), (other, _) = (trained(PARALLEL | options) for _ in range(2))
    for name, value in one.tensors().items():
        assert torch.equal(value, other.tensors()[name]), name


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_resumes_from_a_checkpoint_to_the_bit(tmp_path, precision):
    run = Run(tmp_path)
    run.create()
    whole, _ = trained(PARALLEL | {"precision": precision})
    save_checkpoint(run, whole, gather_rank_states(whole))
    resumed = state_of(PARALLEL | {"precision": precision}, batch_size=2)
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
def test_networks_that_depend_on_the_order_run_sequentially(name):
    (plain, _), (state, _) = (trained(engine, **NETWORKS[name]) for engine in (BATCHED, PARALLEL))
    assert state.execution.parallel is None
    for key, value in plain.tensors().items():
        assert torch.equal(value, state.tensors()[key]), key


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("name", ENGINES)
def test_engines_without_parallel_directions_run_sequentially(name):
    assert state_of(PARALLEL | ENGINES[name]).execution.parallel is None


@pytest.mark.parametrize(("number", "parallel"), [(1, False), (2, True), (3, False), (4, True), (5, True)])
def test_by_default_directions_are_parallel_where_they_use_most_cores(number, parallel):
    with cores(number):
        assert (state_of(BATCHED | {"parallel_directions": None}).execution.parallel is not None) == parallel


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_computes_its_directions_in_the_same_way_on_another_number_of_cores(precision):
    """In bf16, sequential directions sum gradients of weights in another precision."""
    states = []
    for number in (1, 2):  # each direction has one core
        with cores(number):
            state, _ = trained(PARALLEL | {"precision": precision})
            states.append(state)
    one, two = states
    assert one.execution.parallel is not None
    for name, value in one.tensors().items():
        assert torch.equal(value, two.tensors()[name]), name


def test_the_config_of_a_run_says_how_its_directions_were_computed(squares, tmp_path):
    notes, display = [], Silent()
    display.note = notes.append

    def engine(name, number, **options):
        engine = EngineConfig(device="cpu", precision="fp32", **options)
        config = tiny(squares, engine=engine, length=LengthConfig(pictures=2))
        with cores(number):
            return train(config, tmp_path / name, display=display).config().engine.parallel_directions

    assert engine("two", 2) is True
    assert engine("two", 1) is True  # as it was begun
    assert engine("one", 1) is False
    assert engine("one", 2) is False
    assert engine("forced", 1, parallel_directions=True) is True
    assert not any("parallel" in note and "no effect" in note for note in notes)
    assert engine("alone", 2, batch_forwards=False, parallel_directions=True) is False
    assert "--parallel-directions has no effect here: one direction is computed at a time" in notes


RESIDENT = """
import sys
sys.path.insert(0, {tests!r})
import torch
from diptych.cli.console import tune_malloc
from helpers.states import state_of

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

{first}
state_of({{}}, width=2)
before = resident()
torch.ones(2**26)
print((resident() - before) / 2**28)
"""


@pytest.mark.parametrize(("first", "kept"), [("", False), ("tune_malloc('cpu')", True)])
def test_only_a_command_keeps_freed_memory(first, kept):
    """A tensor of 256 MiB is freed. glibc's settings belong to the process: a notebook must keep its own."""
    code = RESIDENT.format(tests=str(Path(__file__).parent), first=first)
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(found.stdout) == pytest.approx(1.0 if kept else 0.0, abs=0.1)


@pytest.mark.parametrize(("device", "kept"), [("cpu", True), ("cuda", False)])
def test_the_command_line_keeps_freed_memory_on_a_cpu(monkeypatch, device, kept):
    called = []
    monkeypatch.setattr("diptych.malloc.keep_freed_memory", lambda: called.append(1))
    monkeypatch.setattr("diptych.device.resolve_device", lambda name: device)
    tune_malloc("auto")
    assert bool(called) == kept


@pytest.mark.usefixtures("two_cores")
def test_an_update_leaves_the_number_of_threads_as_it_was():
    trained(PARALLEL)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_cores")
def test_sequential_directions_alone_cache_cast_weights():
    """A shared cache would connect the graphs of the two directions."""
    parallel = state_of(PARALLEL | {"precision": "bf16"}, width=2).execution.parallel
    found = parallel.map(Pair(1, 2), lambda _: (torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()))
    assert found == Pair((True, False), (True, False))


@pytest.fixture
def directions():
    return ParallelDirections(nullcontext)


def test_gradients_accumulate(directions):
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    weight.grad = torch.tensor([10.0, 20.0])
    directions.backward([weight.exp().sum(), 0.5 * weight.sin().sum()], [weight])
    assert torch.allclose(weight.grad, torch.tensor([10.0, 20.0]) + (weight.exp() + 0.5 * weight.cos()).detach())


def test_gradients_are_added_in_the_order_of_the_losses_whichever_is_computed_first(directions):
    """In float32, 1 + 1e8 − 1e8 is 0 from left to right, and 1 in the order of the losses."""
    weight, ended = torch.zeros(1, requires_grad=True), threading.Event()

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, last):
            ctx.factor, ctx.last = factor, last
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            if ctx.last:
                assert ended.wait(timeout=60)
            else:
                ended.set()
            return ctx.factor * gradient, None, None

    weight.grad = torch.tensor([-1e8])
    directions.backward([Scaled.apply(weight, 1e8, True).sum(), Scaled.apply(weight, 1.0, False).sum()], [weight])
    assert weight.grad.item() == 1.0


def test_a_parameter_that_no_loss_uses_gets_no_gradient(directions):
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    directions.backward([used.sum(), (3 * used).sum()], [used, unused])
    assert used.grad.tolist() == [4.0, 4.0]
    assert unused.grad is None


def test_the_gradient_is_laid_out_as_its_weight(directions):
    weight = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    directions.backward([(weight.permute(3, 2, 1, 0) ** 2).sum()], [weight])
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(weight.grad, 2 * weight.detach())


def test_members_keep_their_order_and_are_computed_at_the_same_time(directions):
    both = threading.Barrier(2, timeout=60)

    def wait_for_both(x, y):
        both.wait()  # which returns only where both members are being computed
        return x, y, threading.current_thread().name

    (a, c, one), (b, d, other) = directions.map(Pair(1, 2), wait_for_both, Pair(3, 4))
    assert ((a, c), (b, d)) == ((1, 3), (2, 4))
    assert one != other


def test_both_directions_are_computed_with_gradients_only_where_the_caller_has_them(directions):
    def with_gradients(_):
        return torch.is_grad_enabled()

    assert directions.map(Pair(1, 2), with_gradients) == Pair(True, True)
    with torch.no_grad():
        assert directions.map(Pair(1, 2), with_gradients) == Pair(False, False)


def test_forward_passes_run_inside_the_context_and_backward_passes_outside():
    directions = ParallelDirections(partial(torch.autocast, "cpu", torch.bfloat16))
    product = partial(torch.matmul, torch.ones(2, 2))
    assert directions.map(Pair(torch.ones(2, 2), torch.ones(2, 2)), product).map(lambda y: y.dtype).a == torch.bfloat16

    class Recorded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            seen.append(torch.is_autocast_enabled("cpu"))
            return gradient

    seen, weight = [], torch.ones(2, requires_grad=True)
    directions.backward([Recorded.apply(weight).sum(), Recorded.apply(weight).sum()], [weight])
    assert seen == [False, False]


@pytest.mark.parametrize("number", [1, 2])
def test_an_error_in_a_direction_is_raised(directions, number):
    def fail(x):
        if x == number:
            raise MemoryError("no room")
        return x

    with pytest.raises(MemoryError, match="no room"):
        directions.map(Pair(1, 2), fail)
