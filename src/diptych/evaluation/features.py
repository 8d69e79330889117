"""Feature networks: what turns pictures into the vectors that KID, FID and their kin compare.

Which network it is belongs to every score's name: scores of two networks have nothing to do with each other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.data.encoding import RGB, Array, to_unit_range
from diptych.data.image import with_channels
from diptych.data.transforms import resize
from diptych.errors import OptionError

Features = NDArray[np.float64]
"""``(N, D)``: a row for each picture."""
BATCH_SIZE = 4


@dataclass(frozen=True)
class FeatureNetwork:
    """A function from ``(B, 3, H, W)`` in [0, 1] to ``(B, D)``, and what a protocol says of it."""

    name: str
    """As in "KID (EfficientNet-Lite0)"."""
    network: Callable[[Tensor], Any]
    size: int
    """Height and width of what it is given, in pixels."""
    sha256: str | None
    """Of its weights; none where they are hidden in a function."""
    device: torch.device = field(default_factory=partial(torch.device, "cpu"))
    plain: bool = False
    """Whether KID and FID bear no name, being those that everybody means: of the standard Inception."""

    def label(self, metric: str) -> str:
        """``metric`` with the network's name."""
        return metric if self.plain else f"{metric} ({self.name})"

    def __call__(self, pictures: Iterable[Array]) -> Features:
        """The features of ``pictures``, each ``(H, W, 1 or 3)`` uint8 of any size, in batches of 4.

        Raises:
            OptionError: the network fails, or gives something else than ``(B, D)``.
        """
        batches = [self._features(batch) for batch in _batches(self._prepared(picture) for picture in pictures)]
        return np.concatenate(batches)

    def _prepared(self, picture: Array) -> Array:
        return resize(with_channels(picture, RGB), self.size, self.size)

    @torch.no_grad()
    def _features(self, pictures: list[Array]) -> Features:
        batch = to_unit_range(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().to(self.device))
        try:
            made = self.network(batch)
        except Exception as error:  # a stranger's code may raise anything
            problem = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise OptionError(
                f"the feature network {self.name} fails on {tuple(batch.shape)} in [0, 1] ({problem})",
                cure="give one that takes them, or set its input_size",
            ) from None
        if isinstance(made, Tensor) and made.ndim == 4 and made.shape[2:] == (1, 1):
            made = made[:, :, 0, 0]
        if not isinstance(made, Tensor) or made.ndim != 2 or len(made) != len(batch):
            what = f"{tuple(made.shape)}" if isinstance(made, Tensor) else f"a {type(made).__name__}"
            problem = f"the feature network {self.name} gives {what} for {tuple(batch.shape)}"
            raise OptionError(problem, cure="give one that returns (B, D)")
        if not made.isfinite().all():
            raise OptionError(f"the feature network {self.name} gives NaN or infinity", cure="give another network")
        features: Features = made.double().cpu().numpy()
        return features


def _batches(pictures: Iterator[Array]) -> Iterator[list[Array]]:
    while batch := list(islice(pictures, BATCH_SIZE)):
        yield batch
