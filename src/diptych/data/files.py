"""Finding picture files, and the pictures of a domain."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from diptych.data.formats import COMPANIONS, SUFFIXES, is_picture_file
from diptych.errors import PictureError, did_you_mean_path, os_cure, os_problem

Half = Literal["left", "right"]
MAX_KINDS = 8
"""How many kinds of files that are not read are listed."""


@dataclass(frozen=True)
class Domain:
    """The pictures of one domain: a folder, and the paths of its pictures relative to it, in a fixed order."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    half: Half | None = None
    """The half of each file that is the picture, if a file holds two side by side."""

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        return self.folder / self.files[index]

    def without(self, files: Sequence[Path]) -> "Domain":
        """The same domain without ``files``."""
        dropped = set(files)
        return self.only([file for file in self.files if file not in dropped])

    def only(self, files: Sequence[Path]) -> "Domain":
        """The same domain with only ``files``."""
        return replace(self, files=tuple(files))

    @property
    def sha256(self) -> str:
        """A hash of the file names (not the contents), by which a resumed run checks its pictures."""
        return hashlib.sha256(b"\n".join(map(_name_bytes, self.files))).hexdigest()


def find_domain(name: str, folder: Path, *, may_be_empty: bool = False) -> Domain:
    """The domain of all pictures in ``folder`` and its sub-folders.

    Raises:
        PictureError: the folder is missing, holds a run (whose samples are no pictures of the domain), or no picture.
    """
    files = find_pictures(folder)
    for run in {file.parent.parent for file in files if file.parent.name == "samples"}:
        if (folder / run / "config.json").is_file():
            problem = f"{folder / run} is a run, whose samples would be pictures of {folder}"
            raise PictureError(problem, cure=f"move it out of {folder}")
    if not files and not may_be_empty:
        problem = describe_unread(folder) or f"{folder} holds no picture"
        raise PictureError(problem, cure=f"put pictures there ({' '.join(sorted(SUFFIXES))})")
    return Domain(name, folder, files)


def find_pictures(folder: Path) -> tuple[Path, ...]:
    """All pictures in ``folder`` and its sub-folders as sorted relative paths, without hidden files and folders.

    Raises:
        PictureError: the folder is missing, not a folder, or not readable.
    """
    found = (path.relative_to(folder) for path in _walk(folder) if is_picture_file(path))
    return tuple(sorted(found, key=Path.as_posix))


def describe_unread(folder: Path) -> str:
    """One line that counts the files in ``folder`` that are not read, by suffix; empty if there are none.

    Raises:
        PictureError: as ``find_pictures``.
    """
    kinds = Counter(path.suffix.lower() for path in _walk(folder))
    kinds = Counter({kind: kinds[kind] for kind in sorted(kinds) if kind not in SUFFIXES | COMPANIONS})
    if not kinds:
        return ""
    listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common(MAX_KINDS))
    more = f" and {len(kinds) - MAX_KINDS} other kinds" if len(kinds) > MAX_KINDS else ""
    files = f"{kinds.total():,} file{'s' * (kinds.total() != 1)}"
    return f"{folder} has {files} in formats that diptych does not read ({listed}{more})"


def _walk(folder: Path) -> Iterator[Path]:
    """All files in ``folder`` and its sub-folders that are not hidden."""
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise PictureError(f"{folder} {problem}", cure=did_you_mean_path(folder) or "give a folder of pictures")

    def refuse(error: OSError) -> None:
        raise PictureError(f"{error.filename} cannot be read ({os_problem(error)})", cure=os_cure(error))

    for directory, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if name[0] != "." and not _is_loop(Path(directory, name))]
        yield from (Path(directory, name) for name in names if name[0] != ".")


def _is_loop(folder: Path) -> bool:
    """Whether ``folder`` is a link to one of its own parents."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def by_hash(files: Sequence[Path]) -> list[Path]:
    """``files`` sorted by a hash of their names: an arbitrary order that does not depend on other files.

    Ignores what the names of a pair may differ in, so that its two pictures get the same position.
    """
    return sorted(files, key=lambda file: hashlib.sha256(os.fsencode(folded_name(file))).digest())


def folded_name(file: Path) -> str:
    """The name without suffix, in lower case and with composed accents (NFC), as many file systems compare names."""
    return unicodedata.normalize("NFC", file.with_suffix("").as_posix().casefold())


def _name_bytes(file: Path) -> bytes:
    """The name as bytes on disk, which need not be valid UTF-8."""
    return os.fsencode(file.as_posix())
