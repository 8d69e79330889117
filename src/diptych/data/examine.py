"""Facts about each decoded picture: size, mode, colours, content."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from diptych.config import ValueType
from diptych.data.encoding import PEAK, UNSIGNED
from diptych.data.files import Domain
from diptych.data.formats.reading import open_picture
from diptych.data.image import LUMA
from diptych.data.near_duplicates import Thumbnail, content_hash, thumbnail
from diptych.data.survey import out_of_place
from diptych.data.transforms import half_of
from diptych.errors import PictureError

GREY_SPREAD = 2
"""A pixel whose channels differ by at most this many levels (of 255) is grey."""


@dataclass(frozen=True, eq=False)
class PictureFacts:
    """One picture."""

    path: Path
    width: int
    height: int
    """In pixels, upright."""
    mode: str
    """Pillow's mode of the file."""
    num_frames: int
    is_rotated: bool
    """EXIF orientation is not upright."""
    is_transparent: bool
    """Some pixel is not opaque."""
    dtype: ValueType
    """Type of the values."""
    content: bytes
    """Hash of the pixels."""
    thumbnail: Thumbnail

    @property
    def num_bits(self) -> int:
        """Bits per channel."""
        return 8 * np.dtype(self.dtype).itemsize

    @property
    def shorter_side(self) -> int:
        return min(self.width, self.height)

    @property
    def is_grey(self) -> bool:
        """Whether no colour is visible, even if the file stores colour."""
        return float(np.ptp(self.thumbnail.values, axis=2).max()) <= GREY_SPREAD


@dataclass(frozen=True)
class Examined:
    """The facts of a domain's pictures, and the errors of the unreadable ones by path."""

    domain: Domain
    facts: list[PictureFacts] = field(default_factory=list)
    unreadable: dict[Path, PictureError] = field(default_factory=dict)


def examine(domain: Domain, *, has_range: bool = False, advance: Callable[[], object] = lambda: None) -> Examined:
    """Reads every picture of ``domain``, in threads; ``advance`` is called after each.

    Unless the domain ``has_range``, a picture that needs a range is unreadable beside others that need none.
    """

    def facts(index: int) -> PictureFacts | PictureError:
        try:
            return read_facts(domain, index)
        except PictureError as error:
            return error
        finally:
            advance()

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(facts, range(len(domain))))
    if not has_range and any(isinstance(one, PictureFacts) and one.dtype in UNSIGNED for one in found):
        found = [out_of_place(one.path, one.dtype) or one if isinstance(one, PictureFacts) else one for one in found]
    unreadable = {domain.path(index): error for index, error in enumerate(found) if isinstance(error, PictureError)}
    return Examined(domain, [one for one in found if isinstance(one, PictureFacts)], unreadable)


def read_facts(domain: Domain, index: int) -> PictureFacts:
    """The facts of one picture, or of the domain's half of it.

    Raises:
        PictureError: it cannot be read.
    """
    path = domain.path(index)
    with open_picture(path) as file:
        mode, frames, is_rotated = file.mode, file.num_frames, file.orientation != 1
        image = file.decode()
    values = half_of(image.values, domain.half)
    is_transparent = image.alpha is not None and bool((image.alpha < np.iinfo(image.alpha.dtype).max).any())
    return PictureFacts(
        path=path,
        width=values.shape[1],
        height=values.shape[0],
        mode=mode,
        num_frames=frames,
        is_rotated=is_rotated,
        is_transparent=is_transparent,
        dtype=image.encoding.dtype,
        content=content_hash(values),
        thumbnail=thumbnail(values),
    )


@dataclass(frozen=True)
class Summary:
    """Statistics of a domain. Colours are means over pictures, in [0, 1]."""

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
    """In the HSV model."""

    def json(self) -> dict[str, Any]:
        return asdict(self)


def summarise(pictures: Sequence[PictureFacts]) -> Summary:
    """The statistics of at least one picture."""
    small = np.stack([one.thumbnail.values for one in pictures]) / PEAK
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
