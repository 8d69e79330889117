"""Pictures inside the page: WebP as data URIs, each with a size limit in bytes."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from PIL import Image

from diptych.data.encoding import Array
from diptych.data.image import displayed, to_pillow

MAX_GRIDS = 12
MAX_COMPARED = 6
"""Pictures of each direction that are shown beside their translations."""
GRID_BYTES, COMPARED_BYTES, LEAD_BYTES = 700_000, 150_000, 1_000_000
"""Limits before base64, which adds a third. Together 13 MB, so the page stays below 20 MB."""
GRID_SIZE, COMPARED_SIZE = (1800, 3600), (640, 640)
SMALL = 128
"""Pictures up to this side are encoded without loss."""

T = TypeVar("T")


@dataclass(frozen=True)
class Embedded:
    """An encoded picture and its size in pixels."""

    uri: str
    width: int
    height: int


def thinned(items: Sequence[T], number: int = MAX_GRIDS) -> list[T]:
    """At most ``number`` of ``items``, evenly spaced, with the first and the last."""
    if len(items) <= number:
        return list(items)
    return [items[round(place * (len(items) - 1) / (number - 1))] for place in range(number)]


def embed_grid(path: Path) -> Embedded:
    """The sample grid at ``path``.

    Raises:
        OSError: it cannot be read.
    """
    return _embed_file(path, path.stat().st_mtime_ns, GRID_SIZE, GRID_BYTES)


def embed_lead(path: Path) -> tuple[Embedded, str]:
    """The picture at ``path`` for the top of the page, and the description stored in it.

    Raises:
        OSError: it cannot be read.
    """
    with Image.open(path) as image:
        description = str(image.info.get("Description", ""))
    return _embed_file(path, path.stat().st_mtime_ns, GRID_SIZE, LEAD_BYTES), description


@lru_cache(maxsize=64)  # each new grid writes the page again; older grids have not changed
def _embed_file(path: Path, _changed: int, size: tuple[int, int], limit: int) -> Embedded:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail(size, Image.Resampling.LANCZOS)
    return embed(picture, limit)


def embed_array(values: Array) -> Embedded:
    """``(H, W, C)`` uint8, of which ``displayed`` channels are shown."""
    picture = to_pillow(displayed(values)).convert("RGB")
    picture.thumbnail(COMPARED_SIZE, Image.Resampling.LANCZOS)
    return embed(picture, COMPARED_BYTES)


def embed(picture: Image.Image, limit: int) -> Embedded:
    """Encodes ``picture`` in at most ``limit`` bytes: with lower quality and a smaller size if necessary."""
    lossless, quality = max(picture.size) <= SMALL, 85
    while True:
        file = io.BytesIO()
        picture.save(file, "webp", lossless=lossless, quality=quality, method=2)
        if (size := file.tell()) <= limit:
            break
        lossless, quality = False, 70
        scale = min(0.9, 0.95 * math.sqrt(limit / size))
        smaller = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
        picture = picture.resize(smaller, Image.Resampling.LANCZOS)
    return Embedded(f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}", *picture.size)
