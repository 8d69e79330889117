"""Which pictures come next: a function of (seed, count), so that any run can begin anywhere."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diptych.pair import Pair
from diptych.rng import Stream, generator


def epoch_size(sizes: Pair[int]) -> int:
    """Pictures per domain in one epoch: as many as the larger domain has."""
    return max(sizes)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """The numbers below ``size`` in the order of ``epoch``, a fresh one each time."""
    return generator(seed, Stream.ORDER, epoch).permutation(size)


def draw_paired(seed: int, count: int, sizes: Pair[int]) -> Pair[int]:
    """The pair drawn as number ``count``, in a fresh order each epoch. Both domains have one size."""
    epoch, place = divmod(count, sizes.a)
    index = int(order(seed, epoch, sizes.a)[place])
    return Pair(index, index)


def draw_unpaired(seed: int, count: int, sizes: Pair[int]) -> Pair[int]:
    """The pictures drawn as number ``count``: A in a fresh order each epoch, B uniformly with replacement.

    Where B is larger, each picture of A comes ⌊|B|/|A|⌋ or one more times per epoch. Source: the authors' code.
    """
    size = epoch_size(sizes)
    epoch, place = divmod(count, size)
    partner = generator(seed, Stream.PARTNER, count).integers(sizes.b)
    return Pair(int(order(seed, epoch, size)[place]) % sizes.a, int(partner))
