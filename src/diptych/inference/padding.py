"""Padding of pictures to multiples of the network's stride."""

from typing import NamedTuple

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from diptych.data.encoding import Array
from diptych.networks.windows import Area, Span

MIN_SIDE = 8


class Padding(NamedTuple):
    """Pixels added on each side of a picture, by reflection or by repeating the edge."""

    left: int
    right: int
    top: int
    bottom: int
    mode: str
    """``reflect`` or ``replicate``."""

    @classmethod
    def of(cls, height: int, width: int, stride: int) -> "Padding":
        """To multiples of ``stride`` and at least 8. By reflection if the picture is larger than the padding."""
        sides = []
        for side in (width, height):
            extra = stride * max(smallest_multiple(stride), -(-side // stride)) - side
            sides += [extra // 2, extra - extra // 2]
        reaches = max(sides[:2]) < width and max(sides[2:]) < height
        left, right, top, bottom = sides
        return cls(left, right, top, bottom, "reflect" if reaches else "replicate")

    def sources(self, area: Area) -> tuple[Array, Array]:
        """The rows and the columns of the picture that an area of the padded one is made of."""
        return (
            self._sources(area.rows, self.top, self.bottom),
            self._sources(area.columns, self.left, self.right),
        )

    def inside(self, area: Area) -> Area:
        """The part of the picture in an area of the padded one; it may be empty."""
        spans = ((area.rows, self.top, self.bottom), (area.columns, self.left, self.right))
        return Area(*(_inside(span, before, after) for span, before, after in spans))

    def _sources(self, span: Span, before: int, after: int) -> Array:
        size, indices = span.size - before - after, np.arange(span.start, span.stop) - before
        if self.mode == "reflect":
            indices = np.abs(indices)
            return np.where(indices < size, indices, 2 * (size - 1) - indices)
        return indices.clip(0, size - 1)


def _inside(span: Span, before: int, after: int) -> Span:
    size = span.size - before - after
    start, stop = (min(max(0, each - before), size) for each in (span.start, span.stop))
    return Span(start, stop, size)


def smallest_multiple(stride: int) -> int:
    """The smallest k for which a side of k · ``stride`` pixels is large enough for networks: at least 8."""
    return -(-MIN_SIDE // stride)


def pad_to_stride(batch: Tensor, stride: int) -> Tensor:
    """``(B, C, H, W)`` padded on all sides, as ``Padding.of`` says."""
    *sides, mode = Padding.of(batch.shape[2], batch.shape[3], stride)
    return F.pad(batch, sides, mode=mode) if any(sides) else batch
