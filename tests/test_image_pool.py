"""The image pool: what it stores, what it returns, and how often."""

import numpy as np
import pytest
import torch

from diptych.rng import Stream
from diptych.training.image_pool import ImagePool


def numbered(start: int, stop: int) -> torch.Tensor:
    """Pictures ``(B, 1, 1, 1)`` identified by their only value."""
    return torch.arange(start, stop).float().reshape(-1, 1, 1, 1)


def run(pool: ImagePool, start: int, stop: int) -> list[int]:
    """What comes back for the pictures numbered ``start`` to ``stop``, each its own count."""
    return [int(pool.query(numbered(count, count + 1), count)) for count in range(start, stop)]


def test_pictures_are_returned_unchanged_until_the_pool_is_full():
    pool = ImagePool(50, seed=0, stream=Stream.POOL_A)
    assert run(pool, 0, 50) == list(range(50))
    assert [int(picture) for picture in pool.images] == list(range(50))


def test_a_full_pool_returns_a_stored_picture_half_of_the_time():
    pool = ImagePool(50, seed=0, stream=Stream.POOL_A)
    returned = run(pool, 0, 10_050)[50:]
    num_stored = sum(number < count for count, number in enumerate(returned, start=50))
    assert abs(num_stored - 5000) < 4 * 50  # four standard deviations of a binomial (10000, 1/2)


def test_the_stored_picture_is_chosen_uniformly():
    pool = ImagePool(8, seed=1, stream=Stream.POOL_B)
    run(pool, 0, 8)
    places = np.zeros(8)
    for count in range(8, 8008):
        before = [int(picture) for picture in pool.images]
        (number,) = run(pool, count, count + 1)
        if number != count:
            places[before.index(number)] += 1
    chi_square = ((places - places.mean()) ** 2 / places.mean()).sum()
    assert chi_square < 24.3  # χ² of 7 degrees of freedom, p = 0.001


def test_the_new_picture_replaces_the_returned_one():
    pool = ImagePool(5, seed=2, stream=Stream.POOL_A)
    run(pool, 0, 5)
    for count in range(5, 300):
        before = [int(picture) for picture in pool.images]
        (number,) = run(pool, count, count + 1)
        after = [int(picture) for picture in pool.images]
        assert after == ([count if old == number else old for old in before] if number != count else before)


def test_every_picture_is_returned_at_most_once_or_still_stored():
    # After the filling phase, each input is either returned once or still stored.
    pool = ImagePool(10, seed=3, stream=Stream.POOL_A)
    returned = run(pool, 0, 1000)[10:]
    stored = [int(picture) for picture in pool.images]
    assert sorted(returned + stored) == list(range(1000))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_the_pool_is_a_function_of_seed_and_count_and_not_of_the_batch_size(batch_size):
    one, many = (ImagePool(20, seed=4, stream=Stream.POOL_A) for _ in range(2))
    batches = [many.query(numbered(start, start + batch_size), start) for start in range(0, 210, batch_size)]
    assert torch.cat(batches).flatten().int().tolist() == run(one, 0, 210)


def test_seeds_and_domains_differ():
    pools = [ImagePool(5, seed=seed, stream=stream) for seed in (0, 1) for stream in (Stream.POOL_A, Stream.POOL_B)]
    assert len({tuple(run(pool, 0, 100)) for pool in pools}) == 4


def test_a_restored_pool_continues_identically():
    through, stopped = (ImagePool(10, seed=5, stream=Stream.POOL_A) for _ in range(2))
    whole = run(through, 0, 200)
    run(stopped, 0, 100)
    resumed = ImagePool(10, seed=5, stream=Stream.POOL_A)
    resumed.images = list(stopped.images)
    assert run(resumed, 100, 200) == whole[100:]


def test_size_zero_passes_through():
    pool, batch = ImagePool(0, seed=0, stream=Stream.POOL_A), numbered(0, 4)
    assert pool.query(batch, 0) is batch
    assert pool.images == []


def test_a_stored_picture_does_not_change_with_the_batch_that_it_came_in():
    pool, batch = ImagePool(3, seed=0, stream=Stream.POOL_A), numbered(0, 3)
    pool.query(batch, 0)
    batch.fill_(9)
    assert [int(picture) for picture in pool.images] == [0, 1, 2]
