"""Image-to-image translation between two domains, learned from two folders of pictures without pairs (CycleGAN)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diptych.config import TrainConfig
    from diptych.errors import UserError
    from diptych.evaluation.evaluate import evaluate
    from diptych.inference.translator import Translator
    from diptych.run import Run
    from diptych.training.loop import train

__version__ = "0.1.0"

_MODULES = {
    "Run": "diptych.run",
    "TrainConfig": "diptych.config",
    "Translator": "diptych.inference.translator",
    "UserError": "diptych.errors",
    "evaluate": "diptych.evaluation.evaluate",
    "train": "diptych.training.loop",
}

__all__ = ["Run", "TrainConfig", "Translator", "UserError", "evaluate", "train"]


def __getattr__(name: str) -> Any:
    """Imports a class or function on first use, so that ``import diptych`` is fast."""
    if name not in _MODULES:
        raise AttributeError(f"module 'diptych' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
