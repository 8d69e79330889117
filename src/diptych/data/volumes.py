"""Volumes, whose slices are pictures: ``scan.nii.gz/axis-k/0042`` is the path of a slice of ``scan.nii.gz``."""

import re
from pathlib import Path
from typing import NamedTuple

VOLUME_SUFFIXES = (".nii", ".nii.gz")
AXES = "ijk"
"""Names of the axes of a volume's array."""
FOLDER = re.compile(r"axis-([ijk])(?:-of-(\d+))?")


class Slices(NamedTuple):
    """How volumes are cut into pictures."""

    axis: int = 2
    """The axis across the slices: 0, 1 or 2."""
    number: int = 1
    """Neighbouring slices that are the channels of a picture: odd."""

    def path(self, volume: Path, index: int) -> Path:
        """The path of slice ``index`` of ``volume``."""
        several = f"-of-{self.number}" if self.number > 1 else ""
        return volume / f"axis-{AXES[self.axis]}{several}" / f"{index:04d}"


SINGLE_SLICES = Slices()


class SlicePath(NamedTuple):
    """What the path of a slice says."""

    volume: Path
    slices: Slices
    at: int
    """Its number, from 0."""


def suffix_of(path: Path) -> str:
    """The suffix of a file in lower case: ``.nii.gz`` as a whole."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def is_volume(path: Path) -> bool:
    """Whether ``path`` is named like a volume."""
    return suffix_of(path) in VOLUME_SUFFIXES


def slice_path(path: Path) -> SlicePath | None:
    """What ``path`` says, if it is that of a slice; else None."""
    found = FOLDER.fullmatch(path.parent.name)
    volume = path.parent.parent
    if found is None or not path.name.isdigit() or not is_volume(volume):
        return None
    return SlicePath(volume, Slices(AXES.index(found[1]), int(found[2] or 1)), int(path.name))


def file_of(path: Path) -> Path:
    """The file that holds the picture ``path``: ``path`` itself, or the volume of a slice."""
    found = slice_path(path)
    return path if found is None else found.volume
