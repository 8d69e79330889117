"""Every cure that an error names is accepted by the next command: provoke the error, do what it says, and succeed."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from diptych.cli import main
from diptych.data.files import by_hash
from helpers.squares import BLUE, ORANGE, square

SMALL = (
    "--batch-size 2 --crop-size 32 --load-size 36 --generator.width 4 --generator.num-blocks 1 --precision fp32"
    " --discriminator.width 4 --discriminator.num-layers 1 --num-samples 1 --no-score --num-workers 0"
)
TRAIN = f"train photos paintings {SMALL}"
RUN = Path("runs/photos2paintings")
PAIRED = TRAIN.replace("train photos", "train --method pix2pix --generator resnet photos")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A desk with two folders of pictures, and a run on them."""
    folder = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, colour, first in (("photos", ORANGE, 0), ("paintings", BLUE, 0)):
            Path(name).mkdir()
            for index in range(first, first + 6):
                square(index, colour).save(f"{name}/{index}.png")
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(f"{TRAIN} --pictures 4"))
        assert stop.value.code == 0
    return folder


@pytest.fixture
def desk(trained, tmp_path, monkeypatch):
    """A copy of it for each test, which works there."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def diptych(capsys):
    """A command in this process: its exit code, and the lines that it says on stderr."""

    def call(words):
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(words))
        return stop.value.code, capsys.readouterr().err.splitlines()

    return call


def damage(path):
    """Cuts the pixels off: the header, which is all that is read before training, stays."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("cure", ["replace", "remove", "skip"])
def test_a_damaged_picture_during_training(desk, diptych, cure):
    for index in range(6, 14):
        square(index, ORANGE).save(f"photos/{index}.png")
    *_, name = by_hash([Path(f"{index}.png") for index in range(14)])  # the first ones are samples, read at the start
    picture = Path("photos") / name
    square(3, ORANGE).resize((256, 256)).effect_spread(20).save(picture)
    damage(picture)
    command = f"{TRAIN} --run new --holdout 2 --pictures 60"
    code, lines = diptych(command)
    assert code == 2
    assert re.match(rf"diptych: {picture} is cut off .*: replace or remove it, or pass --skip-unreadable", lines[-1])
    reached = int(next(found[1] for line in lines if (found := re.search(r"saved at (\d+) of 60", line))))
    if cure == "replace":
        square(3, ORANGE).save(picture)
    elif cure == "remove":
        picture.unlink()
    code, lines = diptych(command + (" --skip-unreadable" if cure == "skip" else ""))
    assert code == 0, lines
    assert any(line.startswith("continuing from new/") and f": {reached} of 60" in line for line in lines), lines


def test_a_sound_picture_that_is_replaced_is_still_refused(desk, diptych):
    square(9, ORANGE).save("photos/3.png")
    code, lines = diptych(f"{TRAIN} --pictures 8")
    assert code == 2
    assert "holds other pictures (1 replaced (3.png)): give --run NEW_RUN" in lines[-1]


def broken_config():
    (RUN / "config.json").write_text("{")


