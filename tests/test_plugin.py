"""A generator and a method from a package outside of diptych do all that built-in ones do."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import Translator
from diptych.checksummed import read_checksummed
from diptych.config import LengthConfig, OptimiserConfig, PatchganConfig
from diptych.model import load_model
from diptych.run import Run
from diptych.training.loop import train
from helpers.runs import PICTURES, InterruptAt, assert_equal_runs, records_of, tiny

FOLDER = Path(__file__).with_name("plugin")
GENERATOR, METHOD = "colourful.config:ShiftConfig", "colourful.config:CriticConfig"
CHOICE = ["--method", METHOD, "--generator", GENERATOR, "--generator.width", "3", "--lambda-same", "2.5"]
SIZES = "--crop-size 32 --load-size 36 --precision fp32 --batch-size 2 --save-minutes 0 --num-samples 2"
PATIENCE = 600
"""Seconds after which a process that does not end counts as hanging."""


@pytest.fixture
def plugin(monkeypatch):
    """The package on the path of this process, and what it holds."""
    monkeypatch.syspath_prepend(FOLDER)
    from colourful import config

    return config


def python(*words, on_path=True, **options):
    """A command of Python; the package is on its path."""
    paths = [os.environ.get("PYTHONPATH"), str(FOLDER) if on_path else None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.Popen(
        [sys.executable, *map(str, words)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def diptych(*words, on_path=True, code=0):
    """The standard output and error of the command, which must exit with ``code``."""
    process = python("-m", "diptych", *words, on_path=on_path)
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return out, said


def training(root, run, *options):
    return ["train", "--root", root, "--run", run, *SIZES.split(), "--pictures", PICTURES, *options]


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    """A run of the package's method and generator, by the command line."""
    run = Run(tmp_path_factory.mktemp("plugin") / "run")
    _, said = diptych(*training(squares, run.folder, *CHOICE))
    assert "colours of 3 channels are scored" in said
    return run


def test_options_of_the_package_are_options_of_the_command_line():
    out, _ = diptych("train", *CHOICE, "--help-all")
    assert "--lambda-same" in out
    assert "--generator.kernel" in out
    assert "Weight of the distance between input and output." in out


def test_its_options_are_resolved_and_stored(trained):
    config = json.loads(trained.config_file.read_text())["config"]
    assert config["generator"] == {"kind": GENERATOR, "width": 3, "kernel": 5}
    assert config["method"] == {"kind": METHOD, "lambda_same": 2.5}
    assert set(records_of(trained)[-1]["losses"]) == {"gan", "same", "critic"}


@pytest.mark.slow
def test_killed_and_resumed_it_equals_a_run_that_never_stopped(trained, squares, tmp_path):
    killed = Run(tmp_path / "killed")
    words = training(squares, killed.folder, *CHOICE)
    process = python("-m", "diptych", *words)
    for _ in range(PATIENCE * 50):
        if killed.checkpoint_files() or process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode < 0, "it ended before it was killed"
    assert int(killed.checkpoint_files()[-1].stem) < PICTURES
    diptych(*words)
    assert_equal_runs(trained, killed)
    tensors, _ = read_checksummed(killed.checkpoint_files()[-1], "checkpoint")
    assert {"ema.critic.scores.1.weight", "ema.generators.a2b.inner.weight", "pools.b.0.2"} <= tensors.keys()
    assert "optimisers.critic.scores.1.weight.exp_avg" in tensors


def test_it_resumes_without_its_options_repeated(trained):
    _, said = diptych("train", "--run", trained.folder)
    assert "is complete" in said


def test_its_model_translates_in_another_process_as_in_this_one(trained, plugin, squares, tmp_path):
    picture = squares / "testA" / "2000.png"
    words = ["translate", trained.folder, picture, tmp_path / "translated.png"]
    _, said = diptych(*words, code=2)
    assert f"is {GENERATOR}, and reading it would run the code of colourful.config: give --trust-code" in said
    diptych(*words, "--trust-code")
    expected = Translator.load(trained.folder)(Image.open(picture))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "translated.png")), np.asarray(expected))


def test_its_model_file_describes_itself(trained, plugin):
    model = load_model(trained.folder)
    assert model.card.generator == plugin.ShiftConfig(width=3, kernel=5)
    assert model.card.method == METHOD
    (network,) = model.networks.values()
    assert type(network).__module__ == "colourful.networks"


def test_without_the_package_its_model_and_its_run_say_what_is_missing(trained, squares, tmp_path):
    missing = f"{GENERATOR}: colourful.config cannot be imported (No module named 'colourful')"
    for words in (
        ["translate", trained.folder, squares / "testA" / "2000.png", tmp_path / "translated.png", "--trust-code"],
        ["train", "--run", trained.folder],
    ):
        _, said = diptych(*words, on_path=False, code=2)
        assert missing.partition(": ")[2] in said
        assert said.endswith(": install the package, or put its folder on PYTHONPATH\n")
        assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("colourful.config:Shift", "colourful.config has no 'Shift'"),
        ("colorful.config:ShiftConfig", "colorful.config cannot be imported"),
        ("colourful.networks:ShiftGenerator", "colourful.networks:ShiftGenerator is not a generator config"),
    ],
)
def test_a_class_path_that_leads_nowhere_is_one_line(squares, tmp_path, kind, message):
    _, said = diptych(*training(squares, tmp_path / "run", "--generator", kind), code=2)
    assert message in said
    assert len(said.splitlines()) == 1


def test_from_python_it_trains_and_resumes_to_the_bit(plugin, squares, tmp_path):
    config = tiny(
        squares, method=plugin.CriticConfig(), generator=plugin.ShiftConfig(), length=LengthConfig(pictures=PICTURES)
    )
    whole = train(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "broken", display=InterruptAt(100))
    assert_equal_runs(whole, train(config, tmp_path / "broken"))


def test_a_run_starts_from_the_weights_of_its_model(trained, plugin, squares, tmp_path):
    begin = OptimiserConfig(batch_size=2, init_from=trained.model_file, learning_rate=1e-12)
    networks = {"method": plugin.CriticConfig(), "generator": plugin.ShiftConfig(), "discriminator": PatchganConfig()}
    config = tiny(squares, **networks, optimiser=begin, length=LengthConfig(pictures=2))
    run = train(config, tmp_path / "run")
    before, after = (load_model(each.folder).networks["a2b"].state_dict() for each in (trained, run))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_its_generator_serves_a_built_in_method(plugin, squares, tmp_path):
    run = train(tiny(squares, generator=plugin.ShiftConfig(), length=LengthConfig(pictures=2)), tmp_path / "run")
    assert set(load_model(run.folder).networks) == {"a2b", "b2a"}
