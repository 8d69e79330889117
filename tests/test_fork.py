"""A fork may change every option that leaves the networks as they are; the others are refused by name."""

import dataclasses
import typing
from dataclasses import replace

import pytest
import torch

from diptych.checksummed import read_checksummed
from diptych.config import (
    CutConfig,
    CycleganConfig,
    DataConfig,
    FastcutConfig,
    LengthConfig,
    OptimiserConfig,
    OutputConfig,
    Pix2pixConfig,
    ResnetConfig,
    TrainConfig,
)
from diptych.config.constraints import Range, iter_fields, option_name, unwrap
from diptych.errors import OptionError, RunError, UserError
from diptych.model import load_model
from diptych.monitoring.progress import Silent
from diptych.registry import METHODS
from diptych.run import Run
from diptych.training.loop import open_run, train
from diptych.training.plan.plan import make_plan
from diptych.training.state import State
from helpers.runs import PIX2PIX, records_of, tiny
from helpers.squares import make_squares

ANTIALIASED = {"generator": ResnetConfig(width=4, num_blocks=1, antialias=True, upsampling="blur")}
PARENTS = {
    "cyclegan": {"method": CycleganConfig(pool_size=5, lambda_identity=0.0)},
    "pix2pix": PIX2PIX | {"method": Pix2pixConfig(), "generator": replace(PIX2PIX["generator"], num_levels=5)},
    "cut": {"method": CutConfig(num_patches=16, head_width=8)} | ANTIALIASED,
    "fastcut": {"method": FastcutConfig(num_patches=16, head_width=8)} | ANTIALIASED,
}
PICTURES, LONGER = 4, 8
LENGTHS = ("length.epochs", "length.pictures", "length.time")
CHANGES = {
    "data.crop_size": 64,
    "data.channels_a": 1,
    "data.channels_b": 1,
    "data.range_a": "0 200",
    "data.range_b": "0 200",
    "data.holdout": 1,
    "data.num_workers": 0,
    "optimiser.init_from": "parent",
    "engine.accumulate": 2,
    "length.epochs": 2.5,
    "length.time": "100h",
    "length.pictures": 2 * LONGER,
}
"""New values of options that have a range of their own, or none."""
FOLDERS = {"content.pairs": "", "content.masks_a": "trainA", "content.masks_b": "trainB"}
"""Options that name a folder: the one below the root of the pictures."""
REFUSED = {
    "data.channels_a",
    "data.channels_b",
    "optimiser.init_from",
    "engine.device",
    "method.direction",
    "method.head_width",
    "content.lambda_pairs",  # without pairs
    "content.lambda_masks",
    "engine.cuda_graphs",  # without --compile, and on a CPU
} | (set() if torch.cuda.is_available() else {"engine.deterministic"})
PLANNED = ("length.time", "engine.compile")
"""Takes minutes: only the plan is made."""
NAMED = {"data.channels_a": "channels", "data.channels_b": "channels"}
"""What the refusal names instead of the option."""
SAME_NETWORK = {("pix2pix", "generator.dropout")}  # in a ResNet, layers after it are renamed
WITHOUT_EFFECT = {"optimiser.initialisation"}
"""Accepted with a note."""


def parent_of(kind, root):
    return tiny(
        root,
        **PARENTS[kind],
        data=DataConfig(load_size=72, crop_size=32, channels_a=3, channels_b=3),
        length=LengthConfig(pictures=PICTURES),
        output=OutputConfig(num_samples=0, score=False),
    )


def options_of(kind):
    """Every option of a run with this method, except where the pictures are."""
    return [name for name, _, _ in iter_fields(parent_of(kind, None)) if not name.startswith("source.")]


OF_METHODS = ("method.", "generator.", "discriminator.", "data.c", "optimiser.ema", "engine.precision")
CASES = [("cyclegan", name) for name in options_of("cyclegan")] + [
    pytest.param(kind, name, marks=pytest.mark.slow)
    for kind in ("pix2pix", "cut", "fastcut")
    for name in options_of(kind)
    if name.startswith(OF_METHODS)
]


def another(config, name):
    """A valid value of the option ``name`` that differs from that in ``config``."""
    if name in CHANGES:
        return CHANGES[name]
    part, _, key = name.rpartition(".")
    owner = getattr(config, part)
    value = getattr(owner, key)
    hint, constraints = unwrap(typing.get_type_hints(type(owner), include_extras=True)[key])
    ranges = [constraint for constraint in constraints if isinstance(constraint, Range)]
    if choices := typing.get_args(hint):
        candidates = [choice for choice in choices if choice not in ("auto", "fp16", "tf32")]
    elif hint is bool:
        candidates = [not value]
    else:
        assert ranges, f"say in CHANGES which other value {name} may have"
        candidates = [hint((value or 0) * 2 + 1), hint((value or 0) / 2)]
    return next(new for new in candidates if new != value and all(each.contains(new) for each in ranges))


