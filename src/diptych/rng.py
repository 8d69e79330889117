"""Random numbers as a function of (seed, stream, count), without state.

There is no random state to save, and a resumed run makes the same choices as an uninterrupted one.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are for. Streams of one seed are independent of each other."""

    ORDER = 0
    PARTNER = 1
    VIEW_A = 2
    VIEW_B = 3
    POOL_A = 4
    POOL_B = 5
    TORCH = 6
    WEIGHTS = 7
    SCORES = 8
    PAIRS = 9


def generator(seed: int, stream: Stream, count: int) -> np.random.Generator:
    """The generator for one random choice: Philox, a counter-based generator (Salmon et al. 2011). Its key is ``seed``
    and ``stream``, its counter starts at ``count`` · 2¹⁹²."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, count]))


def torch_seed(seed: int, stream: Stream, count: int) -> int:
    """A seed in [0, 2⁶³) for torch's own generators."""
    return int(generator(seed, stream, count).integers(2**63))
