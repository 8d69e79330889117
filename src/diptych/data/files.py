"""Finding picture files, and the pictures of a domain."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from diptych.errors import PictureError, did_you_mean_path

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})

UNREAD = frozenset({".heic", ".heif", ".avif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd"}) | {
    ".svs", ".ndpi", ".scn", ".mrxs",
}  # fmt: skip
"""Pictures too, of kinds that are not read."""
UNREAD_CURE = "save them as JPEG or PNG to use them"

Half = Literal["left", "right"]


@dataclass(frozen=True)
class Domain:
    """The pictures of one domain: a folder, and the paths of its pictures relative to it, in a fixed order."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    half: Half | None = None
    """Which half of each file is the picture, where two stand side by side in one."""

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        return self.folder / self.files[index]

    def without(self, files: Sequence[Path]) -> "Domain":
        """The same domain without some of its files."""
        dropped = set(files)
        return self.only([file for file in self.files if file not in dropped])

    def only(self, files: Sequence[Path]) -> "Domain":
        """The same domain with no other files than these."""
        return replace(self, files=tuple(files))

    @property
    def sha256(self) -> str:
        """A hash of the list of files (names, not contents), by which a run knows its pictures again."""
        return hashlib.sha256(b"\n".join(map(_name_bytes, self.files))).hexdigest()


def is_picture(path: Path) -> bool:
    """Whether ``path`` has the name of a picture that can be read, and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def find_pictures(folder: Path) -> tuple[Path, ...]:
    """All pictures below ``folder`` as sorted relative paths; hidden files and folders are passed over.

    Raises:
        PictureError: no such folder, not a folder, or one that may not be read.
    """
    found = (path.relative_to(folder) for path in _walk(folder) if is_picture(path))
    return tuple(sorted(found, key=Path.as_posix))


def describe_unread(folder: Path) -> str:
    """What pictures below ``folder`` are passed over because they are of a kind that is not read; empty for none.

    Raises:
        PictureError: as ``find_pictures``.
    """
    kinds = [path.suffix.lower() for path in _walk(folder) if path.suffix.lower() in UNREAD and path.name[0] != "."]
    if not kinds:
        return ""
    listed = ", ".join(sorted(set(kinds)))
    files = f"{len(kinds):,} file{'s' * (len(kinds) != 1)}"
    return f"passed over in {folder}: {files} of a kind that is not read ({listed})"


def _walk(folder: Path) -> Iterator[Path]:
    """All files below ``folder``, but for what is in hidden folders."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise PictureError(f"{folder} {problem}", cure=did_you_mean_path(folder) or "give a folder of pictures")

    def refuse(error: OSError) -> None:
        raise PictureError(f"{error.filename} cannot be read ({error.strerror})", cure="change its permissions")

    for directory, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(Path(directory, name))]
        yield from map(Path(directory).joinpath, names)


def _leads_back(folder: Path) -> bool:
    """Whether ``folder`` is a link to a folder that it lies in, so that following it would never end."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def find_domain(name: str, folder: Path) -> Domain:
    """The domain of all pictures below ``folder``.

    Raises:
        PictureError: the folder is missing or holds no picture.
    """
    files = find_pictures(folder)
    if not files:
        problem = describe_unread(folder) or f"{folder} holds no picture"
        raise PictureError(problem, cure=f"put pictures there ({' '.join(sorted(SUFFIXES))})")
    return Domain(name, folder, files)


def _name_bytes(file: Path) -> bytes:
    """The name as it is on the disk, which need not be valid UTF-8."""
    return os.fsencode(file.as_posix())


def by_hash(files: Sequence[Path]) -> list[Path]:
    """``files`` in the order of their names' hashes: arbitrary, but the same whatever other files there are.

    Suffixes do not count, so that the two pictures of a pair come at one place.
    """
    return sorted(files, key=lambda file: hashlib.sha256(_name_bytes(file.with_suffix(""))).digest())