def changed(config, name, value):
    part, _, key = name.partition(".")
    return replace(config, **{part: changed(getattr(config, part), key, value) if key else value})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Pairs, so that every method can train on them."""
    root = make_squares(tmp_path_factory.mktemp("pairs"), train=4, test=2)
    for old, new in zip(sorted((root / "trainB").iterdir()), sorted((root / "trainA").iterdir()), strict=True):
        old.rename(old.with_name(new.name))
    return root


@pytest.fixture(scope="module")
def parents(root, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("parents"), {}

    def parent(kind):
        if kind not in made:
            made[kind] = train(parent_of(kind, root), folder / kind)
        return made[kind]

    return parent


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_fork_changes_an_option_or_refuses_it_by_name(parents, root, tmp_path, kind, name):
    parent, display, folder = parents(kind), Listener(), tmp_path / "fork"
    before = parent.config()
    given = {"optimiser.init_from": parent.folder} | {key: root / below for key, below in FOLDERS.items()}
    value = given.get(name) or another(before, name)
    length = LengthConfig() if name in LENGTHS else LengthConfig(pictures=LONGER)
    config = changed(replace(before, length=length), name, value)
    is_network = name.startswith(("generator.", "discriminator.")) and (kind, name) not in SAME_NETWORK
    if name in PLANNED:
        plan = make_plan(config, parent.folder, folder, display)
        assert (plan.length is None) == (name == "length.time")  # measured again, since other options are given
        assert plan.config.engine.compile == (name == "engine.compile")
    elif is_network or name in REFUSED:
        with pytest.raises(UserError) as refused:
            train(config, parent.folder, fork=folder, display=display)
        assert NAMED.get(name, option_name(name)) in refused.value.problem
        assert not Run(folder).exists
    else:
        fork = train(config, parent.folder, fork=folder, display=display)
        stored, original = ({key: found for key, found, _ in iter_fields(each)} for each in (fork.config(), before))
        assert stored[name] == (original[name] if name in WITHOUT_EFFECT else value)
        assert any("has no effect" in line for line in display.said) == (name in WITHOUT_EFFECT)
        assert int(fork.checkpoint_files()[-1].stem) == fork.about()["total"] > PICTURES
        assert list(load_model(fork.folder).networks) == list(before.method.directions)


def test_every_option_of_every_method_is_tried():
    fields = {f.name for f in dataclasses.fields(TrainConfig)}
    assert {name.partition(".")[0] for name in options_of("cyclegan")} == fields - {"source"}
    assert set(METHODS.kinds) == set(PARENTS)


def test_a_fork_starts_from_the_parents_state_and_may_change_options(squares, tmp_path):
    config = tiny(squares, length=LengthConfig(pictures=100))
    parent = train(config, tmp_path / "parent")
    changed = replace(
        config, optimiser=replace(config.optimiser, learning_rate=1e-5), length=LengthConfig(pictures=104)
    )
    fork = train(changed, parent.folder, fork=tmp_path / "fork")
    assert fork.about()["parent"] == str(parent.checkpoint_file(100))
    assert fork.config().optimiser.learning_rate == 1e-5
    assert [record["pictures"] for record in records_of(fork)] == [104]
    before, _ = read_checksummed(parent.checkpoint_file(100), "checkpoint")
    after, _ = read_checksummed(fork.checkpoint_file(104), "checkpoint")
    step = (after["generators.a2b.model.1.weight"] - before["generators.a2b.model.1.weight"]).abs().max()
    assert 0 < step < 5e-5
    assert train(changed, parent.folder, fork=fork.folder).folder == fork.folder


def forked(parent, folder, config):
    """The state with which a fork begins, and what is said."""
    display, config = Listener(), replace(config, length=LengthConfig(pictures=LONGER))
    plan = make_plan(config, parent.folder, folder, display)
    plan.run.create()
    return open_run(plan, display)[0], display.said


def test_a_moving_average_starts_from_the_weights_if_there_was_none(root, tmp_path):
    config = parent_of("cyclegan", root)
    without, averaged = (replace(config, optimiser=OptimiserConfig(batch_size=2, ema=ema)) for ema in (0.0, 0.9))
    state, said = forked(train(without, tmp_path / "without"), tmp_path / "fork", averaged)
    assert "moving average: there was none, so it starts from the weights" in said
    averages, weights = state.ema["generators"].module.state_dict(), state.modules["generators"].state_dict()
    assert all(torch.equal(averages[name], weights[name]) for name in weights)
    state, said = forked(train(averaged, tmp_path / "averaged"), tmp_path / "other", without)
    assert "moving average: dropped; from here on, the weights themselves translate" in said
    assert state.ema == {}


def test_image_pools_of_another_size_are_emptied_and_larger_ones_are_cut(parents, root, tmp_path):
    parent, config = parents("cyclegan"), parent_of("cyclegan", root)
    for changes, number, line in (
        ({}, PICTURES, None),
        ({"method": replace(config.method, pool_size=2)}, 2, "image pools: 2 pictures of each domain at most"),
        (
            {"data": replace(config.data, crop_size=16)},
            0,
            "image pools: emptied, since their pictures have another size",
        ),
    ):
        state, said = forked(parent, tmp_path / f"fork-{number}", replace(config, **changes))
        assert [len(pool.images) for pool in state.pools] == [number, number]
        assert [each for each in said if each.startswith("image pools")] == ([line] if line else [])


def test_the_state_of_a_gradient_scaler_may_be_missing(parents):
    parent = parents("cyclegan")
    tensors, description = read_checksummed(parent.checkpoint_files()[-1], "checkpoint")
    state = State(parent.config())
    state.scaler = torch.amp.GradScaler("cpu", enabled=True)
    state.restore(tensors, description["numbers"] | {"scaler": {}})
    assert state.scaler.state_dict()["scale"] == 65536
    state.restore(tensors, description["numbers"] | {"scaler": state.scaler.state_dict() | {"scale": 8.0}})
    assert state.scaler.state_dict()["scale"] == 8


def test_weights_of_fewer_channels_are_not_repeated(parents):
    parent = parents("cyclegan")
    tensors, description = read_checksummed(parent.checkpoint_files()[-1], "checkpoint")
    name = "generators.a2b.model.1.weight"
    with pytest.raises(ValueError, match=rf"{name} has shape \[4, 1, 7, 7\], not \[4, 3, 7, 7\]"):
        State(parent.config()).restore(tensors | {name: tensors[name][:, :1]}, description["numbers"])


def test_a_fork_of_another_batch_size_ends_after_whole_updates(parents, root, tmp_path):
    config = parent_of("cyclegan", root)
    config = replace(config, optimiser=replace(config.optimiser, batch_size=3), length=LengthConfig(pictures=LONGER))
    fork = train(config, parents("cyclegan").folder, fork=tmp_path / "fork")
    assert (fork.about()["total"], fork.checkpoint_files()[-1].stem) == (10, "000000010")
    assert train(config, parents("cyclegan").folder, fork=fork.folder).about()["total"] == 10


def test_the_fork_of_one_run_is_not_continued_as_that_of_another(parents, root, tmp_path):
    longer = replace(parent_of("cyclegan", root), length=LengthConfig(pictures=LONGER))
    fork = train(longer, parents("cyclegan").folder, fork=tmp_path / "fork")
    other = train(parent_of("cyclegan", root), tmp_path / "other")
    with pytest.raises(RunError, match=r"is a run already, and a fork of .*cyclegan, not of .*other: give another"):
        train(longer, other.folder, fork=fork.folder)
    with pytest.raises(RunError, match="is a run already, and no fork, not of"):
        train(longer, fork.folder, fork=other.folder)


def test_a_crop_that_the_parents_load_size_does_not_hold_is_refused(parents, root, tmp_path):
    config = parent_of("cyclegan", root)
    config = replace(config, data=replace(config.data, crop_size=128), length=LengthConfig(pictures=LONGER))
    with pytest.raises(OptionError, match="load-size 72 is less than crop-size 128: give a larger load-size"):
        train(config, parents("cyclegan").folder, fork=tmp_path / "fork")
    config = replace(config, data=replace(config.data, load_size=144))
    assert train(config, parents("cyclegan").folder, fork=tmp_path / "fork").config().data.crop_size == 128


class KillAtOnce(Silent):
    """Ends training at the first update, without saving."""

    def advance(self, pictures):
        raise SystemError


def test_a_fork_that_is_killed_before_its_first_checkpoint_starts_from_its_parent_again(parents, root, tmp_path):
    parent, longer = parents("cyclegan"), replace(parent_of("cyclegan", root), length=LengthConfig(pictures=LONGER))
    whole = train(longer, parent.folder, fork=tmp_path / "whole")
    with pytest.raises(SystemError):
        train(longer, parent.folder, fork=tmp_path / "killed", display=KillAtOnce())
    killed = train(longer, tmp_path / "killed")
    (tensors, _), (others, _) = (read_checksummed(run.checkpoint_files()[-1], "checkpoint") for run in (whole, killed))
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    with pytest.raises(SystemError):
        train(longer, parent.folder, fork=tmp_path / "orphan", display=KillAtOnce())
    about = Run(tmp_path / "orphan").about()
    Run(tmp_path / "orphan").write_json(
        tmp_path / "orphan" / "config.json", about | {"parent": str(tmp_path / "gone/checkpoints/x")}
    )
    with pytest.raises(RunError, match="has no checkpoint yet, and .*, from which it was forked, is gone: fork again"):
        train(longer, tmp_path / "orphan")
