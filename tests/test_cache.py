"""The cache of decoded pictures: exact, within its limits, and never a cause of an error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diptych.data import cache as module
from diptych.data.cache import PictureCache

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8) for _ in range(6)]
ONE = PICTURES[0].nbytes


def filled(cache):
    for index, values in enumerate(PICTURES):
        cache.put(index, values)
    return cache


def kept(cache):
    """The numbers of the pictures in the cache; each is checked to be unchanged."""
    found = {index: cache.get(index) for index in range(len(PICTURES))}
    for index, values in found.items():
        if values is not None:
            np.testing.assert_array_equal(values, PICTURES[index])
    return [index for index, values in found.items() if values is not None]


@pytest.mark.parametrize(
    ("memory", "disk", "expected"),
    [
        (0, 0, []),
        (2 * ONE, 0, [0, 1]),
        (2 * ONE + ONE - 1, 3 * ONE, [0, 1, 2, 3, 4]),
        (0, 2 * ONE, [0, 1]),
        (9 * ONE, 9 * ONE, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_pictures_are_cached_in_memory_then_on_disk_up_to_the_limits(tmp_path, memory, disk, expected):
    cache = filled(filled(PictureCache(memory, disk_bytes=disk, folder=tmp_path)))
    assert kept(cache) == expected
    on_disk = ONE * (len(expected) - memory // ONE) if len(expected) > memory // ONE else 0
    assert (os.fstat(cache.file.fileno()).st_size if cache.file else 0) == on_disk


@pytest.mark.parametrize(("shape", "dtype"), [((4, 6, 1), np.uint8), ((4, 6, 1), np.uint16), ((9, 2, 3), np.uint16)])
def test_grey_and_16_bit_pictures_are_cached_unchanged(tmp_path, shape, dtype):
    values = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    for cache in (PictureCache(2**20), PictureCache(disk_bytes=2**20, folder=tmp_path)):
        cache.put(3, values[:, ::-1])
        found = cache.get(3)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, values[:, ::-1])


def test_a_killed_process_leaves_nothing_in_the_folder(tmp_path):
    code = (
        "import os, sys, pathlib, numpy as np; from diptych.data.cache import PictureCache\n"
        "cache = PictureCache(disk_bytes=2**20, folder=pathlib.Path(sys.argv[1]))\n"
        "cache.put(0, np.ones((9, 9, 3), np.uint8)); print(int(cache.get(0).sum()), flush=True); os.abort()"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == "243\n"
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_the_cache_leaves_disk_space_free(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MIN_FREE_BYTES", shutil.disk_usage(tmp_path).total)
    assert kept(filled(PictureCache(ONE, disk_bytes=9 * ONE, folder=tmp_path))) == [0]


def test_a_missing_folder_is_used_once_it_exists(tmp_path):
    cache = PictureCache(disk_bytes=9 * ONE, folder=tmp_path / "run")
    assert kept(filled(cache)) == []
    (tmp_path / "run").mkdir()
    assert kept(filled(cache)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_not_an_error(tmp_path):
    with Path("/dev/full").open("r+b", buffering=0) as full:
        cache = PictureCache(ONE, disk_bytes=9 * ONE, folder=tmp_path)
        cache.file = full
        assert kept(filled(cache)) == [0]


def test_an_entry_that_cannot_be_read_back_counts_as_missing(tmp_path):
    cache = filled(PictureCache(disk_bytes=9 * ONE, folder=tmp_path))
    os.truncate(cache.file.fileno(), 3 * ONE + 1)
    assert kept(cache) == [0, 1, 2]
