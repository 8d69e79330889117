"""The image pool: fake images of earlier updates, shown to a discriminator again so that it does not forget them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from diptych.rng import Stream, generator


class ImagePool:
    """Up to ``size`` fake images of one domain. Source: CycleGAN paper, section 4, after Shrivastava et al. 2017."""

    def __init__(self, size: int, seed: int, stream: Stream) -> None:
        self.size, self.seed, self.stream = size, seed, stream
        self.images: list[Tensor] = []

    def query(self, batch: Tensor, count: int) -> Tensor:
        """Returns a batch of the same shape as ``batch``, (B, C, H, W). ``count`` is the index of its first image.

        Until the pool is full, an image is stored and returned. After that, with probability ½ a random stored image is
        returned and the new one takes its place; otherwise the new one is returned. With size 0 the batch passes
        through.
        """
        if self.size == 0:
            return batch
        return torch.stack([self._query(image, count + offset) for offset, image in enumerate(batch)])

    def _query(self, image: Tensor, count: int) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        coin, position = generator(self.seed, self.stream, count).random(2)
        if coin < 0.5:
            return image
        index = int(position * self.size)
        stored, self.images[index] = self.images[index], image.clone()
        return stored


def redistribute(pools: Sequence[Sequence[Tensor]], world_size: int, size: int) -> list[list[Tensor]]:
    """A list of at most ``size`` images for each of ``world_size`` ranks: those of ``pools`` if there is one for each
    rank, otherwise their images in turn."""
    if len(pools) == world_size:
        return [list(pool[:size]) for pool in pools]
    images = [image for pool in pools for image in pool]
    return [images[rank::world_size][:size] for rank in range(world_size)]
