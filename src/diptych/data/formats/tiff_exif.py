"""EXIF data in TIFF files: directories of their own, which tags of the first page point to.

Source: EXIF 2.32 (CIPA DC-008), 4.6.3 (pointers to directories).
"""

import struct
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from tifffile import TiffFile, TiffPage

from diptych.data.metadata import EXIF_TEXTS, Tag

EXIF, GPS, INTEROP = 34665, 34853, 40965
LONG, ASCII = 4, 2
PLACEHOLDERS = {EXIF: EXIF + 1, GPS: GPS + 1}
"""tifffile does not write pointers to directories, so it writes other tags at their places, which are then renamed."""


def read_exif(file: TiffFile, page: TiffPage) -> bytes | None:
    """The EXIF data of ``page``, as Pillow takes it; None if there is none.

    Raises:
        Exception: Pillow raises many types of error on damaged data.
    """
    if EXIF not in page.tags and GPS not in page.tags:
        return None
    exif = Image.Exif()
    for code in EXIF_TEXTS:
        if isinstance(text := page.tags.valueof(code), str):
            exif[code] = text
    for code in (EXIF, GPS):
        if code in page.tags:
            exif.get_ifd(code).update(_directory(file, page.tags[code].offset, code))
    return exif.tobytes()


def _directory(file: TiffFile, tag_at: int, code: int) -> dict[int, Any]:
    """The directory that the tag at ``tag_at`` points to."""
    order, handle = file.byteorder, file.filehandle
    handle.seek(tag_at + (12 if file.is_bigtiff else 8))
    form = "Q" if file.is_bigtiff else "I"
    (offset,) = struct.unpack(order + form, handle.read(struct.calcsize(form)))
    found = ImageFileDirectory_v2(_head(order, is_big=file.is_bigtiff), group=code)
    handle.seek(offset)
    found.load(handle)  # type: ignore[arg-type]
    if not (values := dict(found)):
        raise ValueError("the directory is cut off")
    if isinstance(at := values.get(INTEROP), int):
        handle.seek(at)
        inner = ImageFileDirectory_v2(_head(order, is_big=file.is_bigtiff), group=INTEROP)
        inner.load(handle)  # type: ignore[arg-type]
        values[INTEROP] = dict(inner)
    return values


def exif_tags(exif: bytes, texts: tuple[Tag, ...]) -> list[Tag]:
    """The tags for ``exif``: its texts that are not in ``texts``, and placeholders for ``write_directories``."""
    data = Image.Exif()
    data.load(exif)
    known = {tag.code for tag in texts}
    tags = [
        Tag(code, ASCII, 0, data[code]) for code in EXIF_TEXTS if code not in known and isinstance(data.get(code), str)
    ]
    return tags + [Tag(PLACEHOLDERS[code], LONG, 1, 0) for code in (EXIF, GPS) if data.get_ifd(code)]


def write_directories(path: Path, exif: bytes) -> None:
    """Appends the directories of ``exif`` to the TIFF file ``path``, which has tags of ``exif_tags``.

    Raises:
        OSError: it cannot be written.
    """
    data = Image.Exif()
    data.load(exif)
    with TiffFile(path, mode="r+") as file:
        page, is_big = file.pages.first, file.is_bigtiff
        for code in (EXIF, GPS):
            if not (values := data.get_ifd(code)):
                continue
            if isinstance(values.get(INTEROP), int):
                values = values | {INTEROP: data.get_ifd(INTEROP)}
            directory = ImageFileDirectory_v2(_head(file.byteorder, is_big=is_big), group=code)
            for number, value in values.items():
                directory[number] = value
            tag, handle = page.tags[PLACEHOLDERS[code]], file.filehandle
            handle.seek(0, 2)
            handle.write(bytes(handle.tell() % 2))
            offset = handle.tell()
            handle.write(directory.tobytes(offset))
            handle.seek(tag.offset)
            handle.write(struct.pack(f"{file.byteorder}H", code))
            handle.seek(tag.offset + (12 if is_big else 8))
            handle.write(struct.pack(f"{file.byteorder}I", offset))


def _head(order: str, *, is_big: bool) -> bytes:
    """The header of a TIFF file, which says how its numbers are stored."""
    mark = b"II" if order == "<" else b"MM"
    return mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if is_big else struct.pack(f"{order}HI", 42, 8))
