"""Checksummed files come back exactly, or not at all."""

import json
import random
import struct
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from diptych.atomic import atomic_write
from diptych.checksummed import read_checksummed, write_checksummed
from diptych.errors import WeightsError

TENSORS = {
    "float": torch.randn(3, 4, 5, 6),
    "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "transposed": torch.randn(4, 6).T,
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 3),
    "half": torch.randn(7).bfloat16(),
    "double": torch.randn(7).double(),
    "integer": torch.arange(5),
}
DESCRIPTION = {"name": "Ünïcode", "nested": {"list": [1, 2.5, None, True]}}


@pytest.fixture
def file(tmp_path):
    write_checksummed(tmp_path / "x.safetensors", "model", TENSORS, DESCRIPTION)
    return tmp_path / "x.safetensors"


def test_tensors_come_back_bit_by_bit_in_their_memory_layout(file):
    tensors, description = read_checksummed(file, "model")
    assert description == DESCRIPTION
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].stride() == tensor.stride()
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x00" * 100, b"\xff" * 100, b'{"a": 1}', struct.pack("<Q", 2) + b"{}"]
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(WeightsError, match="x is damaged, or not a diptych file"):
        read_checksummed(tmp_path / "x", "model")


def test_a_safetensors_file_of_other_software_is_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(WeightsError, match="not a diptych file"):
        read_checksummed(tmp_path / "x", "model")


def test_another_kind_is_refused(file):
    with pytest.raises(WeightsError, match="is a model, not a checkpoint"):
        read_checksummed(file, "checkpoint")


def test_a_later_format_is_refused_with_its_number(file, monkeypatch):
    monkeypatch.setattr("diptych.checksummed.FORMAT", 7)
    write_checksummed(file, "model", {}, {})
    monkeypatch.undo()
    with pytest.raises(WeightsError, match="has format 7.*: pip install -U diptych"):
        read_checksummed(file, "model")


def test_every_changed_byte_is_noticed(file):
    # Some bytes of the header have no meaning (white space, order of keys): their changes may pass if the content is equal.
    original, (tensors, description) = file.read_bytes(), read_checksummed(file, "model")
    rng = random.Random(0)
    for _ in range(500):
        damaged = bytearray(original)
        place = rng.randrange(len(damaged))
        damaged[place] ^= 1 << rng.randrange(8)
        file.write_bytes(damaged)
        try:
            found, words = read_checksummed(file, "model")
        except WeightsError as error:
            assert "\n" not in str(error)
        else:
            assert words == description
            assert found.keys() == tensors.keys()
            assert all(torch.equal(found[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_off_file_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError):
        read_checksummed(file, "model")


def test_a_failed_write_keeps_the_old_file_and_no_temporary_file(file):
    before = file.read_bytes()

    def fail():
        with atomic_write(file) as aside:
            aside.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_leaves_the_file_as_it_was(file):
    # A limit on the file size simulates a full disk: the write fails halfway, in another process.
    before = file.read_bytes()
    code = f"""
import resource, signal, torch
from pathlib import Path
from diptych.checksummed import write_checksummed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checksummed(Path({str(file)!r}), "model", {{"x": torch.zeros(1_000_000)}}, {{}})
except OSError as error:
    print("refused", type(error).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused")
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_the_description_is_plain_json_for_other_programs(file):
    content = file.read_bytes()
    header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
    assert json.loads(header["__metadata__"]["diptych"])["description"] == DESCRIPTION
