"""The memory of an update: predicted before the first one, and refused in one line if there is too little."""

from dataclasses import replace

import pytest
import torch

from diptych.cli import main
from diptych.config import (
    CutConfig,
    CycleganConfig,
    DataConfig,
    EngineConfig,
    OptimiserConfig,
    PatchganConfig,
    Pix2pixConfig,
    ResnetConfig,
    TrainConfig,
    UnetConfig,
)
from diptych.device import resolve_engine
from diptych.training.memory import MARGIN, update_memory
from diptych.training.stepper import update
from helpers.processes import run_python
from helpers.runs import SMALL

REAL_WORDS = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 14.56 GiB of which 1.09 GiB is free. "
    "Process 7 has 13.47 GiB memory in use. If reserved but unallocated memory is large try setting …"
)
METHODS = {
    "cyclegan": (CycleganConfig().resolved((3, 3)), ResnetConfig(width=8, num_blocks=2)),
    "pix2pix": (Pix2pixConfig(), UnetConfig(width=8, num_levels=5, norm="batch", dropout=True)),
    "cut": (CutConfig().resolved((3, 3)), ResnetConfig(width=8, num_blocks=6)),
}


def config(method="cyclegan", *, side=64, width=8, batch_size=1, **engine):
    of_method, generator = METHODS[method]
    return TrainConfig(
        method=of_method,
        generator=replace(generator, width=width),
        discriminator=PatchganConfig(width=width),
        data=DataConfig(crop_size=side, load_size=side, channels_a=3, channels_b=3),
        optimiser=OptimiserConfig(batch_size=batch_size, learning_rate=2e-4, ema=0.999),
        engine=resolve_engine(EngineConfig(device="cpu", precision="fp32", **engine)),
    )


@pytest.mark.parametrize("method", METHODS)
def test_it_grows_with_the_pixels_and_shrinks_with_checkpointing(method):
    small, large, batch = (update_memory(config(method, **size)) for size in ({}, {"side": 128}, {"batch_size": 4}))
    assert large > 1.3 * small
    assert batch > 1.3 * small
    assert update_memory(config(method, side=128, activation_checkpointing=True)) < 0.9 * large
    assert update_memory(config(method, batch_size=4, accumulate=4)) == small