def damaged_checkpoint():
    (file,) = RUN.glob("checkpoints/*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])


def only(folder):
    shutil.rmtree(folder)
    Path(folder).mkdir()


def unpaired():
    Path("photos/5.png").rename("photos/alone.png")


CASES = {
    "a wrong command": (None, "trian", "did you mean train?", None, "train --help"),
    "a wrong option": (None, "train --batchsize 3", "did you mean --batch-size?", None, f"{TRAIN} --run new --batch-size 3 --pictures 3"),
    "a wrong folder": (None, "train photo paintings", "did you mean photos?", None, f"{TRAIN} --pictures 4"),
    "a wrong choice": (None, "train photos paintings --generator unett", "did you mean unet?", None, "train --generator unet --help"),
    "no value": (None, "train photos paintings --time", "give --time TIME", None, f"{TRAIN} --pictures 4"),
    "a crop that is no multiple": (
        None, f"{TRAIN} --run new --crop-size 30", "give a multiple of it, such as 32", None, f"{TRAIN} --run new --crop-size 32 --pictures 2"),
    "a load size below the crop": (
        None, f"{TRAIN} --run new --load-size 16", "give a larger load-size", None, f"{TRAIN} --run new --load-size 32 --pictures 2"),
    "a crop too small for the discriminator": (
        None, f"{TRAIN} --run new --crop-size 4 --discriminator.num-layers 3", "give at least 24, or", None,
        f"{TRAIN} --run new --crop-size 24 --discriminator.num-layers 3 --pictures 2"),
    "more micro-batches than pictures": (
        None, f"{TRAIN} --run new --accumulate 3", "give a larger --batch-size, or a smaller --accumulate", None,
        f"{TRAIN} --run new --accumulate 2 --pictures 2"),
    "another option of a run": (
        None, f"{TRAIN} --learning-rate 1e-3", "give the same options, or --fork NEW_RUN to continue with others", None,
        f"{TRAIN} --run {RUN} --learning-rate 1e-3 --fork runs/fork --pictures 8"),
    "a finished fork": (
        None, f"{TRAIN} --run {RUN} --fork runs/fork --pictures 4", "give --pictures of more than 4", None,
        f"{TRAIN} --run {RUN} --fork runs/fork --pictures 6"),
    "a run instead of pictures": (None, f"train {RUN}", f"to resume it, give --run {RUN}", None, f"train --run {RUN}"),
    "an empty folder": (
        lambda: only("paintings"), f"{TRAIN} --run new", "put pictures there", lambda: square(1, BLUE).save("paintings/1.png"),
        f"{TRAIN} --run new --pictures 2"),
    "an empty file": (
        lambda: Path("photos/1.png").write_bytes(b""), f"{TRAIN} --run new", "replace or remove it, or pass --skip-unreadable", None,
        f"{TRAIN} --run new --pictures 2 --skip-unreadable"),
    "a picture without its partner": (
        unpaired, f"{PAIRED} --run new", "add the partners, or pass --skip-unpaired", None,
        f"{PAIRED} --run new --skip-unpaired --pictures 2"),
    "a run folder with other files": (
        lambda: (Path("new").mkdir(), Path("new/notes.txt").touch()), f"{TRAIN} --run new", "give another folder with --run", None,
        f"{TRAIN} --run newer --pictures 2"),
    "a damaged config": (
        broken_config, f"{TRAIN} --pictures 8", "or start another run", None, f"{TRAIN} --run another --pictures 2"),
    "a damaged checkpoint": (
        damaged_checkpoint, f"{TRAIN} --pictures 8", "use another copy of it", None, f"{TRAIN} --run another --pictures 2"),
    "swapped arguments": (
        None, f"translate photos {RUN} painted", f"did you mean diptych translate {RUN} photos painted?", None, f"translate {RUN} photos painted"),
    "an output inside the input": (
        None, f"translate {RUN} photos photos/new", "give an output outside of it", None, f"translate {RUN} photos painted"),
    "a name without a suffix": (
        None, f"translate {RUN} photos/1.png painted", "give a name that ends in one of .bmp", None, f"translate {RUN} photos/1.png painted.png"),
    "a direction that a model lacks": (
        None, f"translate {RUN} photos painted --direction a2c", "did you mean a2b?", None, f"translate {RUN} photos painted --direction a2b"),
    "an export over files": (
        lambda: (Path("out").mkdir(), Path("out/latest_net_G_A.pth").touch()), f"export {RUN} --original out",
        "give another folder, or remove it", lambda: Path("out/latest_net_G_A.pth").unlink(), f"export {RUN} --original out"),
    "an import over a model": (
        lambda: main_quietly(f"export {RUN} --original out"), f"import out --to {RUN}", "give another one, or remove it", None, "import out --to new"),
    "no pictures to evaluate on": (
        None, f"evaluate {RUN}", "give pictures that it has not seen: A B, or --root ROOT", None, f"report {RUN}"),
    "an output that is a file": (
        lambda: Path("painted").touch(), f"translate {RUN} photos painted", "give a folder to write to", None, f"translate {RUN} photos painted2"),
    "a folder where the output file belongs": (
        lambda: Path("y.png").mkdir(), f"translate {RUN} photos y.png/1.png/2.png", "give a folder to write to", None, f"translate {RUN} photos y"),
    "a name that is too long": (None, f"translate {RUN} photos {'x' * 300}", "shorten its name", None, f"translate {RUN} photos {'x' * 200}"),
}  # fmt: skip


def main_quietly(words):
    with pytest.raises(SystemExit):
        main(shlex.split(words))


@pytest.mark.parametrize("name", CASES)
def test_the_cure_of(desk, diptych, name):
    prepare, mistake, cure, do, cured = CASES[name]
    if prepare:
        prepare()
    code, lines = diptych(mistake)
    assert code == 2
    assert cure in lines[-1]
    if do:
        do()
    code, lines = diptych(cured)
    assert code == 0, lines


def test_the_cures_of_a_missing_package_is_a_package_of_the_project(desk, diptych, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, lines = diptych(f"{TRAIN} --run new --tensorboard")
    assert code == 2
    extra = re.search(r"pip install 'diptych\[(\w+)\]'", lines[-1])[1]
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE)
