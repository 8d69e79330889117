"""Conversion from and to other software: the checkpoints of the original CycleGAN code."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diptych.interop.exporting import export_original
    from diptych.interop.importing import import_original
    from diptych.interop.original import load_original, save_original

_MODULES = {
    "export_original": "diptych.interop.exporting",
    "import_original": "diptych.interop.importing",
    "load_original": "diptych.interop.original",
    "save_original": "diptych.interop.original",
}

__all__ = ["export_original", "import_original", "load_original", "save_original"]


def __getattr__(name: str) -> Any:
    """Imports a function on first use: ``import diptych.interop`` needs no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'diptych.interop' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
