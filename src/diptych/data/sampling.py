"""Sampling: the next image is a function of (seed, count), so that a run can resume at any point."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from diptych.pair import Pair
from diptych.rng import Stream, generator


def epoch_size(sizes: Pair[int]) -> int:
    """Images per domain in one epoch: the size of the larger domain."""
    return max(sizes)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, size: int) -> NDArray[np.int64]:
    """The permutation of the integers below ``size`` in ``epoch``."""
    return generator(seed, Stream.ORDER, epoch).permutation(size)


def draw_paired(seed: int, count: int, sizes: Pair[int]) -> Pair[int]:
    """The indices of pair number ``count``, in a new order each epoch. Both domains have the same size."""
    epoch, position = divmod(count, sizes.a)
    index = int(order(seed, epoch, sizes.a)[position])
    return Pair(index, index)


def draw_unpaired(seed: int, count: int, sizes: Pair[int]) -> Pair[int]:
    """The indices of images number ``count``: A in a new order each epoch, B uniformly with replacement.

    If B is larger, each image of A is drawn ⌊|B|/|A|⌋ or ⌈|B|/|A|⌉ times per epoch. Source: the authors' code.
    """
    size = epoch_size(sizes)
    epoch, position = divmod(count, size)
    partner = generator(seed, Stream.PARTNER, count).integers(sizes.b)
    return Pair(int(order(seed, epoch, size)[position]) % sizes.a, int(partner))