MEASURE = """
import sys, torch
sys.path.insert(0, {tests!r})
from helpers.peak import peak_growth
from test_training_memory import config
from diptych.pair import Pair
from diptych.training.memory import update_memory
from diptych.training.state import State
from diptych.training.stepper import update

def two_updates(config):
    state, side = State(config), config.data.crop_size
    for _ in range(2):
        update(state, Pair(*(torch.zeros(1, 3, side, side) for _ in "ab")), learning_rate=0.0)

two_updates(config({method!r}, side=64))  # what is allocated once
asked = config({method!r}, side=160, width=48)
print(peak_growth(lambda: two_updates(asked)), update_memory(asked))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_predicted_memory_is_the_measured_one(method, request):
    done = run_python(["-c", MEASURE.format(tests=str(request.path.parent), method=method)], check=True)
    measured, predicted = map(int, done.stdout.split())
    assert MARGIN * predicted == pytest.approx(measured, rel=0.3)


def test_a_crop_too_large_is_refused_in_one_line_and_its_cures_are_accepted(squares, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("diptych.training.loop.available_memory", lambda: 100_000_000)
    words = f"train --root {squares} --run {tmp_path}/run {SMALL} --batch-size 1 --pictures 1 --precision fp32".split()

    def train(*options):
        with pytest.raises(SystemExit) as stop:
            main([*words, *options])
        return stop.value.code, capsys.readouterr().err.splitlines()[-1]

    large = ["--crop-size", "512", "--load-size", "512", "--device", "cpu"]
    code, line = train(*large)
    assert code == 2
    assert "updates with pictures of 512×512 pixels need about" in line
    cure = "give a smaller --crop-size or --generator.width, or --activation-checkpointing"
    assert line.endswith(f"0.1 GiB are free: {cure}")
    assert not (tmp_path / "run").exists()
    assert train("--device", "cpu")[0] == 0


def test_enough_memory_or_an_unknown_amount_is_not_measured(squares, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("diptych.training.memory.predicted_peak", None)
    for number, free in enumerate((2**40, None)):
        monkeypatch.setattr("diptych.training.loop.available_memory", lambda free=free: free)
        with pytest.raises(SystemExit) as stop:
            main([*f"train --root {squares} --run {tmp_path}/{number} {SMALL}".split(), "--pictures", "1"])
        assert stop.value.code == 0


@pytest.mark.parametrize("updates", [0, 2])
def test_a_device_that_runs_out_of_memory_is_one_line_with_a_cure_that_works(
    updates, squares, tmp_path, capsys, monkeypatch
):
    """A stand-in for a GPU: torch's error in the midst of training, before or after the first checkpoint."""
    words = [
        "train",
        "--root",
        str(squares),
        "--run",
        str(tmp_path / "run"),
        *SMALL.split(),
        "--batch-size",
        "1",
        "--save-minutes",
        "0",
    ]
    calls = iter(range(100))

    def fails(*arguments, **named):
        if next(calls) == updates:
            raise torch.OutOfMemoryError(REAL_WORDS)
        return update(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr("diptych.training.loop.update", fails)
        with pytest.raises(SystemExit) as stop:
            main([*words, "--pictures", "8"])
    new_run, smaller = ("--fork", "--crop-size") if updates else ("--run", "--crop-size or --generator.width,")
    cure = f"give {new_run} NEW_RUN and a smaller {smaller} or --activation-checkpointing"
    assert stop.value.code == 2
    problem = "out of memory while training (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    assert capsys.readouterr().err.splitlines()[-1] == f"diptych: {problem}: {cure}"
    with pytest.raises(SystemExit) as stop:
        main([*words, "--pictures", "8", new_run, str(tmp_path / "new"), "--activation-checkpointing"])
    assert stop.value.code == 0


def lacking(*_, **__):
    raise torch.OutOfMemoryError(REAL_WORDS)


PLACES = {
    "the weights": ("diptych.training.loop.State", []),
    "the first samples": ("diptych.monitoring.observer.sample_blocks", []),
    "the measurement of the speed": ("diptych.training.fit_time.measure_speed", ["--time", "9m"]),
}


@pytest.mark.parametrize("place", PLACES)
def test_memory_that_runs_out_before_the_first_update_is_the_same_line(place, squares, tmp_path, capsys, monkeypatch):
    name, options = PLACES[place]
    monkeypatch.setattr(name, lacking)
    words = ["train", "--root", str(squares), "--run", str(tmp_path / "run"), *SMALL.split(), "--batch-size", "2"]
    with pytest.raises(SystemExit) as stop:
        main([*words, *options])
    problem = "out of memory while training (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2
    assert said.startswith(f"diptych: {problem}: give ")
    assert said.endswith("a smaller --crop-size, --batch-size or --generator.width, or --activation-checkpointing")
    assert ("--run NEW_RUN" in said) == (tmp_path / "run" / "config.json").exists()


def means():
    """A feature network."""
    return lambda batch: batch.mean((2, 3))


def test_an_evaluation_without_memory_is_one_line_with_a_cure(learnt, capsys, monkeypatch):
    monkeypatch.setattr("diptych.evaluation.evaluate.measure", lacking)
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(learnt.folder), "--features", f"{__name__}:means", "--device", "cpu"])
    line = "out of memory while evaluating (CUDA out of memory. Tried to allocate 2.00 GiB.)"
    cure = "give --device cpu, smaller pictures, or end other programs"
    assert (stop.value.code, capsys.readouterr().err.splitlines()[-1]) == (2, f"diptych: {line}: {cure}")
