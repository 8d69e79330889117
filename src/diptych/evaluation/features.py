"""Feature networks: they turn pictures into the feature vectors that KID, FID and similar scores compare.

Every score is named after its network: scores of two networks cannot be compared.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diptych.cuda import exact_float32
from diptych.data.encoding import RGB, Array, to_unit_range
from diptych.data.image import displayed, with_channels
from diptych.data.transforms import resize
from diptych.errors import OptionError, first_line
from diptych.inference.forward import is_out_of_memory

Features = NDArray[np.float64]
"""``(N, D)``: one row per picture."""
BATCH_SIZE = 4


@dataclass(frozen=True)
class FeatureNetwork:
    """A function from ``(B, 3, H, W)`` in [0, 1] to ``(B, D)``, and its entries in a protocol."""

    name: str
    """As in "KID (EfficientNet-Lite0)"."""
    network: Callable[[Tensor], Any]
    size: int
    """Height and width of its input, in pixels."""
    sha256: str | None
    """Of its weights; None if they are unknown, as for a function."""
    device: torch.device = field(default_factory=partial(torch.device, "cpu"))
    is_standard: bool = False
    """Whether this is the standard Inception, whose KID and FID are named without a network."""

    def label(self, metric: str) -> str:
        """``metric`` with the network's name."""
        return metric if self.is_standard else f"{metric} ({self.name})"

    def __call__(self, pictures: Iterable[Array]) -> Features:
        """The features of ``pictures``, each ``(H, W, C)`` uint8 of any size, in batches of 4. The network sees
        their ``displayed`` channels as RGB.

        Raises:
            OptionError: the network fails, or returns something other than finite ``(B, D)``.
        """
        inputs = (resize(with_channels(displayed(picture), RGB), self.size, self.size) for picture in pictures)
        return np.concatenate([self._features(batch) for batch in iter(lambda: list(islice(inputs, BATCH_SIZE)), [])])

    @torch.no_grad()
    def _features(self, pictures: list[Array]) -> Features:
        batch = to_unit_range(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().to(self.device))
        shape, network = tuple(batch.shape), f"the feature network {self.name}"
        try:
            with exact_float32():
                output = self.network(batch)
        except Exception as error:  # the user's own code may raise anything
            if is_out_of_memory(error):
                raise
            problem = f"{network} fails on {shape} in [0, 1] ({first_line(error)})"
            raise OptionError(problem, cure="give one that takes them, or set its input_size") from None
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:] == (1, 1):
            output = output[:, :, 0, 0]
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(batch):
            result = f"{tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise OptionError(f"{network} gives {result} for {shape}", cure="give one that returns (B, D)")
        if not output.isfinite().all():
            raise OptionError(f"{network} gives NaN or infinity", cure="give another network")
        return np.asarray(output.cpu().double().numpy())
