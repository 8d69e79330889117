"""The cures of errors about evaluation and about the user's own code: provoke the error, do what it says, and succeed."""

import importlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diptych import Translator
from diptych.errors import PictureError
from helpers.cures import NEW, RESNET, RUN, diptych, follow
from helpers.squares import BLUE, ORANGE, square

HEAD = """
from dataclasses import dataclass, field
from typing import ClassVar
from diptych.config import ResnetConfig, UnetConfig
from torch import nn

@dataclass(frozen=True)
class Config(ResnetConfig):
    implementation: ClassVar[str] = ResnetConfig.implementation
"""
OWN = NEW.replace("--run new", "--generator own:Config --run new")
FEATURES = "def network():\n    return lambda batch: {result}\n"
GOOD = FEATURES.format(result="batch.mean((2, 3))")
EVALUATE = f"evaluate {RUN} photos paintings --features own:network"
PAIRS = f"{EVALUATE} --pairs"


def own(text):
    """Writes the module ``own``, which the next command imports."""
    sys.modules.pop("own", None)
    importlib.invalidate_caches()
    shutil.rmtree("__pycache__", ignore_errors=True)
    Path("own.py").write_text(text)


def good_features():
    own(GOOD)


def good_config():
    own(HEAD)


def colours(text):
    own(GOOD)
    Path("classes.txt").write_text(text)


def two_colours():
    Path("classes.txt").write_text("#323232\n#1e50e6\n")


def many_colours():
    own(GOOD)
    for index in range(6):
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
            f"paintings/{index}.png"
        )


def only_one():
    own(GOOD)
    for index in range(1, 6):
        Path(f"photos/{index}.png").unlink()


def another_one():
    square(1, ORANGE).save("photos/1.png")


def one_direction():
    own(GOOD)
    diptych(f"{NEW.replace('train ', 'train --method cut ')}")


def held_out():
    """A run with held-out pictures, one of which has changed."""
    own(GOOD)
    diptych(f"{NEW} --holdout 3")
    shutil.copytree("photos", "before")
    for index in range(6):
        square(index + 50, BLUE).save(f"photos/{index}.png")


def put_back():
    shutil.copytree("before", "photos", dirs_exist_ok=True)


UNET = NEW.replace(f"--generator.width 4 {RESNET}", "--generator unet --generator.width 4").replace(
    "run new", "run unet"
)
BROKEN = """class Small(nn.Conv2d):
    def __init__(self, config, a, b):
        super().__init__(a, b, 1)

    def forward(self, x):
        {body}
        return super().forward(x)

@dataclass(frozen=True)
class Own(ResnetConfig):
    implementation: ClassVar[str] = 'own:Small'
"""


SCORER = """
from diptych.config import PatchganConfig
class Critic(nn.Conv2d):
    def __init__(self, config, channels):
        super().__init__(channels, 1, 1)

@dataclass(frozen=True)
class Scorer(PatchganConfig):
    implementation: ClassVar[str] = 'own:Critic'
"""


def own_run(text=HEAD, config="Config"):
    own(text)
    code, lines = diptych(OWN.replace("Config", config))
    assert code == 0, lines


def without_module():
    own_run()
    Path("own.py").unlink()
    sys.modules.pop("own")
    importlib.invalidate_caches()


