"""Which pictures a run reads: folders, the layout of the CycleGAN data sets, and the part that is held out."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diptych.config import SourceConfig
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
HOLDOUT_SHARE, HOLDOUT_MAX, HOLDOUT_MIN_PICTURES = 0.05, 64, 40


@dataclass(frozen=True)
class Domain:
    """The pictures of one domain: a folder, and the paths of its pictures relative to it, in a fixed order."""

    name: str
    folder: Path
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> Path:
        return self.folder / self.files[index]

    def without(self, files: Sequence[Path]) -> "Domain":
        """The same domain without some of its files."""
        dropped = set(files)
        return Domain(self.name, self.folder, tuple(file for file in self.files if file not in dropped))

    def only(self, files: Sequence[Path]) -> "Domain":
        """The same domain with no other files than these."""
        return Domain(self.name, self.folder, tuple(files))

    @property
    def sha256(self) -> str:
        """A hash of the list of files (names, not contents), by which a run knows its pictures again."""
        return hashlib.sha256(b"\n".join(map(_name_bytes, self.files))).hexdigest()


@dataclass(frozen=True)
class Split:
    """The pictures to train on and those held out, for each domain. The held-out domains may be empty."""

    train: Pair[Domain]
    test: Pair[Domain]


def is_picture(path: Path) -> bool:
    """Whether ``path`` has the name of a picture that can be read, and is not hidden."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def find_pictures(folder: Path) -> tuple[Path, ...]:
    """All pictures below ``folder`` as sorted relative paths; hidden files and folders are passed over.

    Raises:
        PictureError: no such folder, not a folder, or one that may not be read.
    """
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise PictureError(f"{folder} {problem}", cure="give a folder of pictures")

    def refuse(error: OSError) -> None:
        raise PictureError(f"{error.filename} cannot be read ({error.strerror})", cure="change its permissions")

    found: list[Path] = []
    for directory, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(Path(directory, name))]
        found += [path for path in map(Path(directory).joinpath, names) if is_picture(path)]
    return tuple(sorted((path.relative_to(folder) for path in found), key=Path.as_posix))


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
        raise PictureError(f"{folder} holds no picture", cure=f"put pictures there ({' '.join(sorted(SUFFIXES))})")
    return Domain(name, folder, files)


def _name_bytes(file: Path) -> bytes:
    """The name as it is on the disk, which need not be valid UTF-8."""
    return os.fsencode(file.as_posix())


def by_hash(files: Sequence[Path]) -> list[Path]:
    """``files`` in the order of their names' hashes: arbitrary, but the same whatever other files there are."""
    return sorted(files, key=lambda file: hashlib.sha256(_name_bytes(file)).digest())


def hold_out(domain: Domain, num_pictures: int | None) -> tuple[Domain, Domain]:
    """``domain`` split into a part to train on and a held-out part, chosen by hash of the names.

    ``num_pictures`` None takes 5 %, at most 64, and none of fewer than 40 pictures.

    Raises:
        OptionError: nothing would be left to train on.
    """
    if num_pictures is None:
        few = len(domain) < HOLDOUT_MIN_PICTURES
        num_pictures = 0 if few else min(HOLDOUT_MAX, math.ceil(HOLDOUT_SHARE * len(domain)))
    if not 0 <= num_pictures < len(domain):
        problem = f"holdout is {num_pictures}, but {domain.folder} has {len(domain)} pictures"
        raise OptionError(problem, cure="give at least 0, and less than that")
    held = sorted(by_hash(domain.files)[:num_pictures], key=Path.as_posix)
    return domain.without(held), domain.only(held)


def domain_names(source: SourceConfig) -> Pair[str]:
    """What the two domains are called: their folders' names, or A and B below a root."""
    if source.root is not None or source.a is None or source.b is None:
        return Pair("A", "B")
    names = Pair(source.a, source.b).map(lambda folder: folder.resolve().name or "root")
    return names if names.a != names.b else Pair(f"{names.a}-A", f"{names.b}-B")


def find_split(source: SourceConfig, holdout: int | None = None) -> Split:
    """The pictures that ``source`` names, split into a part to train on and a held-out part.

    Two folders are split by ``hold_out``; a root's trainA and trainB are used whole, with testA and testB held out.

    Raises:
        OptionError: neither two folders nor one root is given, or both domains are one folder.
        PictureError: a folder is missing or empty.
    """
    names = domain_names(source)
    if source.root is not None:
        if source.a is not None or source.b is not None:
            raise OptionError("both two folders and a root are given", cure="give A B, or --root ROOT")
        if not source.root.is_dir():
            raise PictureError(f"{source.root} is not a folder", cure="give the folder that holds trainA and trainB")
        train = Pair("trainA", "trainB").map(source.root.joinpath)
        test = Pair("testA", "testB").map(source.root.joinpath)
        return Split(names.map(find_domain, train), names.map(_find_optional_domain, test))
    if source.a is None or source.b is None:
        raise OptionError("two folders of pictures are needed", cure="give A B, or --root ROOT")
    if source.a.resolve() == source.b.resolve():
        raise OptionError(f"A and B are the same folder, {source.a}", cure="give two different folders")
    parts = names.map(find_domain, Pair(source.a, source.b)).map(lambda domain: hold_out(domain, holdout))
    return Split(train=parts.map(lambda part: part[0]), test=parts.map(lambda part: part[1]))


def _find_optional_domain(name: str, folder: Path) -> Domain:
    return Domain(name, folder, find_pictures(folder) if folder.is_dir() else ())
