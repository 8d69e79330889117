"""Ten mistakes of a newcomer: what each prints, its exit code, and that no data is lost."""

import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diptych import __version__
from diptych.checksummed import read_checksummed, write_checksummed
from diptych.run import Run
from helpers.processes import Process, run_python
from helpers.squares import BLUE, ORANGE, square

SMALL = (
    "--batch-size 2 --crop-size 32 --load-size 36 --generator.width 4 --generator.num-blocks 1 --precision fp32"
    " --discriminator.width 4 --discriminator.num-layers 1 --num-samples 1 --no-score"
)
TRAIN = f"train photos paintings {SMALL}"
RUN = Path("runs/photos2paintings")
HIDDEN = "import sys; sys.modules[{module!r}] = None; from diptych.cli import main; main(sys.argv[1:])"
FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
from diptych.cli import main
main(sys.argv[1:])
"""
"""A disk on which no file has room for more than some bytes."""


def start(words, script=None):
    return Process([*(["-m", "diptych"] if script is None else ["-c", script]), *shlex.split(words)])


def diptych(words, script=None):
    """The exit code of a command, and the lines that it says on stderr."""
    process = start(words, script)
    _, said = process.communicate(timeout=120)
    assert "Traceback" not in said
    return process.returncode, said.splitlines()


def files():
    """All files here, with what is in them."""
    return {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A desk with two folders of pictures, and a run on them."""
    folder = tmp_path_factory.mktemp("desk")
    for name, colour, first in (("photos", ORANGE, 0), ("paintings", BLUE, 100)):
        (folder / name).mkdir()
        for index in range(first, first + 6):
            square(index, colour).save(folder / name / f"{index}.png")
    run_python(["-m", "diptych", *shlex.split(TRAIN), "--pictures", "4"], check=True, cwd=folder)
    return folder


