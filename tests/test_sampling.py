"""Order, crops and flips of pictures: their frequencies, and that they are functions of (seed, count) alone."""

import os
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diptych.config import DataConfig
from diptych.data.cache import PictureCache
from diptych.data.encoding import Encoding
from diptych.data.files import find_domain
from diptych.data.loader import Loader, Reader
from diptych.data.sampling import draw_unpaired, epoch_size, order
from diptych.data.transforms import Crop, crop_and_flip, random_crop
from diptych.pair import Pair
from diptych.rng import Stream

SIZES = st.integers(1, 60)
DATA = DataConfig(load_size=20, crop_size=16)
TWO = 2 * 20 * 20 * 3
"""Bytes of two pictures."""
PIXELS = np.arange(20 * 20).reshape(20, 20, 1)


def assert_even(counts):
    """χ² test that ``counts`` are uniform, or that rows and columns of a table are independent."""
    counts = np.asarray(counts, float)
    if counts.ndim == 1:
        expected, freedom = np.full(counts.shape, counts.mean()), counts.size - 1
    else:
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
        freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)  # its mean and standard deviation


@settings(max_examples=60, deadline=None)
@given(a=SIZES, b=SIZES, seed=st.integers(0, 1000), epoch=st.integers(0, 5))
def test_each_a_comes_equally_often_in_each_epoch_or_one_time_more(a, b, seed, epoch):
    size = epoch_size(Pair(a, b))
    assert size == max(a, b)
    drawn = [draw_unpaired(seed, count, Pair(a, b)).a for count in range(epoch * size, (epoch + 1) * size)]
    times = np.bincount(drawn, minlength=a)
    assert len(times) == a
    assert set(times) <= {size // a, size // a + 1}


def test_b_is_uniform_and_not_a_permutation():
    drawn = [draw_unpaired(0, count, Pair(3, 20)).b for count in range(20_000)]
    assert_even(np.bincount(drawn, minlength=20))
    # With replacement: an epoch of 20 leaves out a fraction of (1 − 1/20)²⁰ = 36 % of B.
    seen = np.mean([len(set(drawn[start : start + 20])) for start in range(0, 20_000, 20)])
    assert seen == pytest.approx(20 * (1 - (1 - 1 / 20) ** 20), rel=0.02)


def test_a_and_b_are_drawn_independently():
    table = np.zeros((6, 8), int)
    for count in range(24_000):
        table[tuple(draw_unpaired(7, count, Pair(6, 8)))] += 1
    assert_even(table)


def test_the_positions_of_crops_in_a_and_b_are_independent():
    views = [[random_crop(0, stream, n, flip=True) for n in range(4000)] for stream in (Stream.VIEW_A, Stream.VIEW_B)]
    numbers = np.array([[(view.left, view.top, view.flipped) for view in domain] for domain in views], float)
    correlation = np.corrcoef(np.concatenate([*numbers], axis=1).T)
    assert np.abs(correlation - np.eye(6)).max() < 4 / np.sqrt(4000)


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    orders = {tuple(order(seed, epoch, 30)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
    assert all(sorted(numbers) == list(range(30)) for numbers in orders)


def test_every_place_of_the_order_is_uniform():
    first_and_last = np.array([order(seed, 0, 10)[[0, -1]] for seed in range(5000)])
    for place in first_and_last.T:
        assert_even(np.bincount(place, minlength=10))


def test_crops_are_uniform_over_all_positions_including_the_edges():
    # Crops of 16 of a picture of 20 have 5 × 5 places, each as likely.
    places = [crop_and_flip(PIXELS, random_crop(0, Stream.VIEW_A, n, flip=False), 16)[0, 0, 0] for n in range(10_000)]
    rows, columns = np.divmod(places, 20)
    table = np.zeros((5, 5), int)
    np.add.at(table, (rows, columns), 1)
    assert_even(table.ravel())


def test_half_of_the_pictures_are_flipped_independently_of_the_crop():
    views = [random_crop(1, Stream.VIEW_B, count, flip=True) for count in range(10_000)]
    assert abs(sum(view.flipped for view in views) - 5000) < 4 * 50
    plain = [random_crop(1, Stream.VIEW_B, count, flip=False) for count in range(10_000)]
    assert [view._replace(flipped=False) for view in views] == plain


def test_a_flipped_image_is_the_same_crop_left_to_right():
    np.testing.assert_array_equal(
        crop_and_flip(PIXELS, Crop(0.3, 0.9, True), 16), crop_and_flip(PIXELS, Crop(0.3, 0.9, False), 16)[:, ::-1]
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """9 pictures of A, grey and in colour, and 14 of B, of several sizes."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("pictures")
    for name, number in (("a", 9), ("b", 14)):
        (root / name).mkdir()
        for index in range(number):
            shape = (*rng.integers(10, 40, 2), 3) if index % 3 else rng.integers(10, 40, 2)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / name / f"{index}.png")
    return Pair(root / "a", root / "b")


def loader(folders, *, num_workers=0, memory=2**20, disk=0, seed=3, batch_size=3, draft=False):
    data = DataConfig(load_size=20, crop_size=16, num_workers=num_workers, draft=draft)
    readers = folders.map(
        lambda folder: Reader(
            find_domain("x", folder), data, encoding=Encoding(3), stride=4, cache=PictureCache(memory, disk_bytes=disk)
        )
    )
    return Loader(readers, data, seed=seed, batch_size=batch_size)


def batches(folders, start, stop, **options):
    """The batches that begin with the pictures ``start``, ``start + 3`` …, as one tensor."""
    running = loader(folders, **options).batches(start)
    found = torch.stack([torch.stack(pair) for pair in islice(running, (stop - start) // 3)])
    running.close()
    return found


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize(
    ("memory", "disk"),
    [(0, 0), (TWO, 0), (TWO, TWO), (0, 2**20), (2**20, 0)],
    ids=["none", "two in memory", "two and two on disk", "all on disk", "all in memory"],
)
@pytest.mark.parametrize("draft", [False, True])
def test_batches_do_not_depend_on_workers_cache_or_starting_point(folders, num_workers, memory, disk, draft):
    expected = batches(folders, 0, 90, draft=draft)
    options = {"num_workers": num_workers, "memory": memory, "disk": disk, "draft": draft}
    assert torch.equal(batches(folders, 0, 90, **options), expected)
    assert torch.equal(batches(folders, 39, 90, **options), expected[13:])


def test_batches_hold_the_drawn_pictures_cropped_and_flipped(folders):
    found, sizes = loader(folders).batch(30), Pair(9, 14)
    for offset in range(3):
        drawn = draw_unpaired(3, 30 + offset, sizes)
        for folder, index, stream, batch in zip(folders, drawn, (Stream.VIEW_A, Stream.VIEW_B), found, strict=True):
            file = sorted(folder.iterdir())[index]
            square = np.asarray(Image.open(file).convert("RGB").resize((20, 20), Image.Resampling.BICUBIC))
            view = random_crop(3, stream, 30 + offset, flip=True)
            top, left = int(view.top * 5), int(view.left * 5)
            crop = square[top : top + 16, left : left + 16]
            crop = crop[:, ::-1] if view.flipped else crop
            np.testing.assert_array_equal(batch[offset].permute(1, 2, 0).numpy(), crop)


def test_the_cache_stays_within_its_limit(folders):
    running = loader(folders, memory=2 * TWO + 5, disk=TWO + 5)
    for count in range(0, 60, 3):
        running.batch(count)
    for cache in (reader.cache for reader in running.readers):
        assert sum(values.nbytes for values in cache.in_memory.values()) == 2 * TWO
        assert os.fstat(cache.file.fileno()).st_size == TWO


def test_another_seed_gives_other_batches(folders):
    assert not torch.equal(batches(folders, 0, 30), batches(folders, 0, 30, seed=4))
