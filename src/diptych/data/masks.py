"""Masks of what must stay in a picture: a pixel that is not black is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diptych.data.encoding import PEAK, Array
from diptych.data.files import Domain, find_files, folded_name
from diptych.data.formats import format_of, head_of
from diptych.data.formats.reading import read_picture
from diptych.data.pairing import shapes_agree, shapes_differ
from diptych.data.transforms import nearest_resized
from diptych.errors import PictureError

Mask = NDArray[np.bool_]
"""``(H, W)``: true where content is kept."""


@dataclass(frozen=True)
class Masks:
    """The masks of a domain's pictures."""

    folder: Path
    files: Mapping[Path, Path]
    """For each picture that has a mask: its name in the domain, and that of the mask in ``folder``."""

    def path(self, file: Path) -> Path | None:
        """The mask of the picture ``file`` of the domain; None if it has none."""
        return self.folder / self.files[file] if file in self.files else None


def find_masks(domain: Domain, folder: Path, report: Callable[[str], None] = lambda _: None) -> Masks:
    """The masks in ``folder`` that have the names of pictures of ``domain``, whatever their suffix.

    Raises:
        PictureError: no picture has a mask, or one has two.
    """
    where, files, _ = find_files(folder)
    by_name: dict[str, Path] = {}
    for file in files:
        if (name := folded_name(file)) in by_name:
            raise PictureError(f"{where} has two masks named {name}", cure="remove or rename one")
        by_name[name] = file
    found = {file: by_name[name] for file in domain.files if (name := folded_name(file)) in by_name}
    if not found:
        problem = f"{folder} has no mask with the name of a picture in {domain.folder}"
        raise PictureError(problem, cure="give each mask the name of its picture")
    if without := len(domain) - len(found):
        report(f"{without:,} of {len(domain):,} pictures of {domain.name} have no mask: nothing in them is kept")
    return Masks(where, found)


def read_mask(path: Path, picture: Path, size: tuple[int, int]) -> Mask:
    """The mask in ``path`` of a ``picture`` of this ``size`` (width, height). Transparent pixels are not kept.

    Raises:
        PictureError: it cannot be read, is a JPEG, or has another aspect ratio.
    """
    if format_of(head_of(path)) == "JPEG":
        raise PictureError(f"{path} is a JPEG, in which black is not exact", cure="save masks as PNG")
    decoded = read_picture(path)
    kept = (decoded.values != 0).any(axis=2)
    if decoded.alpha is not None:  # the values are composited on white
        kept &= decoded.alpha > 0
    if not shapes_agree(size, kept.shape[::-1]):
        raise shapes_differ(picture, size, path, kept.shape[::-1])
    return np.asarray(kept)


def with_mask(values: Array, mask: Mask | None) -> Array:
    """``(H, W, C)`` with one more channel: the largest value of the type where ``mask`` is true, else 0.

    So the mask is cropped, flipped and batched with its picture. A ``mask`` of another size is resized (nearest).
    """
    height, width = values.shape[:2]
    peak = np.iinfo(values.dtype).max if values.dtype.kind == "u" else PEAK
    kept = np.zeros((height, width), bool) if mask is None else nearest_resized(mask, height, width)
    return np.concatenate([values, (kept * peak).astype(values.dtype)[:, :, None]], axis=2)
