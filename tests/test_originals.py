"""The counterparts of the original's options exist, are named in errors, and agree with the documentation."""

import re
from pathlib import Path

import pytest

from diptych.cli import main
from diptych.cli.options import options_of
from diptych.cli.originals import NO_COUNTERPART, OPTIONS, VALUES
from diptych.cli.train import Train

PAGE = (Path(__file__).parents[1] / "docs" / "from-the-original-code.md").read_text(encoding="utf-8")
TABLES = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| "))
"""Their side of the page's tables."""


def cure_of(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(["train", "a", "b", *words])
    told = capsys.readouterr().err
    assert (stop.value.code, told.count("\n")) == (2, 1)
    return told


def test_every_counterpart_of_an_original_option_exists():
    known = {name for option in options_of(Train) for name in option.names}
    named = {word for cure in (*OPTIONS.values(), *VALUES.values()) for word in cure.split() if word.startswith("--")}
    assert named <= known
    choices = {option.name: option.choices for option in options_of(Train)}
    for (option, _), value in VALUES.items():
        assert value.partition(" ")[0] in choices[option]


def test_every_option_of_theirs_is_on_the_page():
    older = {
        "--batchSize",
        "--fineSize",
        "--loadSize",
        "--identity",
        "--nThreads",
        "--resize-or-crop",
        "--which-direction",
        "--which-model-netD",
        "--which-model-netG",
    }
    for name in {*OPTIONS, *NO_COUNTERPART} - older:
        assert re.search(rf"\b{name.removeprefix('--').replace('-', '_')}\b", TABLES), name
    for _, value in VALUES:
        assert re.search(rf"\b{value}\b", TABLES), value


@pytest.mark.parametrize(
    ("typed", "cure"),
    [
        ("--lr 0.1", "give --learning-rate"),
        ("--lambda_A 5", "did you mean --lambda-a?"),
        ("--lambda_L1 5", "give --lambda-l1"),
        ("--no_dropout", "give --generator.no-dropout"),
        ("--n_epochs 100", "give the sum of n_epochs and n_epochs_decay as --epochs"),
        ("--preprocess none", "give --resize none --crop-size 0"),
        ("--netG resnet_6blocks", "give --generator resnet --generator.num-blocks 6"),
        ("--gan_mode=lsgan", "give --gan-loss least-squares"),
        ("--model other", "give --method"),
        ("--gpu_ids -1", "give --device cpu or cuda"),
        ("--continue_train", "leave it out, since the same command resumes by itself"),
        ("--epoch 100", "did you mean --epochs?"),
        ("--width 32", "did you mean --generator.width or --discriminator.width?"),
        ("--gan-loss lsgan", "give --gan-loss least-squares"),
        ("--generator unet_256", "give --generator unet --generator.num-levels 8"),
        ("--no-generator.dropout", "did you mean --generator.no-dropout?"),
    ],
)
def test_an_original_option_is_refused_with_our_counterpart(capsys, typed, cure):
    assert cure in cure_of(capsys, *typed.split())


def test_all_options_of_a_command_of_theirs_are_answered_at_once(capsys):
    typed = "--name maps --batch_size 2 --netG resnet_6blocks --lr=1 --display_id 0 --n_epoch 1"
    told = cure_of(capsys, *typed.split())
    assert told.rstrip() == (
        "diptych: train has no option --name: give --run; "
        "for --netG, give --generator resnet --generator.num-blocks 6; for --lr, give --learning-rate; "
        "for --display-id, leave it out, since report.html is written during training, without visdom"
    )
