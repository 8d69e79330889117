"""Whether content stayed: edges and objects that a translation loses or invents.

Images are batches (B, C, H, W) in [-1, 1]; a translation has the height and width of its input.
"""

from collections import defaultdict

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diptych.data.encoding import LEVEL, Array, to_network
from diptych.data.image import luminance
from diptych.data.transforms import stack
from diptych.evaluation.metrics import l1

MIN_CONTRAST = 16 * LEVEL
"""Smallest contrast of an edge, for luminance in [-1, 1]. Weaker edges are noise."""
RELATIVE_CONTRAST, STRONG = 0.25, 0.99
"""An edge has at least this fraction of the strong contrast of its image. Strong is this quantile of all contrasts. So
edges of a domain with less contrast count, too."""
TOLERANCE = 0.01
"""How far an edge may move, as a fraction of the shorter side; at least a pixel."""
HALF = 0.5
"""An object is lost if it loses more than this fraction of its edges."""


def edges(images: Tensor) -> Tensor:
    """Where edges are, ``(B, H, W)``: the contrast, which is the magnitude of the luminance gradient (differences of
    opposite neighbours), is high for its image."""
    grey = F.pad(luminance(images)[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across, down = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2], grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    contrast = torch.hypot(across, down)
    strong = contrast.flatten(1).quantile(STRONG, dim=1)
    return contrast > (RELATIVE_CONTRAST * strong).clamp_min(MIN_CONTRAST)[:, None, None]


def lost(before: Tensor, after: Tensor, where: Tensor | None = None) -> Tensor:
    """The fraction of the edges ``before``, ``(B, H, W)``, without one near in ``after``; 0 for an image without edges.

    Only edges in ``where`` count. With the two exchanged, it is the fraction of edges that are invented.
    """
    reach = max(1, round(TOLERANCE * min(before.shape[1:])))
    near = F.max_pool2d(after[:, None].float(), 2 * reach + 1, stride=1, padding=reach)[:, 0] > 0
    counted = before if where is None else before & where
    return (counted & ~near).sum((1, 2)) / counted.sum((1, 2)).clamp_min(1)


def objects(mask: Tensor) -> list[Tensor]:
    """The connected parts of a mask ``(H, W)``, each a mask of its own; diagonal neighbours are connected."""
    number = torch.arange(1, mask.numel() + 1, dtype=torch.float64).view(mask.shape) * mask
    while True:
        spread = F.max_pool2d(number[None, None], 3, stride=1, padding=1)[0, 0] * mask
        if torch.equal(spread, number):
            return [number == one for one in torch.unique(number) if one > 0]
        number = spread


def lost_objects(before: Tensor, after: Tensor, mask: Tensor) -> tuple[int, int]:
    """How many ``objects`` of ``mask`` (H, W) lose more than half of their edges, and how many have edges.

    The edges of an object include those around it, within the tolerance; ``before`` and ``after`` are (H, W).
    """
    reach, found = max(1, round(TOLERANCE * min(mask.shape))), []
    for one in objects(mask):
        around = F.max_pool2d(one[None, None].float(), 2 * reach + 1, stride=1, padding=reach)[0] > 0
        if (before & around).any():
            found.append(lost(before[None], after[None], around).item() > HALF)
    return sum(found), len(found)


class ContentScores:
    """Scores of content over the pictures of one direction, from pairs of input and translation."""

    def __init__(self) -> None:
        self.values = defaultdict[str, list[float]](list)
        self.num_lost, self.num_objects = 0, 0

    def add(self, picture: Array, output: Array, mask: NDArray[np.bool_] | None = None) -> None:
        """Counts a picture and its translation, both ``(H, W, C)`` uint8 of one size, and its mask ``(H, W)``."""
        before, after = (edges(to_network(stack([one]))) for one in (picture, output))
        self.values["edges_lost"].append(lost(before, after).item())
        self.values["edges_invented"].append(lost(after, before).item())
        if mask is None or not mask.any():
            return
        if picture.shape == output.shape:
            self.values["kept_l1"].append(l1(picture[mask], output[mask]))
        num_lost, number = lost_objects(before[0], after[0], torch.from_numpy(mask))
        self.num_lost, self.num_objects = self.num_lost + num_lost, self.num_objects + number

    def scores(self) -> dict[str, float]:
        """The scores by key: means over pictures, and the fraction of all objects that are lost."""
        found = {key: float(np.mean(numbers)) for key, numbers in self.values.items()}
        return found | ({"objects_lost": self.num_lost / self.num_objects} if self.num_objects else {})
