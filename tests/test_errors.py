"""Errors of the operating system, each with its own message and cure, and ``--debug``, which shows the traceback."""

import errno
import fcntl
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.cli import COMMANDS, main
from diptych.data.formats.reading import read_picture
from diptych.errors import PictureError, RunError, UserError, WeightsError, disk_errors
from diptych.inference.forward import is_out_of_memory
from diptych.lock import locked
from helpers.processes import run_python

MISTAKES = {
    "demo": ["--time", "never"],
    "check": [],
    "train": ["nowhere", "elsewhere"],
    "compress": ["nowhere"],
    "evaluate": ["nowhere"],
    "translate": ["nowhere", "in", "out"],
    "serve": ["nowhere"],
    "push": ["nowhere", "me/mine", "--licence", "mit"],
    "pull": ["nowhere"],
    "report": ["nowhere"],
    "runs": ["nowhere"],
    "show": ["nowhere"],
    "import": ["nowhere.pth", "--to", "model.safetensors"],
    "export": ["nowhere"],
    "completion": ["tcsh"],
}


def said(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "free some space, or"),
        (errno.EDQUOT, "free some space of your quota, or"),
        (errno.EROFS, "mount the disk for writing, or"),
        (errno.EACCES, "change its permissions, or"),
        (errno.ENAMETOOLONG, "shorten its name, or"),
        (errno.EMFILE, "raise the limit of open files (ulimit -n), or"),
        (errno.EIO, "check the disk, which fails, or"),
        (errno.ESTALE, "mount the network drive again, or"),
        (errno.EXDEV, "see where it happens with --debug, or"),
    ],
)
def test_each_error_of_the_system_has_its_own_cure(number, cure):
    with pytest.raises(UserError) as caught, disk_errors(Path("x.png")):
        raise OSError(number, os.strerror(number), "x.png")
    assert str(caught.value) == f"x.png cannot be written ({os.strerror(number)}): {cure} give another path"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENAMETOOLONG, PictureError),
        (errno.EINVAL, PictureError),
        (errno.EILSEQ, PictureError),
        (errno.ENOSPC, UserError),
    ],
)
def test_only_an_error_about_the_name_concerns_one_picture(number, kind):
    with pytest.raises(UserError) as caught, disk_errors(Path("x.png"), name_error=PictureError):
        raise OSError(number, os.strerror(number), "x.png")
    assert type(caught.value) is kind


@pytest.mark.parametrize("words", [["show", "x" * 300], ["translate", "x" * 300, "in", "out"], ["runs", "x" * 300]])
def test_a_name_too_long_is_called_that(capsys, words):
    assert said(capsys, *words) == (
        f"diptych: {'x' * 300}{'/model.safetensors' if words[0] == 'translate' else '/config.json' if words[0] == 'show' else ''}"
        ": File name too long: shorten its name, or give another path\n"
    )


def test_a_picture_whose_name_is_too_long_is_one_picture_that_cannot_be_read():
    with pytest.raises(PictureError, match=r"cannot be read \(File name too long\): shorten its name, or remove it"):
        read_picture(Path("x" * 300 + ".png"))


def test_a_full_disk_behind_the_output_is_called_that(capsys, monkeypatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        line = said(capsys, "--version")
        monkeypatch.undo()
        assert line == "diptych: No space left on device: free some space, or give another path\n"
        with pytest.raises(OSError, match="No space left"):
            full.close()


def test_a_model_or_picture_is_not_called_damaged_when_too_many_files_are_open(tmp_path):
    write_checksummed(tmp_path / "m.safetensors", "model", {"x": torch.zeros(3)}, {})
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    code = f"""
import resource
from pathlib import Path
from diptych.checksummed import read_checksummed
from diptych.data.formats.reading import read_picture
from diptych.errors import PictureError, UserError
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
for read in (lambda: read_checksummed(Path({str(tmp_path / "m.safetensors")!r}), "model"), lambda: read_picture(Path({str(tmp_path / "x.png")!r}))):
    try:
        read()
    except UserError as error:
        message = str(error)
        assert not isinstance(error, PictureError)  # --skip-unreadable must not skip a sound picture
        assert "(Too many open files): raise the limit of open files (ulimit -n)" in message, message
    else:
        raise AssertionError("read")
"""
    run_python(["-c", code], check=True)


def test_a_disk_without_locks_is_not_called_a_running_training(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunError, match=r"cannot be locked \(No locks available\)"), locked(tmp_path):
        pass


def test_an_illegal_memory_access_is_no_lack_of_memory():
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    for words in ("CUDA error: out of memory", "MPS backend out of memory (1 GB)", "CUBLAS_STATUS_ALLOC_FAILED when"):
        assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("command", COMMANDS)
def test_debug_shows_the_traceback_of_every_command(capsys, monkeypatch, command):
    words = [command, *MISTAKES[command]]
    line = said(capsys, *words)
    assert line.count("\n") == 1
    for before, after in ((["--debug"], []), ([], ["--debug"])):
        full = said(capsys, *before, *words, *after)
        assert full.startswith("Traceback")
        assert full.endswith(line)
    monkeypatch.setenv("DIPTYCH_DEBUG", "1")
    assert said(capsys, *words).startswith("Traceback")
    monkeypatch.setenv("DIPTYCH_DEBUG", "0")
    assert said(capsys, *words) == line


def test_debug_shows_the_error_below_the_one_that_is_reported(capsys, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    assert "SafetensorError" in said(capsys, "show", str(tmp_path / "model.safetensors"), "--debug")


def test_debug_after_a_double_dash_is_a_word(capsys):
    assert said(capsys, "show", "--", "--debug").startswith("diptych: --debug")


@pytest.mark.parametrize(
    "strides",
    [[3, -1], [2**60, 1], [0, 0], [1], [1, 3, 1], "31", [1.0, 2.0], [4, 1], None, [True, 2]],
)
def test_hostile_strides_are_refused(tmp_path, strides):
    file, values = tmp_path / "m.safetensors", torch.zeros(2, 3)
    header = {"kind": "model", "format": 1, "strides": {"x": strides}, "description": {}}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode() + b"x torch.float32 [2, 3]" + bytes(24))
    save_file({"x": values}, file, {"diptych": json.dumps(header | {"sha256": digest.hexdigest()})})
    with pytest.raises(WeightsError, match="m.safetensors has a memory layout that fits no tensor"):
        read_checksummed(file, "model")


def test_every_dense_layout_is_kept_and_others_become_contiguous(tmp_path):
    values = torch.arange(120.0).reshape(2, 3, 4, 5)
    layouts = {"last": values.to(memory_format=torch.channels_last), "turned": values.permute(3, 1, 0, 2)}
    gaps = {"gaps": values[:, :, ::2], "same": torch.ones(2, 1).expand(2, 3)}
    write_checksummed(tmp_path / "m", "model", layouts | gaps, {})
    found, _ = read_checksummed(tmp_path / "m", "model")
    assert all(torch.equal(found[name], tensor) for name, tensor in (layouts | gaps).items())
    assert {name: found[name].stride() for name in layouts} == {name: t.stride() for name, t in layouts.items()}
    assert all(found[name].is_contiguous() for name in gaps)
