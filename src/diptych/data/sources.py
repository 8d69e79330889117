"""Finds the training and held-out pictures of a run: in two folders, below one root, or side by side in files."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diptych.config import SourceConfig
from diptych.data.files import Domain, Half, by_hash, find_domain, find_pictures
from diptych.data.pairing import pair_up
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair

HOLDOUT_FRACTION, HOLDOUT_MAX, HOLDOUT_MIN_PICTURES = 0.05, 64, 40


@dataclass(frozen=True)
class Split:
    """The pictures to train on and the held-out ones. Held-out domains may be empty."""

    train: Pair[Domain]
    test: Pair[Domain]

    def map(self, function: Callable[[Pair[Domain]], Pair[Domain]]) -> "Split":
        """``function`` of the training and of the held-out pictures."""
        return Split(function(self.train), function(self.test))

    @property
    def shown(self) -> Pair[Domain]:
        """The pictures for sample grids: held-out ones, or training pictures in a domain without held-out ones."""
        return self.test.map(lambda held, trained: held if len(held) else trained, self.train)


def is_side_by_side(root: Path) -> bool:
    """Whether ``root`` has the layout of the pix2pix data sets: a folder train of pictures with A beside B."""
    return (root / "train").is_dir() and not (root / "trainA").is_dir()


def domain_names(source: SourceConfig) -> Pair[str]:
    """The names of the two domains: those of their folders, or A and B below a root."""
    if source.root is not None or source.a is None or source.b is None:
        return Pair("A", "B")
    names = Pair(source.a, source.b).map(lambda folder: folder.resolve().name or "root")
    return names if names.a != names.b else Pair(f"{names.a}-A", f"{names.b}-B")


def source_folders(source: SourceConfig) -> Pair[Path] | Path:
    """The two folders of ``source``, or its root.

    Raises:
        OptionError: it has neither, or both.
    """
    if source.root is not None:
        if source.a is not None or source.b is not None:
            raise OptionError("both two folders and a root are given", cure="give A B, or --root ROOT")
        return source.root
    if source.a is None or source.b is None:
        raise _one_folder(source.a or source.b)
    return Pair(source.a, source.b)


def find_split(
    source: SourceConfig,
    holdout: int | None = None,
    *,
    paired: bool = False,
    skip_unpaired: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Split:
    """The pictures of ``source``, split into training and held-out pictures.

    Two folders are split by ``hold_out``. A root has trainA and trainB to train on, testA and testB to hold out; or
    pictures side by side in train to train on, in test (or val) to hold out. ``paired`` domains have the same names in
    the same order; ``skip_unpaired`` leaves out names that only one domain has. ``report`` gets a line for everything
    that a user may not expect.

    Raises:
        OptionError: neither two folders nor a root is given, or both domains are the same folder.
        PictureError: a folder is missing or empty, or ``paired`` pictures have no partner.
    """
    names, folders = domain_names(source), source_folders(source)
    if isinstance(folders, Path):
        split = _below_root(folders, names)
        if paired and split.train.a.half is None:
            return split.map(partial(pair_up, skip_unpaired=skip_unpaired, report=report))
        return split
    if folders.a.resolve() == folders.b.resolve():
        raise OptionError(f"A and B are the same folder, {folders.a}", cure="give two different folders")
    domains = names.map(find_domain, folders)
    if paired:
        domains = pair_up(domains, skip_unpaired=skip_unpaired, report=report)
    parts = domains.map(lambda domain: hold_out(domain, holdout))
    return Split(train=parts.map(lambda part: part[0]), test=parts.map(lambda part: part[1]))


def hold_out(domain: Domain, num_pictures: int | None) -> tuple[Domain, Domain]:
    """``domain`` split into training and ``num_pictures`` held-out pictures, chosen by hash of the names.

    By default 5 %, at most 64; none if there are fewer than 40 pictures.

    Raises:
        OptionError: no picture would be left to train on.
    """
    if num_pictures is None:
        few = len(domain) < HOLDOUT_MIN_PICTURES
        num_pictures = 0 if few else min(HOLDOUT_MAX, math.ceil(HOLDOUT_FRACTION * len(domain)))
    if not 0 <= num_pictures < len(domain):
        problem = f"holdout is {num_pictures}, but {domain.folder} has {len(domain)} pictures"
        raise OptionError(problem, cure=f"give 0 to {len(domain) - 1}")
    rest = domain.without(by_hash(domain.files)[:num_pictures])
    return rest, domain.without(rest.files)


def _one_folder(folder: Path | None) -> OptionError:
    """The error for only one folder, or none."""
    problem = "two folders of pictures are needed" + (f", but only {folder} is given" if folder else "")
    is_root = folder is not None and ((folder / "trainA").is_dir() or is_side_by_side(folder))
    return OptionError(problem, cure=f"give --root {folder}" if is_root else "give A B, or --root ROOT")


def _below_root(root: Path, names: Pair[str]) -> Split:
    if not root.is_dir():
        raise PictureError(f"{root} is not a folder", cure="give the folder that holds trainA and trainB")
    if is_side_by_side(root):
        test = root / "test" if (root / "test").is_dir() else root / "val"
        return Split(halves(find_domain("train", root / "train"), names), halves(_optional("test", test), names))
    train = names.map(find_domain, Pair("trainA", "trainB").map(root.joinpath))
    held = names.map(_optional, Pair("testA", "testB").map(root.joinpath))
    return Split(train, held)


def halves(domain: Domain, names: Pair[str]) -> Pair[Domain]:
    """The left halves of the pictures of ``domain`` as A, the right halves as B."""
    sides: Pair[Half] = Pair("left", "right")
    return names.map(lambda name, half: Domain(name, domain.folder, domain.files, half), sides)


def _optional(name: str, folder: Path) -> Domain:
    return Domain(name, folder, find_pictures(folder) if folder.is_dir() else ())
