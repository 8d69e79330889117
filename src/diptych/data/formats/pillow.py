"""Picture files, read and written: what is wrong with one is told in a line, and one is written whole or not at all."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from diptych.atomic import atomic_write
from diptych.data.image import Picture, eight_bits, from_pillow, is_grey, orientation, to_pillow
from diptych.errors import PictureError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is read, whatever the name says. Pillow knows more, some of which start other programs (EPS)."""
JPEGS = ("JPEG", "MPO")
"""Formats that Pillow decodes at a lower resolution."""
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
SIDEWAYS = (5, 6, 7, 8)
REMOVE = "replace or remove it"

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".png": {},
    ".webp": {"quality": 95},
    ".bmp": {},
    ".tif": {"compression": "tiff_deflate"},
    ".tiff": {"compression": "tiff_deflate"},
    ".gif": {},
}
"""How pictures are written, by suffix."""
DEEP = frozenset({".png", ".tif", ".tiff"})
"""Formats that hold 16 bits."""
OPAQUE = frozenset({".jpg", ".jpeg", ".bmp"})
"""Formats without transparency."""

# Pillow warns of what it reads all the same: of large pictures, and of odd bytes that are no part of the picture.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Header(NamedTuple):
    """What a picture's first bytes tell: its size in pixels as it will be seen, and whether it has no colour."""

    width: int
    height: int
    is_grey: bool


def read_picture(path: Path, *, reduction: Callable[[int, int], int] | None = None) -> Picture:
    """The picture in ``path``, upright (EXIF orientation applied), the first frame of several.

    ``reduction`` tells how many times smaller a JPEG of a width and height is decoded: 1, 2, 4 or 8, a divisor of both.

    Raises:
        PictureError: not a picture, damaged, too large, of a kind that is not read, or not permitted.
    """
    with opened(path) as image:
        if reduction is not None and image.format in JPEGS and (factor := reduction(*_seen_size(image))) > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        return from_pillow(image, path)


def read_header(path: Path) -> Header:
    """Size and colour of the picture in ``path``, without decoding it (except where the colours are in a palette).

    Raises:
        PictureError: as ``read_picture``, as far as the first bytes show.
    """
    with opened(path) as image:
        return Header(*_seen_size(image), is_grey(image))


def _seen_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of ``image`` when it is upright."""
    width, height = image.size
    if orientation(image) in SIDEWAYS and image.format != "TIFF":  # whose size Pillow turns itself
        return height, width
    return width, height


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The opened file, with every way in which it can be wrong told as a ``PictureError``."""
    try:
        size = _size_of(path)
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except PictureError:
        raise
    except UnidentifiedImageError:
        problem = f"{path} does not begin like a picture ({', '.join(FORMATS)}), whatever its name says"
        raise PictureError(problem, cure=REMOVE) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels", cure=REMOVE) from None
    except PermissionError:
        raise PictureError(f"{path} may not be read", cure="change its permissions, or remove it") from None
    except MemoryError:
        raise PictureError(f"{path} needs more memory than there is", cure=REMOVE) from None
    except Exception as error:  # Pillow reports damage by whatever its parsers stumble over
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        problem = f"{path} is cut off or damaged ({size / 1000:.1f} kB; {reason})"
        raise PictureError(problem, cure=REMOVE) from None


def _size_of(path: Path) -> int:
    """Bytes in the file.

    Raises:
        PictureError: there are none, or it is no file.
    """
    if not path.is_file():
        if not path.exists() and not path.is_symlink():
            raise PictureError(f"{path} does not exist", cure="give an existing picture")
        raise PictureError(f"{path} is {'not a file' if path.exists() else 'a link to nothing'}", cure=REMOVE)
    if size := path.stat().st_size:
        return size
    raise PictureError(f"{path} is empty (0 bytes)", cure=REMOVE)


def storable(picture: Picture, path: Path) -> Picture:
    """``picture`` as a file named ``path`` can hold it: its note says where 16 bits become 8; transparency is left
    out where there is none (the values lie on white), and all or nothing in GIF."""
    (values, alpha, note), suffix = picture, path.suffix.lower()
    if values.dtype != np.uint8 and (values.shape[2] > 1 or suffix not in DEEP):
        deep = "colour of 16 bits" if values.shape[2] > 1 else "16 bits"
        values, note = eight_bits(values), f"{path} cannot hold {deep}: it is written with 8"
    if alpha is not None and suffix == ".gif":
        alpha = np.where(alpha < 128, 0, 255).astype(np.uint8)
    return Picture(values, None if suffix in OPAQUE else alpha, note)


def write_picture(path: Path, picture: Picture) -> None:
    """Writes ``picture`` to ``path``, in the format of its suffix, as ``storable`` makes it; whole or not at all.

    Raises:
        PictureError: the format cannot hold such a picture.
        OSError: the disk is full or may not be written; ``path`` is as it was.
    """
    content = _encoded(storable(picture, path), path)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _encoded(picture: Picture, path: Path) -> bytes:
    suffix, content = path.suffix.lower(), io.BytesIO()
    try:
        format_ = Image.registered_extensions()[suffix]
        image = to_pillow(picture.values, picture.alpha)
        if suffix == ".gif" and image.mode == "LA":  # whose alpha Pillow leaves out of a GIF
            image = image.convert("RGBA")
        image.save(content, format=format_, **SAVE_OPTIONS[suffix])
    except (OSError, ValueError, KeyError) as error:
        height, width, _ = picture.values.shape
        problem = f"{path} cannot be written in that format ({width}×{height} pixels; {error})"
        raise PictureError(problem, cure="give a name that ends in .png") from None
    return content.getvalue()
