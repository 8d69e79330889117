"""The cures of errors about options, runs and translations: provoke the error, do what it says, and succeed."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from diptych.lock import locked
from helpers.cures import NEW, PAIRED, RESNET, RUN, TRAIN, diptych, follow
from helpers.squares import BLUE, ORANGE, square


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


def edit(part, change):
    """Changes a part of the config in config.json."""
    about = json.loads((RUN / "config.json").read_text())
    shutil.copy(RUN / "config.json", "backup.json")
    change(about["config"][part])
    (RUN / "config.json").write_text(json.dumps(about))


def restore():
    shutil.copy("backup.json", RUN / "config.json")


def last_checkpoint():
    return max(RUN.glob("checkpoints/*.safetensors"))


GO_ON = f"train --run {RUN} --pictures 6"
UNET = NEW.replace(RESNET, "--generator unet")
FORK = f"{TRAIN} --run {RUN} --fork runs/fork --pictures 6"
INIT = f"{NEW} --init-from {RUN}"
ABSENT = "mps" if torch.cuda.is_available() else "cuda"
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
        lambda: diptych(f"export {RUN} --original out"), f"import out --to {RUN}", "give another one, or remove it", None, "import out --to new"),
    "no pictures to evaluate on": (
        None, f"evaluate {RUN}", "give pictures that it has not seen: A B, or --root ROOT", None, f"report {RUN}"),
    "an output that is a file": (
        lambda: Path("painted").touch(), f"translate {RUN} photos painted", "give a folder to write to", None, f"translate {RUN} photos painted2"),
    "a folder where the output file belongs": (
        lambda: Path("y.png").mkdir(), f"translate {RUN} photos y.png/1.png/2.png", "give a folder to write to", None, f"translate {RUN} photos y"),
    "a value for a switch": (None, f"{NEW} --compile=yes", "give --compile or --no-compile", None, f"{NEW} --no-compile"),
    "an option of another generator": (
        None, "train photos paintings --generator unet --generator.num-blocks 1", "it belongs to --generator resnet", None,
        f"{NEW} --generator resnet --generator.num-blocks 1"),
    "no arguments": (None, "translate", "give diptych translate MODEL INPUT OUTPUT", None, f"translate {RUN} photos painted"),
    "an argument too many": (
        None, f"translate {RUN} photos/1.png photos/2.png painted", "put patterns and names with spaces in quotes", None,
        f"translate {RUN} 'photos/*.png' painted"),
    "a word for a number": (None, f"{NEW} --batch-size two", "give a whole number", None, f"{NEW} --batch-size 2"),
    "a number out of range": (None, f"{NEW} --learning-rate -1", "give more than 0", None, f"{NEW} --learning-rate 0.001"),
    "an option of the original code": (None, f"{TRAIN} --run new --n_epochs 1", "as --epochs", None, f"{TRAIN} --run new --epochs 1"),
    "two lengths": (None, f"{NEW} --epochs 1", "give one of them", None, NEW),
    "a misspelt run": (None, "train --run runs/photos2painting", f"did you mean {RUN}?", None, f"train --run {RUN}"),
    "no folder but a run": (None, "train --run new", "give A B, or --root ROOT", None, NEW),
    "a folder as --run": (
        None, "train photos --run paintings", "give diptych train paintings photos", None,
        f"{TRAIN.replace('photos paintings', 'paintings photos')} --pictures 2"),
    "an identity loss between channels": (
        None, f"{NEW} --channels-a 1 --channels-b 3 --lambda-identity 0.5", "leave it out", None, f"{NEW} --channels-a 1 --channels-b 3"),
    "CUT between channels": (
        None, f"{NEW} --method cut --channels-a 1", "the same number, or --method cyclegan", None, f"{NEW} --method cyclegan --channels-a 1"),
    "CUT between channels, made the same": (
        None, f"{NEW} --method cut --channels-a 1", "give --channels-a and --channels-b the same number", None,
        f"{NEW} --method cut --channels-a 1 --channels-b 1"),
    "a U-Net without depth": (
        None, f"{UNET} --generator.num-levels 3", "give 5 or more, and a crop-size that is a multiple of 32", None, f"{UNET} --generator.num-levels 5 --pictures 2"),
    "a range upside down": (None, f"{NEW} --range-a 9 1", "give two numbers", None, f"{NEW} --range-a 1 9"),
    "a device that is not here": (None, f"{NEW} --device {ABSENT}", "give one of", None, f"{NEW} --device cpu"),
    "fp16 on a CPU": (None, f"{NEW} --device cpu --precision fp16", "give bf16 or fp32", None, f"{NEW} --device cpu --precision fp32"),
    "compiling for each size": (
        None, f"{NEW} --compile --crop-size 0 --batch-size 1 --resize shorter", "give a crop-size, or leave --compile out", None, f"{NEW} --crop-size 0 --batch-size 1 --pictures 1"),
    "a batch of different sizes": (None, f"{NEW} --crop-size 0 --resize shorter", "give batch-size 1", None, f"{NEW} --crop-size 0 --batch-size 1 --pictures 1"),
    "no time": (None, f"{TRAIN} --run new --time soon", "give a time such as 40m, 2h30m or 90s", None, f"{TRAIN} --run new --time 90s --dry-run"),
    "a part of a picture": (None, f"{TRAIN} --run new --epochs 0.01", "give at least 1 picture", None, f"{TRAIN} --run new --epochs 1"),
    "a shorter run": (None, f"{TRAIN} --pictures 2", "give --pictures of more than 4", None, f"{TRAIN} --pictures 6"),
    "a shorter run, without a length": (None, f"{TRAIN} --pictures 2", "or no length", None, TRAIN),
    "a fork of nothing": (
        lambda: shutil.rmtree(RUN / "checkpoints"), FORK, "train it first, or leave out --fork", None, f"{TRAIN} --run {RUN} --pictures 6"),
    "a fork with initial weights": (
        None, f"{FORK} --init-from {RUN}", "leave it out, or give --run NEW_RUN instead of --fork", None, f"{NEW} --init-from {RUN}"),
    "a fork with other networks": (None, f"{FORK} --generator.width 8", "leave these options out", None, FORK),
    "a fork over a run": (
        lambda: diptych(NEW), FORK.replace("runs/fork", "new"), "or --run new without --fork to resume it", None, f"{NEW} --pictures 4"),
    "a fork whose parent is gone": (
        lambda: (diptych(FORK), shutil.rmtree("runs/fork/checkpoints"), shutil.copytree(RUN, "copy"), shutil.rmtree(RUN)),
        "train --run runs/fork", "fork again with another --fork NEW_RUN", None, FORK.replace(str(RUN), "copy").replace("runs/fork", "runs/again")),
    "other pictures": (
        lambda: (shutil.copytree("photos", "elsewhere/photos"), square(9, ORANGE).save("elsewhere/photos/1.png")),
        f"{TRAIN} --run {RUN} --pictures 8".replace("photos paintings", "elsewhere/photos paintings"), "or --fork NEW_RUN to continue on them", None,
        f"{FORK}".replace("photos paintings", "elsewhere/photos paintings")),
    "changed pictures": (
        lambda: (diptych(NEW), Path("photos/1.png").rename("1.png")), f"{NEW} --pictures 4", "put them back",
        lambda: Path("1.png").rename("photos/1.png"), f"{NEW} --pictures 4"),
    "changed pictures to go on with": (
        lambda: (diptych(NEW), Path("photos/1.png").unlink()), f"{NEW} --pictures 4", "or --fork NEW_RUN to continue on these", None,
        f"{NEW} --fork newer --pictures 4"),
    "a lost list of pictures": (
        lambda: (RUN / "pictures.json").rename("backup.json"), f"{TRAIN} --pictures 8", "restore it from a backup",
        lambda: Path("backup.json").rename(RUN / "pictures.json"), f"{TRAIN} --pictures 8"),
    "a file where the run belongs": (Path("notes.txt").touch, f"{TRAIN} --run notes.txt/new", "or give another --run", None, NEW),
    "a folder with a model": (
        lambda: (Path("new").mkdir(), shutil.copy(RUN / "model.safetensors", "new"), Path("new/notes.txt").touch()), NEW,
        "--init-from new starts from its model", None, f"{TRAIN} --run newer --init-from new --pictures 2"),
    "a misspelt run to report": (None, "report runs/photo2paintings", f"did you mean {RUN}?", None, f"report {RUN}"),
    "a misspelt folder of runs": (None, "runs run", "did you mean runs?", None, "runs runs"),
    "other networks in config.json": (
        lambda: edit("generator", lambda part: part.update(width=5)), f"train --run {RUN} --pictures 8", "start another run with --run", restore,
        f"train --run {RUN} --pictures 8"),
    "a word in config.json": (lambda: edit("engine", lambda part: part.update(precision="fp33")), GO_ON, "give one of auto, fp32, tf32, bf16", restore, GO_ON),
    "a type in config.json": (lambda: edit("data", lambda part: part.update(flip="yes")), GO_ON, "give a value of type bool", restore, GO_ON),
    "no kind in config.json": (lambda: edit("generator", lambda part: part.pop("kind")), GO_ON, "give an object with a kind: resnet", restore, GO_ON),
    "a misspelt option in config.json": (lambda: edit("data", lambda part: part.update(flipp=True)), GO_ON, "did you mean flip?", restore, GO_ON),
    "an option of another version in config.json": (lambda: edit("data", lambda part: part.update(zzz=1)), GO_ON, "remove it, or use", restore, GO_ON),
    "initial weights of another direction": (
        lambda: diptych(f"{NEW} --method cut"), f"{NEW} --run newer --init-from new --method cut --direction b2a", "give --direction a2b", None,
        f"{NEW} --run newer --init-from new --method cut --direction a2b"),
    "the last of two checkpoints": (
        lambda: (diptych(f"{TRAIN} --pictures 6"), last_checkpoint().write_bytes(b"")), f"{TRAIN} --pictures 8", "remove it, and the run continues from",
        lambda: last_checkpoint().unlink(), f"{TRAIN} --pictures 8"),
    "training that diverges": (
        None, f"{NEW} --pictures 40 --learning-rate 1e30", "start again with a lower --learning-rate", None, f"{TRAIN} --run newer --learning-rate 1e-4 --pictures 2"),
    "initial weights of other channels": (None, f"{NEW} --init-from {RUN} --channels-a 1", "leave it out", None, INIT),
    "initial weights of another method": (None, f"{NEW} --init-from {RUN} --method cut", "give --method cyclegan", None, f"{INIT} --method cyclegan"),
    "initial weights of another generator": (
        None, f"train photos paintings --run new --init-from {RUN} --generator unet --pictures 2", "leave --generator out", None, INIT),
    "initial weights of another width": (None, f"{NEW} --init-from {RUN} --generator.width 8", "leave it out", None, INIT),
    "no compiler": (None, f"{NEW} --device cpu --compile", "or leave --compile out", None, f"{NEW} --device cpu"),
    "a name that is too long": (None, f"translate {RUN} photos {'x' * 300}", "shorten its name", None, f"translate {RUN} photos {'x' * 200}"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_cure_of(desk, name, monkeypatch):
    if name == "no compiler":
        monkeypatch.setenv("PATH", "")
    follow(CASES[name])


def test_the_cure_of_a_run_that_is_being_trained(desk):
    with locked(RUN):
        code, lines = diptych(f"{TRAIN} --pictures 8")
        assert code == 2
        assert lines[-1].endswith("wait for it, or give another --run")
        assert diptych(NEW)[0] == 0
    assert diptych(f"{TRAIN} --pictures 8")[0] == 0


def test_the_cures_of_a_missing_package_is_a_package_of_the_project(desk, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    code, lines = diptych(f"{TRAIN} --run new --tensorboard")
    assert code == 2
    extra = re.search(r"pip install 'diptych\[(\w+)\]'", lines[-1])[1]
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert re.search(rf"^{extra} = \[", project, flags=re.MULTILINE)
