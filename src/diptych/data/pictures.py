"""Picture files to arrays and back: any 8-bit picture, and grey ones of 16 bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from diptych.errors import PictureError

Array = NDArray[Any]

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I"})
ALPHA_MODES = frozenset({"LA", "La", "RGBA", "RGBa", "PA"})
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow has it


class Picture(NamedTuple):
    """A decoded picture: ``values`` ``(H, W, C)``, C 1 or 3, uint8 or uint16 over the type's whole range.

    ``alpha`` is ``(H, W)`` uint8 where the file has transparency: ``values`` then lie on white.
    ``note`` says what a person might not expect, such as frames that were left out.
    """

    values: Array
    alpha: Array | None = None
    note: str | None = None


class Header(NamedTuple):
    """What a picture's first bytes tell: its size in pixels as it will be seen, and whether it has no colour."""

    width: int
    height: int
    is_grey: bool


def read_picture(path: Path) -> Picture:
    """The picture in ``path``, upright (EXIF orientation applied), the first frame of several.

    Raises:
        PictureError: not a picture, damaged, too large, of a kind that is not read, or not permitted.
    """
    with _opened(path) as image:
        return from_pillow(image, path)


def read_header(path: Path) -> Header:
    """Size and colour of the picture in ``path``, without decoding it.

    Raises:
        PictureError: as ``read_picture``, as far as the first bytes show.
    """
    with _opened(path) as image:
        width, height = image.size
        if image.getexif().get(0x0112) in (5, 6, 7, 8):  # the orientations that lie on their side
            width, height = height, width
        return Header(width, height, image.mode in GREY_MODES)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The opened file, with every way in which it can be wrong told as a ``PictureError``."""
    remove = "replace or remove it, or train with --data.skip-unreadable"
    try:
        if path.stat().st_size == 0:
            raise PictureError(f"{path} is empty (0 bytes)", cure=remove)
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UnidentifiedImageError:
        raise PictureError(f"{path} is not a picture, whatever its name says", cure=remove) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels", cure=remove) from None
    except PermissionError:
        raise PictureError(f"{path} may not be read", cure="change its permissions, or remove it") from None
    except FileNotFoundError:
        raise PictureError(f"{path} does not exist", cure="give an existing picture") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, PictureError):
            raise
        # Pillow reports damage by any of these, depending on the format.
        problem = "is cut off or damaged" if path.is_file() else "is not a file"
        raise PictureError(f"{path} {problem} ({_size(path)}; {error})", cure=remove) from None


def _size(path: Path) -> str:
    return f"{os.path.getsize(path) / 1000:.1f} kB" if path.exists() else "gone"


def from_pillow(image: Image.Image, name: Path | str = "the picture") -> Picture:
    """``image`` upright and as arrays; ``name`` is for messages.

    Raises:
        PictureError: pixels of a type that would lose by conversion (32-bit integers above 65535, floats).
    """
    note = f"{name} has {image.n_frames} frames: the first is used" if getattr(image, "n_frames", 1) > 1 else None
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        return Picture(_deep_values(upright, name), note=note)
    if upright.mode in ALPHA_MODES or "transparency" in upright.info:
        return Picture(*_on_white(upright), note=note)
    grey = upright.mode in GREY_MODES or (upright.mode == "P" and _has_grey_palette(upright))
    values = np.asarray(upright.convert("L" if grey else "RGB"))
    return Picture(values.reshape(*values.shape[:2], -1), note=note)


def _deep_values(image: Image.Image, name: Path | str) -> Array:
    values = np.asarray(image)
    if image.mode == "F" or values.min(initial=0) < 0 or values.max(initial=0) > np.iinfo(np.uint16).max:
        raise PictureError(f"{name} has pixels of 32 bits (mode {image.mode})", cure="convert it to 8 or 16 bits")
    return values.astype(np.uint16)[:, :, None]


def _on_white(image: Image.Image) -> tuple[Array, Array]:
    grey = image.mode in GREY_MODES
    rgba = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("L" if grey else "RGB")
    values = np.asarray(flat)
    return values.reshape(*values.shape[:2], -1), np.asarray(rgba.getchannel("A"))


def _has_grey_palette(image: Image.Image) -> bool:
    palette = np.asarray(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())


def with_channels(values: Array, channels: int) -> Array:
    """``(H, W, 1 or 3)`` with 1 or 3 channels: grey is repeated, colour becomes its luma (ITU-R BT.601)."""
    if values.shape[2] == channels:
        return values
    if channels == 1:
        return np.rint(values @ np.asarray(LUMA)).astype(values.dtype)[:, :, None]
    return np.repeat(values, channels, axis=2)


def resized(values: Array, width: int, height: int) -> Array:
    """``(H, W, C)`` resized by Pillow's bicubic filter (antialiased) to ``(height, width, C)`` of the same type."""
    if values.shape[:2] == (height, width):
        return values
    if values.dtype == np.uint8:
        image = to_pillow(values).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(height, width, -1)
    planes = [Image.fromarray(plane.astype(np.float32)) for plane in np.moveaxis(values, 2, 0)]
    deep = np.stack([plane.resize((width, height), Image.Resampling.BICUBIC) for plane in planes], axis=2)
    return np.rint(deep).clip(0, np.iinfo(values.dtype).max).astype(values.dtype)


def to_pillow(values: Array, alpha: Array | None = None) -> Image.Image:
    """``(H, W, 1 or 3)`` uint8, or ``(H, W, 1)`` uint16, as a Pillow picture, with ``alpha`` put back."""
    image = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2] == 1 else values))
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    return image


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


def write_picture(path: Path, picture: Picture) -> None:
    """Writes ``picture`` to ``path``, in the format of its suffix; whole or not at all.

    Raises:
        PictureError: the format cannot hold such a picture.
        OSError: the disk is full or may not be written.
    """
    image = to_pillow(picture.values, picture.alpha)
    suffix = path.suffix.lower()
    if suffix in (".jpg", ".jpeg") and picture.alpha is not None:
        image = to_pillow(picture.values)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        image.save(aside, format=Image.registered_extensions()[suffix], **SAVE_OPTIONS[suffix])
        aside.replace(path)
    except (OSError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = f"{picture.values.shape[2]} channels of {picture.values.dtype.itemsize * 8} bits"
        raise PictureError(f"{path} cannot hold {kind} ({error})", cure="give a name that ends in .png") from None
    finally:
        aside.unlink(missing_ok=True)
