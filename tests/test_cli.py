"""The command line: help that answers at once, mistakes in one line with exit code 2."""

import re
import subprocess
import sys

import pytest

from diptych.cli import main, parse
from diptych.config import PixelConfig, UnetConfig
from diptych.presets import PRESETS


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "diptych", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def complaint(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return line


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["translate", "--help"], ["demo", "--help"]])
def test_help_needs_neither_torch_nor_numpy(arguments):
    code = f"""
import sys
from diptych.cli import main
try:
    main({arguments})
except SystemExit as stop:
    assert stop.code == 0
heavy = {{"torch", "numpy", "PIL", "accelerate"}} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "diptych" in done.stdout


@pytest.mark.parametrize("command", ["train", "translate", "demo"])
def test_examples_in_the_help_are_commands_that_parse(command):
    text = run(command, "--help").stdout
    examples = re.findall(r"^ +diptych (.+)$", text, flags=re.MULTILINE)
    assert examples
    for example in examples:
        parse(example.split())


def test_options_reach_the_config():
    command = parse("train a b --crop-size 128 --generator unet --generator.width 32 --no-flip --lambda-a 5".split())
    config = command.config()
    assert (str(config.source.a), str(config.source.b), config.data.crop_size, config.data.flip) == (
        "a",
        "b",
        128,
        False,
    )
    assert config.generator == UnetConfig(width=32)
    assert config.method.lambda_a == 5
    assert parse(["train", "--discriminator=pixel"]).config().discriminator == PixelConfig()


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_preset_is_what_other_options_begin_from(preset):
    config = parse(["train", "--preset", preset, "--seed", "7"]).config()
    expected = PRESETS[preset](config.method)
    assert config.optimiser.seed == 7
    assert config.data == expected.data
    assert config.engine == expected.engine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "no command 'trian': did you mean train?"),
        (["xyz"], "no command 'xyz': give one of demo, train, translate"),
        (["train", "a", "b", "--batchsize", "3"], "did you mean --batch-size?"),
        (["train", "a", "b", "--frobnicate"], "diptych train --help lists them"),
        (["train", "a", "b", "--crop-size", "big"], "--crop-size"),
        (["train", "a", "b", "--preset", "papre"], "papre"),
        (["train"], "two folders of pictures are needed: give A B, or --root ROOT"),
        (["train", "nowhere", "b"], "nowhere does not exist: give a folder of pictures"),
        (["train", "a", "b", "--time", "later"], "time is 'later': give a time such as 40m"),
        (["translate", "nothing", "a", "b"], "nothing does not exist"),
        (["translate"], "see diptych translate --help"),
    ],
)
def test_a_mistake_is_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in complaint(capsys, *arguments)


def test_the_command_is_installed():
    assert run("--version").stdout.startswith("diptych 0.")


def test_training_from_the_command_line(squares, tmp_path):
    arguments = (
        f"train --root {squares} --run {tmp_path / 'run'} --pictures 4 --batch-size 2 --crop-size 32 --load-size 36"
    )
    small = "--generator.width 4 --generator.num-blocks 1 --discriminator.width 4 --discriminator.num-layers 1"
    first = run(*arguments.split(), *small.split())
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(tmp_path / "run")
    assert "4/4 pictures" in first.stderr
    again = run(*arguments.split(), *small.split())
    assert "is complete: 4 pictures" in again.stderr
    longer = run(*arguments.replace("--pictures 4", "--pictures 8").split(), *small.split())
    assert "going on from" in longer.stderr
    assert "4 of 8 pictures" in longer.stderr
