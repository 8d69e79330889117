"""Picture file formats: one file per family of readers and writers."""

from pathlib import Path

from diptych.data.archive import open_file
from diptych.data.volumes import suffix_of

FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF", ".npy": "NPY", ".dcm": "DICOM", ".dicom": "DICOM",
    ".nii": "NIFTI", ".nii.gz": "NIFTI",
}  # fmt: skip
"""The format of each suffix, in Pillow's words. A file is read by its content and written by its suffix."""
SUFFIXES = frozenset(FORMATS)
OPENSLIDE_SUFFIXES = (".mrxs", ".vms", ".vmu", ".bif", ".scn", ".svslide", ".czi")
"""Suffixes of slides that OpenSlide reads."""
SLIDE_SUFFIXES = (".svs", ".ndpi", *OPENSLIDE_SUFFIXES)
"""Suffixes of what scanners write. They are only translated, a part at a time."""
CUT = "cut it into smaller pictures to train on them (see docs/train.md); translate takes it whole"
COMPANIONS = frozenset({
    "", ".txt", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".xmp", ".aae", ".md", ".html", ".yaml", ".yml", ".log",
    ".ini", ".db", ".py",
})  # fmt: skip
"""Suffixes of files that often lie beside pictures. Files of all other suffixes are counted as left out."""
UNREAD_CURE = "save them as JPEG or PNG to use them"

HEAD_SIZE = 132
DICOM_AT = 128
"""Where a DICOM file says what it is."""
MAGICS = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF8": "GIF",
    b"\x93NUMPY": "NPY", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF",
}  # fmt: skip
"""The first bytes of files. BMP has only two, too few to recognise it."""
FOREIGN = {
    b"ftypavif": "an AVIF picture", b"ftyphei": "a HEIC picture", b"ftyphev": "a HEIC picture",
    b"ftypmif1": "a HEIC picture", b"8BPS": "a Photoshop file",
    b"jP  ": "a JPEG 2000 picture", b"JXL ": "a JPEG XL picture", b"%PDF": "a PDF file",
}  # fmt: skip
"""Bytes near the beginning of files in formats that are not read, whatever the suffix."""


def head_of(path: Path) -> bytes:
    """The first bytes of the file."""
    with open_file(path) as file:
        return file.read(HEAD_SIZE)


def format_of(head: bytes) -> str | None:
    """The format of a file that begins with ``head``; None if unknown."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[DICOM_AT:] == b"DICM":
        return "DICOM"
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


def foreign_name(head: bytes) -> str | None:
    """What a file that begins with ``head`` is, of the kinds that are not read; None if unknown."""
    starts = (head, head[4:])
    return next((name for magic, name in FOREIGN.items() if any(one.startswith(magic) for one in starts)), None)


def is_picture_file(path: Path) -> bool:
    """Whether ``path`` has the suffix of a picture or a slide; or no suffix, and the content of one."""
    if path.suffix:
        return suffix_of(path) in SUFFIXES or path.suffix.lower() in SLIDE_SUFFIXES
    try:
        return path.is_file() and format_of(head_of(path)) is not None
    except OSError:  # not readable: nothing says that it is a picture
        return False
