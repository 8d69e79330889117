"""The formats that Pillow reads."""

import io
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from diptych.config import ValueType
from diptych.data.archive import open_file, readable
from diptych.data.encoding import GREY, PEAK, RGB, Array
from diptych.data.formats.exif import read_metadata
from diptych.data.image import (
    SIDEWAYS,
    DecodedImage,
    frames_note,
    from_pillow,
    is_grey,
    keyed,
    num_frames,
    orientation,
    with_alpha,
)

READ = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are read. Pillow knows more, some of which start other programs (EPS)."""
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
JPEGS = ("JPEG", "MPO")
REDUCTIONS = (8, 4, 2)
"""Factors by which libjpeg can decode at a lower resolution. It drops the higher frequencies of each 8×8 block."""
DRAFT_MARGIN = 4
"""A reduced image stays at least this many times larger than its target. The result then differs by less than 1/255 on
average, even for white noise, since resizing would remove the same frequencies. With 2 it differs by more."""
GREY_SCALES = {"L;2": 85, "L;4": 17}
"""The factors by which Pillow scales grey of 2 and 4 bits to 8, but not its transparent value."""
DEEP_COLOUR = re.compile(r"(RGB|RGBA|RGBa|LA);16[BLN]")
"""Pillow's names of 16 bits of colour, or of grey with transparency."""
PNG_SIGNATURE_SIZE, PNG_CRC_SIZE = 8, 4
WEBP_HEADER_SIZE = 12
PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")

# Pillow warns of things that it reads correctly: large pictures, and unknown bytes outside of the pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def open_with_pillow(path: Path) -> Iterator["PillowFile"]:
    """Opens ``path``. Raises many types of error; ``open_picture`` converts them."""
    with Image.open(readable(path), formats=READ) as image:
        yield PillowFile(path, image)


