"""Finding picture files, and the pictures of a domain."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from diptych.data.formats import COMPANIONS, SLIDE_SUFFIXES, SUFFIXES, is_picture_file
from diptych.data.formats.slide_parts import parts_of
from diptych.data.locations import locate
from diptych.data.volumes import suffix_of
from diptych.errors import PictureError

Half = Literal["left", "right"]
ARRAY = ".npy"
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
    unread: str = ""
    """One line about files that are not read; empty if there are none."""

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
        """A hash of the file names, not the contents, for the protocol of an evaluation."""
        return hashlib.sha256(b"\n".join(map(_name_bytes, self.files))).hexdigest()


class PictureFiles(NamedTuple):
    """The pictures that a folder, a pattern, a list or a zip names."""

    folder: Path
    files: tuple[Path, ...]
    """Relative to the folder, sorted."""
    unread: str
    """One line that counts the other files, by suffix; empty if there are none."""


def find_files(source: Path) -> PictureFiles:
    """The pictures that ``source`` names, without hidden files and folders, and without the parts of slides; see
    ``locate``. Arrays are left out beside other pictures: there they are masks or features.

    Raises:
        PictureError: ``source`` is missing, or cannot be read.
    """
    folder, found = locate(source)
    parts = {part for file in found for part in parts_of(folder / file)}
    files = [file for file in found if folder / file not in parts]
    pictures = sorted((file for file in files if is_picture_file(folder / file)), key=Path.as_posix)
    others = [file for file in pictures if file.suffix.lower() != ARRAY]
    unread = _describe_unread(source, files)
    if 0 < len(others) < len(pictures):
        beside = f"{source} has {len(pictures) - len(others):,} arrays ({ARRAY}) beside pictures, which are left out"
        unread = f"{unread}; {beside}" if unread else beside
    return PictureFiles(folder, tuple(others or pictures), unread)


def find_domain(name: str, source: Path, *, may_be_empty: bool = False) -> Domain:
    """The domain of all pictures that ``source`` names.

    Raises:
        PictureError: as ``find_files``, or it names no picture, or a run (whose samples are no pictures of the domain).
    """
    folder, files, unread = find_files(source)
    for run in {file.parent.parent for file in files if file.parent.name == "samples"}:
        if (folder / run / "config.json").is_file():
            problem = f"{folder / run} is a run, whose samples would be pictures of {source}"
            raise PictureError(problem, cure=f"move it out of {folder}")
    if not files and not may_be_empty:
        problem = unread or f"{source} holds no picture"
        raise PictureError(problem, cure=f"put pictures there ({' '.join(sorted(SUFFIXES))})")
    return Domain(name, folder, files, unread=unread)


def _describe_unread(source: Path, files: Iterable[Path]) -> str:
    kinds = Counter(suffix_of(file) for file in files)
    kinds = Counter(
        {kind: kinds[kind] for kind in sorted(kinds) if kind not in SUFFIXES.union(SLIDE_SUFFIXES, COMPANIONS)}
    )
    if not kinds:
        return ""
    listed = ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common(MAX_KINDS))
    more = f" and {len(kinds) - MAX_KINDS} other kinds" if len(kinds) > MAX_KINDS else ""
    total = f"{kinds.total():,} file{'s' * (kinds.total() != 1)}"
    return f"{source} has {total} in formats that diptych does not read ({listed}{more})"


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