CASES = {
    "an option before its class": (
        lambda: own(HEAD + "    dropout: float = 0.0\n"), NEW + " --generator.dropout --generator own:Config", "name the class before --generator.dropout FLOAT",
        None, OWN + " --generator.dropout 0"),
    "options of another generator than that of the initial weights": (
        lambda: diptych(UNET), f"{NEW} --init-from unet", "leave the options of a resnet out", None,
        f"{NEW.replace(f'--generator.width 4 {RESNET}', '')} --init-from unet"),
    "a generator whose layers have changed": (
        lambda: (own_run(HEAD + BROKEN.format(body="pass"), "Own"), own((HEAD + BROKEN.format(body="pass")).replace("(a, b, 1)", "(a, b, 3)"))),
        "translate new photos out --trust-code", "the other packages as they were in training",
        lambda: own(HEAD + BROKEN.format(body="pass")), "translate new photos out --trust-code"),
    "a discriminator that the original code does not have": (
        lambda: (own(HEAD + SCORER), diptych(f"{NEW} --discriminator own:Scorer")), "export new --original theirs --trust-code", "trained with the generators and discriminators of diptych",
        None, f"export {RUN} --original theirs"),
    "a generator that the original code does not have": (
        lambda: own_run(HEAD + BROKEN.format(body="pass"), "Own"), "export new --original theirs --trust-code", "trained with the generators and discriminators of diptych",
        None, f"export {RUN} --original theirs"),
    "a forward method that depends on values": (
        lambda: own_run(HEAD + BROKEN.format(body="assert x.sum() < 1e9"), "Own"), "export new x.pt2 --trust-code", "change its forward method",
        lambda: own(HEAD + BROKEN.format(body="pass")), "export new x.pt2 --trust-code"),
    "a model whose module is gone": (
        without_module, "translate new/model.safetensors photos out --trust-code", "install the package, or put its folder on PYTHONPATH", good_config,
        "translate new/model.safetensors photos out --trust-code"),
    "a class that needs an option": (
        lambda: own(HEAD + "    shift: int = field(kw_only=True)\n"), OWN, "give each of its options a default",
        lambda: own(HEAD + "    shift: int = field(kw_only=True, default=1)\n"), OWN),
    "an option of a strange type": (
        lambda: own(HEAD + "    shift: complex = 1j\n"), OWN, "use bool, int, float, str, Path or Literal",
        lambda: own(HEAD + "    shift: float = 1.0\n"), OWN),
    "a class that is no config": (
        lambda: own(HEAD + "class Other:\n    pass\n"), OWN.replace("Config", "Other"), "give the config class of a generator", None, OWN),
    "a module that is not there": (None, OWN, "or put its folder on PYTHONPATH", good_config, OWN),
    "a class that is not there": (good_config, OWN.replace("Config", "Confug"), "give the name of a class in it", None, OWN),
    "a generator without features for CUT": (
        lambda: own(HEAD + "class Small(nn.Conv2d):\n    def __init__(self, config, a, b):\n        super().__init__(a, b, 1)\n\n"
            "@dataclass(frozen=True)\nclass Bare(ResnetConfig):\n    implementation: ClassVar[str] = 'own:Small'\n"),
        f"{OWN} --method cut".replace("own:Config", "own:Bare"), "give --generator resnet", None, f"{NEW} --method cut --generator resnet"),
    "no feature network": (good_features, EVALUATE.replace("own:network", "own.pt"), "or module:function", None, EVALUATE),
    "a text as a feature network": (
        lambda: Path("own.pt").write_text("x"), EVALUATE.replace("own:network", "own.pt"), "write one with torch.jit.save",
        lambda: torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())), "own.pt"),
        EVALUATE.replace("own:network", "own.pt")),
    "a function that fails": (lambda: own("def network():\n    return 1 / 0\n"), EVALUATE, "where function() returns the network", good_features, EVALUATE),
    "a function that returns a number": (lambda: own("def network():\n    return 7\n"), EVALUATE, "or a function of (B, 3, H, W) in [0, 1]", good_features, EVALUATE),
    "a network that fails": (lambda: own(FEATURES.format(result="1 / 0")), EVALUATE, "give one that takes them", good_features, EVALUATE),
    "a network of maps": (lambda: own(FEATURES.format(result="batch")), EVALUATE, "give one that returns (B, D)", good_features, EVALUATE),
    "a network of NaN": (lambda: own(FEATURES.format(result="batch.mean((2, 3)) * float('nan')")), EVALUATE, "give another network", good_features, EVALUATE),
    "one picture to evaluate on": (only_one, EVALUATE, "give at least 2 of each domain", another_one, EVALUATE),
    "a root without test pictures": (
        lambda: (good_features(), Path("root").mkdir()), EVALUATE.replace("photos paintings", "--root root"), "give A B, two folders of pictures", None, EVALUATE),
    "a model without held-out pictures": (
        good_features, EVALUATE.replace(f"{RUN} photos paintings", f"{RUN}/model.safetensors"), "give pictures that it has not seen: A B", None, EVALUATE),
    "held-out pictures that have changed": (held_out, "evaluate new --features own:network", "put them back", put_back, "evaluate new --features own:network"),
    "held-out pictures that have changed, and others": (
        held_out, "evaluate new --features own:network", "or give others: A B", None, "evaluate new photos paintings --features own:network"),
    "colours without label maps": (
        lambda: colours("#323232\n#1e50e6\n"), f"{PAIRS} --colours classes.txt", "or --label-maps b", None, f"{PAIRS} --colours classes.txt --label-maps b"),
    "label maps that are not made": (
        one_direction, f"{PAIRS.replace(str(RUN), 'new')} --label-maps a", "leave out --label-maps", None, PAIRS.replace(str(RUN), "new")),
    "label maps without pairs": (good_features, f"{EVALUATE} --label-maps b", "add --pairs", None, f"{PAIRS} --label-maps b"),
    "label maps of many colours": (
        many_colours, f"{PAIRS} --label-maps b", "list the classes' colours in a file and give it with --colours", two_colours,
        f"{PAIRS} --label-maps b --colours classes.txt"),
    "no file of colours": (
        good_features, f"{PAIRS} --label-maps b --colours classes.txt", "give a text file", two_colours, f"{PAIRS} --label-maps b --colours classes.txt"),
    "a colour that is none": (
        lambda: colours("#12345\n"), f"{PAIRS} --label-maps b --colours classes.txt", "start it with a colour, #rrggbb", two_colours,
        f"{PAIRS} --label-maps b --colours classes.txt"),
    "one colour": (
        lambda: colours("#323232\n"), f"{PAIRS} --label-maps b --colours classes.txt", "list two or more, one #rrggbb per line", two_colours,
        f"{PAIRS} --label-maps b --colours classes.txt"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_cure_of(desk, monkeypatch, name):
    monkeypatch.syspath_prepend(desk)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    follow(CASES[name])


@pytest.mark.parametrize(
    ("picture", "words", "cured"),
    [
        (np.zeros((32, 32), np.int64), r"give \(H, W\) or \(H, W, C\) of uint8, int8, ", np.zeros((32, 32), np.uint8)),
        (np.zeros((32, 32, 5), np.uint8), "give pictures like those of training", np.zeros((32, 32, 3), np.uint8)),
        (Image.new("F", (32, 32)), "give pictures like those of training", Image.new("F", (32, 32)).convert("L")),
    ],
)
def test_the_cure_of_a_picture_in_python(desk, picture, words, cured):
    translator = Translator.load(RUN)
    with pytest.raises(PictureError, match=words):
        translator(picture)
    translator(cured)


def test_training_shows_the_error_of_failed_trial_updates(desk, monkeypatch, capfd):
    monkeypatch.syspath_prepend(desk)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    own(HEAD + BROKEN.format(body="raise RuntimeError('no such layer')"))
    code, lines = diptych(f"{OWN} --dry-run".replace("Config", "Own"))
    assert (code, lines[-1]) == (
        2, "diptych: trial updates failed (RuntimeError: no such layer): diptych train shows the whole error"
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="no such layer"):
        diptych(OWN.replace("Config", "Own"))