@pytest.fixture
def desk(trained, tmp_path, monkeypatch):
    """A copy of ``trained``, the working directory of one test."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def test_a_wrong_folder(desk):
    before = files()
    assert diptych("train photo paintings") == (2, ["diptych: photo does not exist: did you mean photos?"])
    assert diptych("train photos elsewhere") == (2, ["diptych: elsewhere does not exist: give a folder of pictures"])
    assert diptych("translate runs/photo2painting photos new") == (
        2,
        ["diptych: runs/photo2painting does not exist: did you mean runs/photos2paintings?"],
    )
    assert files() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            f"translate photos {RUN} painted",
            f"{RUN} is a model, and photos is not: did you mean diptych translate {RUN} photos painted?",
        ),
        (
            f"translate {RUN} painted photos",
            f"painted does not exist, and photos does: did you mean diptych translate {RUN} photos painted?",
        ),
        (
            "train --run photos paintings",
            "--run photos is where the run would be written, so paintings is the only folder of pictures:"
            " give diptych train photos paintings",
        ),
        (f"train {RUN}", f"{RUN} is a run, not a folder of pictures: to resume it, give --run {RUN}"),
    ],
)
def test_swapped_arguments(desk, words, line):
    before = files()
    assert diptych(words) == (2, [f"diptych: {line}"])
    assert files() == before


def test_one_empty_folder(desk):
    Path("empty").mkdir()
    before = files()
    line = "diptych: empty holds no picture: put pictures there (.bmp .dcm .dicom .gif .jfif .jpe .jpeg .jpg .nii .nii.gz .npy .png .tif .tiff .webp)"
    assert diptych("train photos empty") == (2, [line])
    assert files() == before


def test_no_space_left_for_translations(desk):
    problem = "cannot be written (File too large): raise the limit of file sizes (ulimit -f), or give another path"
    translate = f"translate {RUN} photos painted"
    assert diptych(translate, FULL.format(size=100)) == (2, [f"diptych: painted/manifest.jsonl {problem}"])
    assert list(Path("painted").iterdir()) == []
    code, lines = diptych(translate, FULL.format(size=1000))  # room for the start of the manifest, but for no picture
    assert code == 2
    assert re.fullmatch(
        rf"diptych: painted/[0-5]\.png {re.escape(problem)}", lines[-1]
    )  # several are written at the same time
    assert [path.name for path in Path("painted").iterdir()] == ["manifest.jsonl"]
    assert diptych(translate)[0] == 0
    assert len(list(Path("painted").glob("*.png"))) == 6


def test_no_space_left_for_a_run(desk):
    before = files()
    longer = f"{TRAIN} --pictures 8"
    code, lines = diptych(longer, FULL.format(size=50_000))  # room for the metrics, but for no checkpoint
    assert code == 2
    assert lines[-1] == (
        "diptych: no checkpoint at 8 pictures: File too large: raise the limit of file sizes (ulimit -f) and run the same command:"
        " it resumes from the last checkpoint"
    )
    kept = RUN / "checkpoints" / "000000004.safetensors"
    assert kept.read_bytes() == before[kept]
    assert (RUN / "model.safetensors").read_bytes() == before[RUN / "model.safetensors"]
    code, lines = diptych(longer)
    assert code == 0
    assert f"continuing from {kept}: 4 of 8 pictures" in lines


@pytest.mark.slow
def test_a_killed_run(desk):
    shutil.rmtree("runs")
    command = f"{TRAIN} --pictures 60 --save-minutes 0"
    process = start(command)
    while not any((RUN / "checkpoints").glob("[0-9]*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    last = max((RUN / "checkpoints").glob("[0-9]*.safetensors"))
    code, lines = diptych(command)
    print(lines)
    assert (code, lines[3]) == (0, f"continuing from {last}: {int(last.stem)} of 60 pictures")
    assert (RUN / "checkpoints" / "000000060.safetensors").is_file()


@pytest.mark.parametrize("younger_format", [True, False])
def test_a_model_of_another_version(desk, monkeypatch, younger_format):
    path = RUN / "model.safetensors"
    tensors, description = read_checksummed(path, "model")
    description["versions"]["diptych"] = "99.0"
    if younger_format:
        monkeypatch.setattr("diptych.checksummed.FORMAT", 2)
        said = f"{path} has format 2, and this diptych reads up to 1"
    else:
        description["card"]["generator"]["attention"] = True
        reason = "card.generator has no option 'attention'"
        said = f"{path} was written by diptych 99.0, and diptych {__version__} cannot read it ({reason})"
    write_checksummed(path, "model", tensors, description)
    before = files()
    assert diptych(f"translate {RUN} photos painted") == (2, [f"diptych: {said}: pip install -U diptych"])
    assert files() == before


def test_a_picture_of_another_mode(desk):
    Image.fromarray(np.zeros((32, 32), np.float32)).save("photos/scan.tif")
    square(1, ORANGE).convert("CMYK").save("photos/print.jpg")  # which can be read
    said = (
        "photos/scan.tif: values of float32 need a range, and the model has none: give pictures like those of training"
    )
    code, lines = diptych(f"translate {RUN} photos painted")
    assert (code, lines[:2], lines[-1]) == (1, ["a2b: photos to paintings", said], "7 translated, 1 failed")
    pictures = {path.name for path in Path("painted").iterdir() if path.suffix != ".jsonl"}
    assert pictures == {"print.jpg", *(f"{index}.png" for index in range(6))}
    command = f"{TRAIN} --pictures 4 --run runs/new"
    code, lines = diptych(command)
    cure = "give one (--range-a, --range-b), or save it as uint8 or uint16, or pass --skip-unreadable"
    said = f"photos/scan.tif holds float32, which needs a range, beside pictures of 8 or 16 bits: {cure}"
    assert (code, lines[-1]) == (2, f"diptych: {said}")
    assert diptych(f"{command} --skip-unreadable")[0] == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("train photos paintings --batchsize 4", "train has no option --batchsize: did you mean --batch-size?"),
        ("train photos paintings --netG unet", "train has no option --netG: give --generator"),
        (
            "train photos paintings --generator.num-levels 6",
            "train has no option --generator.num-levels here: it belongs to --generator unet",
        ),
        ("train photos paintings --preset papre", "--preset is 'papre': did you mean paper? (of default, paper)"),
        ("trian photos paintings", "there is no command 'trian': did you mean train?"),
    ],
)
def test_an_unknown_option(desk, words, line):
    before = files()
    assert diptych(words) == (2, [f"diptych: {line}"])
    assert files() == before


def test_a_missing_extra(desk):
    tensorboard = f"{TRAIN} --pictures 8 --tensorboard"
    before = files()
    code, lines = diptych(tensorboard, HIDDEN.format(module="torch.utils.tensorboard"))
    assert (code, lines[-1]) == (2, "diptych: TensorBoard needs: pip install 'diptych[tensorboard]'")
    evaluate = f"evaluate {RUN} photos paintings"
    code, lines = diptych(evaluate, HIDDEN.format(module="efficientnet_lite_pytorch"))
    assert code == 2
    assert lines[-1].endswith(": pip install 'diptych[evaluate]'")
    kept = RUN / "checkpoints" / "000000004.safetensors"
    assert files()[kept] == before[kept]
    code, lines = diptych(tensorboard)
    assert code == 0
    assert f"continuing from {kept}: 4 of 8 pictures" in lines


@pytest.mark.slow
def test_two_trainings_of_one_run(desk):
    command = f"{TRAIN} --pictures 100000"
    first = start(command)
    while "process" not in (RUN / ".lock").read_text() or str(first.pid) not in (RUN / ".lock").read_text():
        assert first.poll() is None
        time.sleep(0.01)
    code, lines = diptych(command)
    assert code == 2
    assert lines[-1] == (f"diptych: {RUN} is being trained by process {first.pid}: wait for it, or give another --run")
    while not any(record["pictures"] > 4 for record in Run(RUN).metrics()):  # it goes on, however slow the machine is
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=120)
    assert (first.returncode, said.splitlines()[-1]) == (130, "diptych: stopped; the same command resumes")
    last = max((RUN / "checkpoints").glob("[0-9]*.safetensors"))
    assert int(last.stem) > 4
    read_checksummed(last, "checkpoint")
