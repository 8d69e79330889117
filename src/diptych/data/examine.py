"""Pictures decoded whole, as training would, and what each is like: size, kind, colours, content."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from diptych.data.files import Domain
from diptych.data.formats.pillow import opened
from diptych.data.image import LUMA, Array, from_pillow, orientation
from diptych.data.near_duplicates import content_hash, thumbnail
from diptych.data.transforms import halved
from diptych.errors import PictureError

GREY_SPREAD = 2
"""Channels that differ by no more than this (of 255) have no colour."""


@dataclass(frozen=True, eq=False)
class Facts:
    """One picture."""

    path: Path
    width: int
    height: int
    """In pixels, upright."""
    mode: str
    """As stored, in Pillow's terms."""
    num_frames: int
    is_turned: bool
    """EXIF says to turn it."""
    is_transparent: bool
    """Somewhere; being able to be is not enough."""
    num_bits: int
    content: bytes
    """Hash of the pixels."""
    thumbnail: Array
    """``(16, 16, 3)`` uint8."""

    @property
    def shorter_side(self) -> int:
        return min(self.width, self.height)

    @property
    def is_grey(self) -> bool:
        """Whether no colour is seen in it, however it is stored."""
        return int(np.ptp(self.thumbnail.astype(int), axis=2).max()) <= GREY_SPREAD


@dataclass(frozen=True)
class Examined:
    """What was found in the pictures of a domain: the facts of each, and what is wrong with those that cannot be read,
    by path."""

    domain: Domain
    facts: list[Facts] = field(default_factory=list)
    unreadable: dict[Path, PictureError] = field(default_factory=dict)


def examine(domain: Domain, *, advance: Callable[[], object] = lambda: None) -> Examined:
    """Reads every picture of ``domain``, in threads; ``advance`` is called after each."""

    def facts(index: int) -> Facts | PictureError:
        try:
            return read_facts(domain, index)
        except PictureError as error:
            return error
        finally:
            advance()

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(facts, range(len(domain))))
    unreadable = {domain.path(index): error for index, error in enumerate(found) if isinstance(error, PictureError)}
    return Examined(domain, [one for one in found if isinstance(one, Facts)], unreadable)


def read_facts(domain: Domain, index: int) -> Facts:
    """The facts of one picture, or of the domain's half of it.

    Raises:
        PictureError: it cannot be read.
    """
    path = domain.path(index)
    with opened(path) as image:
        mode, is_turned = image.mode, orientation(image) != 1
        num_frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        picture = from_pillow(image, path)
    values = halved(picture.values, domain.half)
    # The note is of the frames where there are several, else of 16 bits that Pillow reads as 8.
    is_deep = values.dtype != np.uint8 or (picture.note is not None and num_frames == 1)
    return Facts(
        path=path,
        width=values.shape[1],
        height=values.shape[0],
        mode=mode,
        num_frames=num_frames,
        is_turned=is_turned,
        is_transparent=picture.alpha is not None and bool((picture.alpha < 255).any()),
        num_bits=16 if is_deep else 8,
        content=content_hash(values),
        thumbnail=thumbnail(values),
    )


@dataclass(frozen=True)
class Summary:
    """What the pictures of a domain are like together. Colours are means over pictures, shares of 1."""

    num_pictures: int
    num_grey: int
    width: float
    height: float
    """Medians, in pixels."""
    smallest_side: int
    largest_side: int
    colour: tuple[float, float, float]
    luminance: float
    luminance_spread: float
    """Standard deviation between pictures."""
    saturation: float
    """Of the HSV model."""

    def json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(pictures: Sequence[Facts]) -> Summary:
    """``pictures``, at least one, together."""
    small = np.stack([one.thumbnail for one in pictures]) / 255
    luminance = (small @ np.asarray(LUMA)).mean(axis=(1, 2))
    red, green, blue = (float(value) for value in small.mean(axis=(0, 1, 2)))
    return Summary(
        num_pictures=len(pictures),
        num_grey=sum(one.is_grey for one in pictures),
        width=median(one.width for one in pictures),
        height=median(one.height for one in pictures),
        smallest_side=min(one.shorter_side for one in pictures),
        largest_side=max(max(one.width, one.height) for one in pictures),
        colour=(red, green, blue),
        luminance=float(luminance.mean()),
        luminance_spread=float(luminance.std()),
        saturation=float((np.ptp(small, axis=3) / np.maximum(small.max(axis=3), 1e-6)).mean()),
    )
