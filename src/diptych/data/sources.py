"""What a run trains on and what it holds out: two folders, a root of four, or pictures side by side."""

import math
from dataclasses import dataclass
from pathlib import Path

from diptych.config import SourceConfig
from diptych.data.files import Domain, by_hash, find_domain, find_pictures
from diptych.data.pairing import pair_up
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair

HOLDOUT_FRACTION, HOLDOUT_MAX, HOLDOUT_MIN_PICTURES = 0.05, 64, 40


@dataclass(frozen=True)
class Split:
    """The pictures to train on and those held out, for each domain. The held-out domains may be empty."""

    train: Pair[Domain]
    test: Pair[Domain]


def is_side_by_side(root: Path) -> bool:
    """Whether ``root`` is laid out as the pix2pix data sets: a folder train of pictures that hold A beside B."""
    return (root / "train").is_dir() and not (root / "trainA").is_dir()


def domain_names(source: SourceConfig) -> Pair[str]:
    """What the two domains are called: their folders' names, or A and B below a root."""
    if source.root is not None or source.a is None or source.b is None:
        return Pair("A", "B")
    names = Pair(source.a, source.b).map(lambda folder: folder.resolve().name or "root")
    return names if names.a != names.b else Pair(f"{names.a}-A", f"{names.b}-B")


def where(source: SourceConfig) -> Pair[Path] | Path:
    """The two folders that ``source`` names, or the root.

    Raises:
        OptionError: it names neither, or both.
    """
    if source.root is not None:
        if source.a is not None or source.b is not None:
            raise OptionError("both two folders and a root are given", cure="give A B, or --root ROOT")
        return source.root
    if source.a is None or source.b is None:
        raise _one_folder(source.a or source.b)
    return Pair(source.a, source.b)


def find_split(
    source: SourceConfig, holdout: int | None = None, *, paired: bool = False, skip_unpaired: bool = False
) -> Split:
    """The pictures that ``source`` names, split into a part to train on and a held-out part.

    Two folders are split by ``hold_out``; a root's trainA and trainB are used whole, with testA and testB held out, and
    so are the halves of the pictures in its train, with test (or val) held out. ``paired`` domains have equal names in
    one order; ``skip_unpaired`` leaves out the names that only one has.

    Raises:
        OptionError: neither two folders nor one root is given, or both domains are one folder.
        PictureError: a folder is missing or empty, or the domains should be paired and are not.
    """
    names, folders = domain_names(source), where(source)
    if isinstance(folders, Path):
        return _below_root(folders, names, paired=paired, skip_unpaired=skip_unpaired)
    if folders.a.resolve() == folders.b.resolve():
        raise OptionError(f"A and B are the same folder, {folders.a}", cure="give two different folders")
    domains = names.map(find_domain, folders)
    if paired:
        domains = pair_up(domains, leave_out=skip_unpaired)
    parts = domains.map(lambda domain: hold_out(domain, holdout))
    return Split(train=parts.map(lambda part: part[0]), test=parts.map(lambda part: part[1]))


def hold_out(domain: Domain, num_pictures: int | None) -> tuple[Domain, Domain]:
    """``domain`` split into a part to train on and a held-out part, chosen by hash of the names.

    ``num_pictures`` None takes 5 %, at most 64, and none of fewer than 40 pictures.

    Raises:
        OptionError: nothing would be left to train on.
    """
    if num_pictures is None:
        few = len(domain) < HOLDOUT_MIN_PICTURES
        num_pictures = 0 if few else min(HOLDOUT_MAX, math.ceil(HOLDOUT_FRACTION * len(domain)))
    if not 0 <= num_pictures < len(domain):
        problem = f"holdout is {num_pictures}, but {domain.folder} has {len(domain)} pictures"
        raise OptionError(problem, cure="give at least 0, and less than that")
    held = sorted(by_hash(domain.files)[:num_pictures], key=Path.as_posix)
    return domain.without(held), domain.only(held)


def _one_folder(folder: Path | None) -> OptionError:
    """What to tell where there are not two folders, but ``folder`` or none."""
    problem = "two folders of pictures are needed" + (f", and {folder} is one" if folder else "")
    is_root = folder is not None and ((folder / "trainA").is_dir() or is_side_by_side(folder))
    return OptionError(problem, cure=f"give --root {folder}" if is_root else "give A B, or --root ROOT")


def _below_root(root: Path, names: Pair[str], *, paired: bool, skip_unpaired: bool) -> Split:
    if not root.is_dir():
        raise PictureError(f"{root} is not a folder", cure="give the folder that holds trainA and trainB")
    if is_side_by_side(root):
        test = root / "test" if (root / "test").is_dir() else root / "val"
        return Split(halves(find_domain("train", root / "train"), names), halves(_optional("test", test), names))
    train = names.map(find_domain, Pair("trainA", "trainB").map(root.joinpath))
    held = names.map(_optional, Pair("testA", "testB").map(root.joinpath))
    if paired:
        train, held = pair_up(train, leave_out=skip_unpaired), pair_up(held, leave_out=skip_unpaired)
    return Split(train, held)


def halves(domain: Domain, names: Pair[str]) -> Pair[Domain]:
    """The left halves of the pictures of ``domain`` as A, the right ones as B."""
    return Pair(
        Domain(names.a, domain.folder, domain.files, half="left"),
        Domain(names.b, domain.folder, domain.files, half="right"),
    )


def _optional(name: str, folder: Path) -> Domain:
    return Domain(name, folder, find_pictures(folder) if folder.is_dir() else ())
