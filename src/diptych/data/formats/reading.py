"""Reads a picture file of any format, and turns everything that goes wrong into one line."""

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from PIL import Image, UnidentifiedImageError

from diptych.config import ValueType
from diptych.data.archive import file_size, open_file
from diptych.data.formats import CUT, FORMATS, SLIDE_SUFFIXES, foreign_name, format_of, head_of
from diptych.data.formats.dicom import DicomFile, open_dicom
from diptych.data.formats.nifti import NiftiSlice, open_slice
from diptych.data.formats.numpy_file import NumpyFile, open_numpy
from diptych.data.formats.pillow import MAX_PIXELS, PillowFile, open_with_pillow
from diptych.data.formats.tiff import TiffPicture, open_tiff
from diptych.data.image import DecodedImage
from diptych.data.volumes import file_of, is_volume
from diptych.errors import PictureError, UserError, first_line, os_cure, os_problem

REMOVE = "replace or remove it"
PARSER_ERRORS = (None, errno.EINVAL, errno.EOVERFLOW)
"""Numbers of the ``OSError``s that parsers raise on damaged files. Others are the system's."""

PictureFile = PillowFile | TiffPicture | NumpyFile | DicomFile | NiftiSlice
OPENERS: dict[str | None, Callable[[Path], AbstractContextManager[PictureFile]]] = {
    "TIFF": open_tiff,
    "NPY": open_numpy,
    "DICOM": open_dicom,
}
"""By format; Pillow opens all others."""


class Header(NamedTuple):
    """Size in pixels after EXIF orientation, channels without transparency, and the type of the values."""

    width: int
    height: int
    channels: int
    dtype: ValueType


@contextmanager
def open_picture(path: Path) -> Iterator[PictureFile]:
    """Opens ``path``. Errors while it is open are converted by ``reading_errors``."""
    with reading_errors(path):
        if path.suffix.lower() in SLIDE_SUFFIXES:
            raise PictureError(f"{path} is a slide, which is no picture", cure=CUT)
        is_sliced = is_volume(file_of(path))
        opener = open_slice if is_sliced else OPENERS.get(format_of(head_of(path)), open_with_pillow)
        with opener(path) as file:
            yield file


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Everything that goes wrong while ``path`` is read becomes a ``PictureError``.

    Except what concerns all pictures: a ``MissingExtraError`` passes, and too many open files are a ``UserError``.
    """
    try:
        _refuse_empty(path)
        yield
    except UserError:
        raise
    except UnidentifiedImageError:
        raise _unidentified(path, head_of(path)) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{path} claims more than {MAX_PIXELS / 1e6:.0f} million pixels", cure=REMOVE) from None
    except MemoryError:
        raise PictureError(f"{path} needs more memory than there is", cure=REMOVE) from None
    except Exception as error:  # the parsers raise many types of error on damaged files
        if isinstance(error, OSError) and error.errno not in PARSER_ERRORS:
            kind = UserError if error.errno in (errno.EMFILE, errno.ENFILE) else PictureError
            raise kind(f"{path} cannot be read ({os_problem(error)})", cure=f"{os_cure(error)}, or remove it") from None
        size = (file_size(path) or 0) / 1000
        problem = f"{path} is cut off or damaged ({size:.1f} kB; {first_line(error)})"
        raise PictureError(problem, cure=REMOVE) from None


def read_picture(path: Path, *, bands: int | None = None) -> DecodedImage:
    """Reads ``path``: upright (EXIF orientation applied), the first of several frames.

    ``bands`` is how many channels are wanted: transparency of a TIFF counts as one if that makes as many.

    Raises:
        PictureError: not a picture, damaged, too large, of a kind that is not used, or no permission to read it.
    """
    with open_picture(path) as file:
        return file.decode(bands=bands)


def read_header(path: Path) -> Header:
    """Reads size, channels and type of ``path`` without decoding it (except where a palette holds the colours).

    Raises:
        PictureError: as ``read_picture``, for what the header shows.
    """
    with open_picture(path) as file:
        return Header(*file.size, file.channels, file.dtype)


def _refuse_empty(path: Path) -> None:
    """Raises ``PictureError`` if the file is empty, or not a file."""
    size = file_size(path)
    if size is None:
        path = file_of(path)
        if not path.exists() and not path.is_symlink():
            raise PictureError(f"{path} does not exist", cure="give an existing picture")
        raise PictureError(f"{path} is {'not a file' if path.exists() else 'a broken link'}", cure=REMOVE)
    if not size:
        raise PictureError(f"{path} is empty (0 bytes)", cure=REMOVE)


def _unidentified(path: Path, head: bytes) -> PictureError:
    """The error for a file whose header Pillow does not read."""
    if name := foreign_name(head):
        return PictureError(f"{path} is {name}, despite its name", cure="save it as JPEG or PNG to use it")
    if (kind := format_of(head)) is None:
        kinds = ", ".join(dict.fromkeys(FORMATS.values()))
        return PictureError(f"{path} is not a picture ({kinds}), despite its name", cure=REMOVE)
    reason = "unknown"
    try:
        with open_file(path) as file:
            Image.OPEN[kind][0](cast(IO[bytes], file), "")
    except Exception as error:
        reason = first_line(error)
    return PictureError(
        f"{path} is a {kind} file that cannot be read ({reason})", cure="replace it by a PNG, or remove it"
    )