class PillowFile:
    """A picture file that Pillow has opened. Its header is read; its pixels are not decoded yet."""

    def __init__(self, path: Path, image: Image.Image) -> None:
        self.path, self.image = path, image
        self.mode, self.raw_mode = image.mode, _raw_mode(image)
        self.can_be_reduced = image.format in JPEGS

    @property
    def channels(self) -> int:
        """1 if the format has no colour, else 3."""
        return GREY if self.raw_mode == "LA;16B" or is_grey(self.image) else RGB

    @property
    def dtype(self) -> ValueType:
        """The type of the values."""
        return "uint16" if "16" in self.mode or DEEP_COLOUR.fullmatch(self.raw_mode) else "uint8"

    @cached_property
    def orientation(self) -> int:
        """EXIF orientation, 1 to 8."""
        if self.image.format == "TIFF":  # Pillow turns TIFFs itself
            return 1
        if self.image.format == "PNG" and not has_metadata(self.path):  # Pillow would decode the PNG to find out
            return 1
        return orientation(self.image)

    @property
    def num_frames(self) -> int:
        """How many frames the file has."""
        return num_frames(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height after EXIF orientation."""
        width, height = self.image.size
        return (height, width) if self.orientation in SIDEWAYS else (width, height)

    def decode(
        self, target: tuple[int, int] | None = None, *, columns: int = 1, bands: int | None = None
    ) -> DecodedImage:
        """The first frame, upright; ``bands`` does nothing.

        ``target`` is the width and height that the image will be resized to; a much larger JPEG is then decoded at a
        lower resolution. ``columns`` is the number of images side by side in the file; ``target`` is the size of one.
        """
        del bands
        decoded = self._decode(target, columns)
        has_exif = self.image.format != "PNG" or has_metadata(self.path)
        metadata = read_metadata(self.image, is_sideways=self.orientation in SIDEWAYS, has_exif=has_exif)
        if self.image.format == "WEBP":
            metadata = replace(metadata, is_lossless=is_lossless_webp(self.path))
        return decoded._replace(metadata=metadata.for_channels(decoded.values.shape[2]))

    def _decode(self, target: tuple[int, int] | None, columns: int) -> DecodedImage:
        key = self.image.info.get("transparency")
        if DEEP_COLOUR.fullmatch(self.raw_mode):
            values = stored_samples(self.path)
            if values.shape[2] in (2, 4):
                decoded = with_alpha(values[:, :, :-1], values[:, :, -1])
            else:
                decoded = DecodedImage(values) if key is None else keyed(values, key)
            note = frames_note(self.num_frames, self.path)
            if has_metadata(self.path):
                self.image.load()  # metadata may come after the pixels
            return decoded.upright(self.orientation)._replace(note=note)
        if key is not None and self.raw_mode in GREY_SCALES:
            self.image.info["transparency"] = key * GREY_SCALES[self.raw_mode]
        if target is not None and self.can_be_reduced:
            factor = reduction(self.size, target, columns=columns)
            if factor > 1:
                self.image.draft(None, (self.image.width // factor, self.image.height // factor))
        return from_pillow(self.image, self.path)


def has_metadata(path: Path) -> bool:
    """Whether the PNG ``path`` has EXIF data or texts, which may come after its pixels."""
    with open_file(path) as file:
        file.seek(PNG_SIGNATURE_SIZE)
        while len(head := file.read(8)) == 8:
            if head[4:] in PNG_METADATA:
                return True
            file.seek(int.from_bytes(head[:4], "big") + PNG_CRC_SIZE, io.SEEK_CUR)
    return False


def is_lossless_webp(path: Path) -> bool:
    """Whether the still picture in the WebP file ``path`` is compressed without loss."""
    with open_file(path) as file:
        file.seek(WEBP_HEADER_SIZE)
        while len(head := file.read(8)) == 8:
            if head[:3] == b"VP8" and head[:4] != b"VP8X":
                return head[:4] == b"VP8L"
            size = int.from_bytes(head[4:], "little")
            file.seek(size + size % 2, io.SEEK_CUR)
    return False


def stored_samples(path: Path) -> Array:
    """``(H, W, C)`` of uint8 or uint16: grey or colour, and transparency, as ``path`` stores them.

    Of 16 bits of colour, Pillow keeps the higher byte. So the file is decoded again for the lower one.
    """
    with Image.open(readable(path), formats=READ) as image:
        raw_mode = _raw_mode(image)
        if not DEEP_COLOUR.fullmatch(raw_mode):
            return _unpacked(image, "RGBA" if raw_mode == "RGBa" else raw_mode)
    if raw_mode == "LA;16B":  # two values of two bytes each, as four of one byte
        values = _bytes_of(path, "RGBA")
        return values[:, :, 0::2] << 8 | values[:, :, 1::2]
    channels, order = raw_mode.replace("a", "A").split(";16")
    is_little = order == "L" or (order == "N" and sys.byteorder == "little")
    return _bytes_of(path, f"{channels};16{order}") << 8 | _bytes_of(path, f"{channels};16{'B' if is_little else 'L'}")


def _bytes_of(path: Path, raw_mode: str) -> Array:
    with Image.open(readable(path), formats=READ) as image:
        return _unpacked(image, raw_mode).astype(np.uint16)


def _unpacked(image: Image.Image, raw_mode: str) -> Array:
    """The samples of ``image``, unpacked as ``raw_mode`` in place of the one that Pillow chose."""
    if raw_mode != _raw_mode(image):
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
            for tile in image.tile
        ]
    values = np.asarray(image)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * PEAK
    values = values.astype(values.dtype.newbyteorder("="))
    return values.reshape(*values.shape[:2], -1)


def _raw_mode(image: Image.Image) -> str:
    """How the file stores its samples, in Pillow's words, before it is loaded; empty if unknown."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0].args
    return args if isinstance(args, str) else str(args[0]) if isinstance(args, tuple) and args else ""


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
