"""The image pool: translated pictures of a while ago, so that a discriminator does not forget them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diptych.rng import Stream, generator


class ImagePool:
    """Up to ``size`` translated pictures of one domain. Source: the paper, section 4, after Shrivastava et al. 2017."""

    def __init__(self, size: int, seed: int, stream: Stream) -> None:
        self.size, self.seed, self.stream = size, seed, stream
        self.pictures: list[Tensor] = []

    def exchange(self, batch: Tensor, count: int) -> Tensor:
        """As many pictures ``(B, C, H, W)`` as are given; ``count`` is how many the run had drawn before this batch.

        Until the pool is full, a picture is stored and returned. After that, with probability ½ a random stored one is
        returned and the new one takes its place, else the new one is returned. Size 0 passes through.
        """
        if self.size == 0:
            return batch
        return torch.stack([self._exchange(picture, count + offset) for offset, picture in enumerate(batch)])

    def _exchange(self, picture: Tensor, count: int) -> Tensor:
        if len(self.pictures) < self.size:
            self.pictures.append(picture.clone())
            return picture
        coin, place = generator(self.seed, self.stream, count).random(2)
        if coin < 0.5:
            return picture
        index = int(place * self.size)
        stored, self.pictures[index] = self.pictures[index], picture.clone()
        return stored


def redealt(pools: Sequence[Sequence[Tensor]], world_size: int, size: int) -> list[list[Tensor]]:
    """The pictures in the pools of as many processes as a run had, for as many as it has now: each its own, or all
    dealt round, up to ``size`` to each."""
    if len(pools) == world_size:
        return [list(pool) for pool in pools]
    pictures = [picture for pool in pools for picture in pool]
    return [pictures[rank::world_size][:size] for rank in range(world_size)]
