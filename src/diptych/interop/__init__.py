"""Meeting other software: the original checkpoints, and what comes after them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diptych.interop.exporting import export_original
    from diptych.interop.importing import import_original
    from diptych.interop.original import load_original, save_original

_HOME = {
    "export_original": "diptych.interop.exporting",
    "import_original": "diptych.interop.importing",
    "load_original": "diptych.interop.original",
    "save_original": "diptych.interop.original",
}

__all__ = ["export_original", "import_original", "load_original", "save_original"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'diptych.interop' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
