"""TensorBoard event files (``--tensorboard``)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from diptych.errors import MissingExtraError


def require_tensorboard() -> None:
    """Raises ``MissingExtraError`` if TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise MissingExtraError("TensorBoard", "tensorboard") from None


class TensorBoard:
    """Writes event files into ``folder``. Hides the events after ``pictures`` that an earlier process wrote."""

    def __init__(self, folder: Path, pictures: int) -> None:
        """Raises ``MissingExtraError`` if TensorBoard is not installed."""
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=pictures + 1)

    def log(self, pictures: int, values: Mapping[str, float]) -> None:
        """Adds ``values`` at ``pictures``."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, pictures)
        self.writer.flush()

    def draw(self, pictures: int, grid: Image.Image) -> None:
        """Adds the sample grid at ``pictures``."""
        self.writer.add_image("samples", np.asarray(grid), pictures, dataformats="HWC")
