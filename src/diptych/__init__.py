"""diptych learns to translate pictures between two domains from two folders of pictures, without pairs."""

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

_HOME = {
    "Run": "diptych.run",
    "TrainConfig": "diptych.config",
    "Translator": "diptych.inference.translator",
    "UserError": "diptych.errors",
    "evaluate": "diptych.evaluation.evaluate",
    "train": "diptych.training.loop",
}

__all__ = ["Run", "TrainConfig", "Translator", "UserError", "evaluate", "train"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for, so that ``import diptych`` takes no time."""
    if name not in _HOME:
        raise AttributeError(f"module 'diptych' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
