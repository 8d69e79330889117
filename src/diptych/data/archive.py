"""Pictures in a zip, read in place: ``photos.zip/sub/1.png`` is the path of the member ``sub/1.png``."""

import re
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast
from zipfile import BadZipFile, ZipFile, ZipInfo

from diptych.data.volumes import file_of
from diptych.errors import PictureError

SUFFIX = ".zip"
MAX_BYTES = 2**30
"""Largest unpacked size of a picture."""
ENCRYPTED = 1


class Archive:
    """An open zip, and its members by path."""

    def __init__(self, path: Path) -> None:
        """Raises ``PictureError`` if it is damaged, or a member is encrypted, larger than ``MAX_BYTES``, listed
        twice, or outside of the zip."""
        try:
            self.file = ZipFile(path)
        except (BadZipFile, NotImplementedError) as error:
            cure = "make it again, or unpack it and give the folder"
            raise PictureError(f"{path} is not a zip that can be read ({error})", cure=cure) from None
        self.members: dict[Path, ZipInfo] = {}
        for member in self.file.infolist():
            if member.is_dir():
                continue
            name = Path(PurePosixPath(member.filename))
            if problem := _problem(member, seen=name in self.members):
                cure = "make the zip again without it, or unpack it and give the folder"
                raise PictureError(f"{path} holds {member.filename}, {problem}", cure=cure)
            self.members[name] = member


def _problem(member: ZipInfo, *, seen: bool) -> str:
    """Why ``member`` is refused; empty if it is not."""
    if ".." in re.split(r"[/\\]", member.filename) or re.match(r"[/\\]|[A-Za-z]:", member.filename):
        return "a path outside of the zip"
    if member.file_size > MAX_BYTES:
        return f"which unpacks to {member.file_size / 1e9:.1f} GB"
    if member.flag_bits & ENCRYPTED:
        return "which is encrypted"
    return "twice" if seen else ""


def open_archive(path: Path) -> Archive:
    """The zip at ``path``, which stays open for the next call.

    Raises:
        PictureError: as ``Archive``.
        OSError: it cannot be read.
    """
    stat = path.stat()
    return _open(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _open(path: Path, changed: int, size: int) -> Archive:
    del changed, size  # part of the cache key: a file that replaced another is opened
    return Archive(path)


def member_of(path: Path) -> tuple[Archive, ZipInfo] | None:
    """The zip and the member that ``path`` names; None if it is no path into a zip, or does not exist."""
    for parent in path.parents:
        if parent.suffix.lower() == SUFFIX and parent.is_file():
            archive = open_archive(parent)
            member = archive.members.get(path.relative_to(parent))
            return None if member is None else (archive, member)
    return None


def readable(path: Path) -> Path | BinaryIO:
    """What a library can open to read ``path``: the path itself, or the open member of a zip. Here and below, the path
    of a slice means its volume."""
    path = file_of(path)
    found = member_of(path)
    return path if found is None else cast(BinaryIO, found[0].file.open(found[1]))


def open_file(path: Path) -> BufferedIOBase:
    """Opens the file at ``path``, which may be in a zip; threads may read one zip at the same time.

    Raises:
        OSError: it cannot be read.
        PictureError: the zip is refused by ``Archive``.
    """
    found = readable(path)
    return found.open("rb") if isinstance(found, Path) else cast(BufferedIOBase, found)


def file_size(path: Path) -> int | None:
    """The size in bytes of the file at ``path``, which may be in a zip; None if there is no such file."""
    path = file_of(path)
    if found := member_of(path):
        return found[1].file_size
    return path.stat().st_size if path.is_file() else None


def size_and_time(path: Path) -> tuple[int, int]:
    """Size in bytes of the file at ``path``, and time of its last change in nanoseconds; in a zip, the zip's time.

    Raises:
        OSError: there is no such file.
    """
    path = file_of(path)
    if found := member_of(path):
        return found[1].file_size, Path(found[0].file.filename or "").stat().st_mtime_ns
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
