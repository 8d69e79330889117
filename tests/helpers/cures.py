"""A folder with pictures and a run, and a check that the cure of an error works in the next command."""

import io
import shlex
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from diptych.cli import main
from helpers.squares import BLUE, ORANGE, square

ORIGINAL = "--generator.upsampling transposed --generator.no-residual"
"""Options of a ResNet that can be exported to the original code."""
RESNET = f"--generator.num-blocks 1 {ORIGINAL}"
SMALL = (
    f"--batch-size 2 --crop-size 32 --load-size 36 --generator.width 4 {RESNET} --precision fp32"
    " --discriminator.width 4 --discriminator.num-layers 1 --num-samples 1 --no-score --num-workers 0"
)
TRAIN = f"train photos paintings {SMALL}"
NEW = f"{TRAIN} --run new --pictures 2"
RUN = Path("runs/photos2paintings")
PAIRED = TRAIN.replace("train photos", "train --method pix2pix --generator resnet photos")


def diptych(words):
    """Runs a command in this process: its exit code, and the lines that it writes to stderr."""
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said), pytest.raises(SystemExit) as stop:
        main(shlex.split(words))
    return stop.value.code, said.getvalue().splitlines()


def make_desk(folder):
    """Two folders of pictures in ``folder``, and a run on them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, colour in (("photos", ORANGE), ("paintings", BLUE)):
            Path(name).mkdir()
            for index in range(6):
                square(index, colour).save(f"{name}/{index}.png")
        code, lines = diptych(f"{TRAIN} --pictures 4")
        assert code == 0, lines


def follow(case):
    """Provokes a mistake, does what the error says, and runs the cured command.

    Args:
        case: a function that prepares the mistake, the wrong command, words of its cure, a function that does it, and
            the cured command. Either function may be None.
    """
    prepare, mistake, cure, do, cured = case
    if prepare:
        prepare()
    code, lines = diptych(mistake)
    assert code in (1, 2), lines  # 1: translate names a picture that it could not translate, and goes on
    assert any(cure in line for line in lines[-2:]), lines
    if do:
        do()
    code, lines = diptych(cured)
    assert code == 0, lines
