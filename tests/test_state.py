"""The training state and its checkpoints: what they hold, and where it is restored."""

from dataclasses import replace

import pytest
import torch

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.config import CycleganConfig
from diptych.errors import WeightsError
from diptych.pair import Pair
from diptych.rng import Stream
from diptych.run import Run
from diptych.training.checkpoint import RankState, gather_rank_states, restore, save_checkpoint
from diptych.training.image_pool import ImagePool
from diptych.training.plan.length import Length
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
    assert learning_rate_at(state, Length.fixed(19), epoch_size=5) == pytest.approx(1e-3)
    state.pictures = 10
    assert learning_rate_at(state, Length.fixed(19), epoch_size=5) == pytest.approx(1e-3 * factor)


def test_each_domain_has_a_pool_with_its_own_draws():
    state = state_of({}, width=2, method=CycleganConfig(lambda_identity=0.0, pool_size=5))
    pictures = torch.arange(100.0).reshape(-1, 1, 1, 1)
    found = state.query_pools(Pair(pictures, pictures + 100), count=7)
    seed = state.config.optimiser.seed
    assert torch.equal(found.a, ImagePool(5, seed, Stream.POOL_A).query(pictures, 7))
    assert torch.equal(found.b, ImagePool(5, seed, Stream.POOL_B).query(pictures + 100, 7))
    assert not torch.equal(found.a, found.b - 100)


@pytest.mark.parametrize(("precision", "is_scaled"), [("fp16", True), ("bf16", False), ("fp32", False)])
def test_only_gradients_of_fp16_are_scaled(precision, is_scaled):
    config = state_of({}, width=2).config
    state = State(replace(config, engine=replace(config.engine, precision=precision)))
    assert state.scaler.is_enabled() == is_scaled


@pytest.fixture
def run(tmp_path):
    run = Run(tmp_path)
    run.create()
    return run


def test_a_checkpoint_of_other_networks_is_refused_with_what_differs(run):
    saved = state_of({}, width=2)
    save_checkpoint(run, saved, gather_rank_states(saved))
    (file,) = run.checkpoint_files()
    with pytest.raises(WeightsError) as caught:
        restore(file, state_of({}, width=4))
    changes = "discriminator.width was 2 and is 4, generator.width was 2 and is 4"
    cure = "leave these options out, or start another run with --run"
    assert str(caught.value) == f"{file} was saved with other networks ({changes}): {cure}"
    tensors, description = read_checksummed(file, "checkpoint")
    name = "generators.a2b.model.1.weight"
    write_checksummed(file, "checkpoint", {key: value for key, value in tensors.items() if key != name}, description)
    with pytest.raises(WeightsError, match=rf"other networks \('{name}'\)"):
        restore(file, state_of({}, width=2))


def test_a_checkpoint_keeps_pools_and_means_of_every_rank(run):
    saved, picture = state_of({}, width=2), torch.ones(3, 2, 2)
    pools = [Pair([1 * picture, 2 * picture], [3 * picture]), Pair([], [4 * picture])]
    totals = [{"gan_a": (3.5, 2)}, {"gan_a": (1.5, 1)}]
    save_checkpoint(run, saved, [RankState(*each) for each in zip(pools, totals, strict=True)])
    said: list[str] = []
    restored = restore(run.checkpoint_files()[0], state_of({}, width=2), said.append)
    assert said == []
    means = [[[pictures.mean() for pictures in pool] for pool in rank.pools] for rank in restored]
    assert means == [[[1, 2], [3]], [[], [4]]]
    assert [{key: tuple(value) for key, value in rank.meters.items()} for rank in restored] == totals


def test_old_checkpoints_are_removed_and_the_best_is_replaced(run):
    config = state_of({}, width=2).config
    state = State(replace(config, output=replace(config.output, keep_checkpoints=2)))
    for pictures in range(4):
        state.pictures = pictures
        save_checkpoint(run, state, gather_rank_states(state))
        if pictures < 2:
            save_checkpoint(run, state, gather_rank_states(state), best=True)
    assert [int(file.stem) for file in run.checkpoint_files()] == [2, 3]
    assert read_checksummed(run.best_checkpoint_file, "checkpoint")[1]["numbers"]["pictures"] == 1
