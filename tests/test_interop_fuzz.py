"""Ten thousand damaged files: each is refused in one line, or read as what it holds; none ends in a traceback."""

import io
import random
import zipfile

import pytest
import torch

from diptych.checksummed import read_checksummed, write_checksummed
from diptych.config import ResnetConfig
from diptych.errors import WeightsError
from diptych.interop.original import read_original
from diptych.networks import build_generator

with torch.random.fork_rng():
    torch.manual_seed(0)
    NETWORK = build_generator(ResnetConfig(width=1, num_blocks=0, norm="batch"), 1, 1)
SHARE = 1500


def equal(state):
    """Whether ``state`` is that of ``NETWORK``, bit by bit."""
    expected = NETWORK.state_dict()
    return state.keys() == expected.keys() and all(torch.equal(state[key], value) for key, value in expected.items())


def saved(**options):
    content = io.BytesIO()
    torch.save(NETWORK.state_dict(), content, **options)
    return content.getvalue()


def mutate(content, rng):
    """``content`` with a few of its bits, bytes or pieces changed, lost, doubled or moved."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, end = sorted(rng.randrange(len(damaged) + 1) for _ in range(2))
        match rng.randrange(7):
            case 0 | 1 if place < len(damaged):
                damaged[place] ^= 1 << rng.randrange(8)
            case 2 if place < len(damaged):
                damaged[place] = rng.choice((0, 255, 127, 128, rng.randrange(256)))
            case 3:
                del damaged[end:]
            case 4:
                del damaged[place : place + rng.choice((1, 4, 64))]
            case 5:
                damaged[end:end] = damaged[place : place + 64]
            case 6:
                damaged[place : place + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, rng.randbytes(8)))
    return bytes(damaged)


def mutate_pickle(content, rng):
    """A zip form whose pickle is mutated and its checksum made right again, as somebody who means harm would."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w") as new:
        for member in old.infolist():
            inside = old.read(member)
            new.writestr(member.filename, mutate(inside, rng) if member.filename.endswith("data.pkl") else inside)
    return made.getvalue()


def mutated_files(original, mutation, seed, path):
    """``SHARE`` mutations of ``original``, each as the file ``path``."""
    rng, number = random.Random(seed), 0
    while number < SHARE:
        content = mutation(original, rng)
        if content != original:
            path.write_bytes(content)
            yield number
            number += 1


def complaint(read, path):
    """The message of the ``WeightsError`` that ``read`` raises for ``path``; None without one. Other exceptions pass."""
    try:
        read(path)
    except WeightsError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("original", "mutation"),
    [
        pytest.param(saved(), mutate, id="zip"),
        pytest.param(saved(), mutate_pickle, id="pickle with a right checksum"),
        pytest.param(saved(_use_new_zipfile_serialization=False), mutate, id="before torch 1.6"),
    ],
)
def test_a_damaged_original_is_one_line(tmp_path, original, mutation):
    path, num_refused = tmp_path / "latest_net_G.pth", 0
    for number in mutated_files(original, mutation, 0, path):
        line = complaint(read_original, path)
        if line is not None:
            num_refused += 1
            assert line.isprintable(), (number, line)
            assert line.startswith(str(path)), (number, line)
            assert len(line) < 300 + len(str(path)), (number, line)
        elif mutation is mutate and original.startswith(b"PK"):  # this form has checksums
            assert equal(read_original(path).state), number
    assert num_refused > SHARE / 2


@pytest.mark.slow
def test_in_our_format_every_changed_number_is_detected(tmp_path):
    path, description = tmp_path / "model.safetensors", {"words": ["a", 1, None]}
    write_checksummed(path, "model", NETWORK.state_dict(), description)
    for number in mutated_files(path.read_bytes(), mutate, 0, path):
        line = complaint(lambda file: read_checksummed(file, "model"), path)
        if line is not None:
            assert line.isprintable(), (number, line)
        else:  # what was changed carries nothing, such as white space in the header
            tensors, words = read_checksummed(path, "model")
            assert words == description, number
            assert equal(tensors), number
