"""The formats that Pillow reads and writes: 8 bits of grey or colour, 16 bits of grey."""

import errno
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from diptych.atomic import atomic_write
from diptych.data.encoding import eight_bits
from diptych.data.image import DecodedImage, from_pillow, is_grey, orientation, to_pillow
from diptych.errors import PictureError, UserError, os_cure, os_problem

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are read. Pillow knows more, some of which start other programs (EPS)."""
JPEGS = ("JPEG", "MPO")
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
REDUCTIONS = (8, 4, 2)
"""Factors by which libjpeg can decode at a lower resolution. It drops the higher frequencies of each 8×8 block."""
DRAFT_MARGIN = 4
"""A reduced image stays at least this many times larger than its target. The result then differs by less than 1/255 on
average, even for white noise, since resizing would remove the same frequencies. With 2 it differs by more."""
SIDEWAYS = (5, 6, 7, 8)
REMOVE = "replace or remove it"
PARSER_ERRORS = (None, errno.EINVAL, errno.EOVERFLOW)
"""Numbers of the ``OSError``s that Pillow's parsers raise on damaged files. Others are the system's."""

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"quality": 95},
    ".tif": {"compression": "tiff_deflate"},
    ".tiff": {"compression": "tiff_deflate"},
}
DEEP = frozenset({".png", ".tif", ".tiff"})
"""Formats that hold 16 bits of grey."""
OPAQUE = frozenset({".jpg", ".jpeg", ".bmp"})
"""Formats without transparency."""

# Pillow warns of things that it reads correctly: large pictures, and unknown bytes outside of the pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Header(NamedTuple):
    """Size in pixels after EXIF orientation, and whether the format has no colour."""

    width: int
    height: int
    is_grey: bool


class PictureFile:
    """An open picture file. Its header is read; its pixels are not decoded yet."""

    def __init__(self, path: Path, image: Image.Image) -> None:
        self.path, self.image = path, image
        self.loses_depth = loses_depth(image)

    @property
    def can_be_reduced(self) -> bool:
        """Whether it can be decoded at a lower resolution."""
        return self.image.format in JPEGS

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after EXIF orientation."""
        width, height = self.image.size
        if orientation(self.image) in SIDEWAYS and self.image.format != "TIFF":  # Pillow swaps the size of TIFFs itself
            return height, width
        return width, height

    def decode(self, target: tuple[int, int] | None = None, *, columns: int = 1) -> DecodedImage:
        """The first frame, upright.

        ``target`` is the width and height that the image will be resized to; a much larger JPEG is then decoded at a
        lower resolution. ``columns`` is the number of images side by side in the file; ``target`` is the size of one.

        Raises:
            PictureError: pixels of 32 bits, whose range is unknown.
        """
        if target is not None and self.can_be_reduced:
            factor = reduction(self.size, target, columns=columns)
            if factor > 1:
                self.image.draft(None, (self.image.width // factor, self.image.height // factor))
        image = from_pillow(self.image, self.path)
        if self.loses_depth and image.note is None:
            lost = f"{self.path} has 16 bits per channel, and colour or transparency: it is read with 8"
            return image._replace(note=lost)
        return image


@contextmanager
def open_picture(path: Path) -> Iterator[PictureFile]:
    """Opens ``path``. Everything that goes wrong with the file while it is open becomes a ``PictureError``."""
    size = 0
    try:
        size = _num_bytes(path)
        with Image.open(path, formats=FORMATS) as image:
            yield PictureFile(path, image)
    except UserError:
        raise
    except UnidentifiedImageError:
        problem = f"{path} is not a picture ({', '.join(FORMATS)}), despite its name"
        raise PictureError(problem, cure=REMOVE) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels", cure=REMOVE) from None
    except MemoryError:
        raise PictureError(f"{path} needs more memory than there is", cure=REMOVE) from None
    except Exception as error:  # Pillow's parsers raise many types of error on damaged files
        if isinstance(error, OSError) and error.errno not in PARSER_ERRORS:
            kind = UserError if error.errno in (errno.EMFILE, errno.ENFILE) else PictureError
            raise kind(f"{path} cannot be read ({os_problem(error)})", cure=f"{os_cure(error)}, or remove it") from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        problem = f"{path} is cut off or damaged ({size / 1000:.1f} kB; {reason})"
        raise PictureError(problem, cure=REMOVE) from None


def read_picture(path: Path) -> DecodedImage:
    """Reads ``path``: upright (EXIF orientation applied), the first of several frames.

    Raises:
        PictureError: not a picture, damaged, too large, of an unsupported kind, or no permission to read it.
    """
    with open_picture(path) as file:
        return file.decode()


def read_header(path: Path) -> Header:
    """Reads size and colour of ``path`` without decoding it (except where a palette holds the colours).

    Raises:
        PictureError: as ``read_picture``, for what the header shows.
    """
    with open_picture(path) as file:
        return Header(*file.size, is_grey(file.image))


def _num_bytes(path: Path) -> int:
    """The size of the file.

    Raises:
        PictureError: it is empty, or not a file.
    """
    if not path.is_file():
        if not path.exists() and not path.is_symlink():
            raise PictureError(f"{path} does not exist", cure="give an existing picture")
        raise PictureError(f"{path} is {'not a file' if path.exists() else 'a broken link'}", cure=REMOVE)
    if size := path.stat().st_size:
        return size
    raise PictureError(f"{path} is empty (0 bytes)", cure=REMOVE)


def reduction(size: tuple[int, int], target: tuple[int, int], *, columns: int = 1) -> int:
    """The factor, 1, 2, 4 or 8, by which a JPEG of ``size`` can be decoded smaller if it is resized to ``target``.

    It divides the height, and the width of each of the ``columns`` images, so that no pixel mixes two of them.
    """
    width, height = size[0] / columns, size[1]
    for factor in REDUCTIONS:
        is_large = width >= factor * DRAFT_MARGIN * target[0] and height >= factor * DRAFT_MARGIN * target[1]
        if is_large and width % factor == height % factor == 0:
            return factor
    return 1


def loses_depth(image: Image.Image) -> bool:
    """Whether Pillow reads 16 bits of ``image`` as 8. Call it before the image is loaded."""
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", [])]
    return any(re.search(r"(RGB|LA|CMYK)\w*;16[BLN]", mode) for mode in raw_modes)


def storable(image: DecodedImage, path: Path) -> DecodedImage:
    """``image``, converted to what the format of ``path`` can hold. Its note says if 16 bits become 8.

    Formats without transparency get the image on white. In GIF, a pixel is fully transparent or fully opaque.
    """
    (values, alpha, note), suffix = image, path.suffix.lower()
    has_colour = values.shape[2] > 1
    if image.encoding.is_deep and (has_colour or suffix not in DEEP):
        deep = "colour of 16 bits" if has_colour else "16 bits"
        values, note = eight_bits(values), f"{path} cannot hold {deep}: it is written with 8"
    if alpha is not None and suffix == ".gif":
        alpha = np.where(alpha < 128, 0, 255).astype(np.uint8)
    return DecodedImage(values, None if suffix in OPAQUE else alpha, note)


def write_picture(path: Path, image: DecodedImage) -> None:
    """Writes ``image`` to ``path`` in the format of its suffix, converted by ``storable``; atomically.

    Raises:
        PictureError: the format cannot hold the image.
        OSError: the disk is full or not writable; ``path`` is unchanged.
    """
    values, alpha, _ = storable(image, path)
    suffix, content = path.suffix.lower(), io.BytesIO()
    try:
        made = to_pillow(values, alpha)
        if suffix == ".gif" and made.mode == "LA":  # Pillow drops the alpha of LA in a GIF
            made = made.convert("RGBA")
        made.save(content, format=Image.registered_extensions()[suffix], **SAVE_OPTIONS.get(suffix, {}))
    except (OSError, ValueError, KeyError) as error:
        height, width, _ = values.shape
        problem = f"{path} cannot be written in that format ({width}×{height} pixels; {error})"
        raise PictureError(problem, cure="give a name that ends in .png") from None
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.getvalue())
