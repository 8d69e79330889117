"""How pictures lie below a root or a folder: what to train on, what to hold out, and which domain is which."""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from diptych.data.files import Domain, Half, by_hash, find_domain
from diptych.data.formats import is_picture_file
from diptych.errors import PictureError
from diptych.pair import UNNAMED, Pair

TRAIN, HELD_OUT = "train", ("test", "val", "valid", "validation")
"""Names of folders, in any case: of pictures to train on, and of held-out ones, the preferred name first."""
LETTERED = {f"{TRAIN}a", f"{TRAIN}b"}
SIDE_BY_SIDE, MAY_BE_SIDE_BY_SIDE = (1.9, 2.1), (1.25, 5.0)
"""Lowest and highest aspect ratio (width / height) of pairs side by side: by default, and if the method needs pairs."""
MAX_MEASURED = 100
Report = Callable[[str], None]


def is_side_by_side(root: Path) -> bool:
    """Whether ``root`` has the layout of the pix2pix data sets: a folder train of pictures with A beside B.

    Raises:
        PictureError: no picture in train can be read.
    """
    folder = _folders(root).get(TRAIN)
    if folder is None or _folders(root).keys() & LETTERED or not _pictures(folder):
        return False
    low, high = SIDE_BY_SIDE
    return low <= median(_aspects(folder)) <= high


def is_root(folder: Path) -> bool:
    """Whether ``folder`` has the layout of a root."""
    return bool(_folders(folder).keys() & {TRAIN, *LETTERED})


def names_below(root: Path) -> Pair[str]:
    """The names of the domains of ``root``: those of the two folders in train (or test), else A and B."""
    folders = _folders(root)
    part = next((folders[name] for name in (TRAIN, *HELD_OUT) if name in folders), None)
    names = [] if part is None or folders.keys() & LETTERED else [one.name for one in _folders(part).values()]
    return Pair(*names) if len(names) == 2 else UNNAMED


def find_train(root: Path, *, paired: bool, report: Report) -> Pair[Domain]:
    """The pictures to train on below ``root``: in trainA and trainB, in two folders in train, or side by side in train.

    Raises:
        PictureError: there are none of these; or the pictures in train are not side by side, or are and ``paired`` is
            off.
    """
    if not root.is_dir():
        cure = "unpack it first" if root.suffix.lower() == ".zip" else "give the folder that holds trainA and trainB"
        raise PictureError(f"{root} is not a folder", cure=cure)
    found = _part(root, TRAIN, report, paired=paired)
    if found is None:
        folders = [*_folders(root).values()]
        cure = f"give its two folders: {folders[0]} {folders[1]}" if len(folders) == 2 else "give A B, or another root"
        raise PictureError(f"{root} holds neither trainA and trainB nor train", cure=cure)
    for domain in found:
        if not domain.folder.is_dir():
            raise PictureError(f"{domain.folder} does not exist", cure="put the pictures of this domain there")
        if not len(domain):
            find_domain(domain.name, domain.folder)  # says what is missing
    if found.a.half and not paired:
        problem = f"{found.a.folder} holds pictures side by side, which are pairs"
        raise PictureError(problem, cure="give --method pix2pix, or two folders: A B")
    if found.a.half is None and names_below(root) != ("A", "B"):
        report(f"the folders in {root / TRAIN} are the domains: A is {found.a.name}, B is {found.b.name}")
    return found


def find_held_out(root: Path, *, paired: bool, report: Report = lambda _: None) -> Pair[Domain] | None:
    """The held-out pictures below ``root``, in the layout of ``find_train``; either domain may be empty. None if
    ``root`` has no folder of them.

    Raises:
        PictureError: as ``find_train``.
    """
    folders = _folders(root).keys()
    present = [name for name in HELD_OUT if folders & {name, f"{name}a", f"{name}b"}]
    if not present:
        return None
    if others := present[1:]:
        report(f"{root}: {', '.join(others)} is not used, since {present[0]} holds the held-out pictures")
    return _part(root, present[0], report, paired=paired)


def pairs_in(folder: Path, names: Pair[str], report: Report) -> Pair[Domain]:
    """The pictures of pairs in ``folder`` or in its folder train: in trainA and trainB, in two folders named A and B or
    like the domains (``names``), or side by side in files.

    Raises:
        PictureError: there are none of these.
    """
    if not folder.is_dir():
        find_domain("pairs", folder)  # says what is wrong
    folders = _folders(folder)
    if folders.keys() >= LETTERED:
        return names.map(find_domain, Pair(folders[f"{TRAIN}a"], folders[f"{TRAIN}b"]))
    folder = folders.get(TRAIN, folder)
    folders, pictures = _folders(folder), _pictures(folder)
    for wanted in (Pair("a", "b"), names.map(str.casefold)):
        if not pictures and folders.keys() == {*wanted}:
            return names.map(lambda name, key: find_domain(name, folders[key]), wanted)
    if folders or not pictures:
        problem = f"{folder} holds neither two folders named A and B nor pictures side by side"
        raise PictureError(problem, cure=f"put the pairs under equal names in {folder / 'A'} and {folder / 'B'}")
    _refuse_other_shapes(folder, report, paired=True, cure="put the two pictures of each pair in folders A and B")
    return halves(find_domain(names.a, folder), names)


def own_parts(domain: Domain, report: Report) -> tuple[Domain, Domain]:
    """The pictures of ``domain`` to train on and to hold out. If its folder does not hold test, all are to train on.

    Raises:
        PictureError: it holds test, but other pictures are not in train; or it is a root, with pictures of A and B.
    """
    parts: dict[str, list[Path]] = defaultdict(list)
    for file in domain.files:
        parts[file.parts[0].casefold() if len(file.parts) > 1 else ""].append(file)
    if parts.keys() >= LETTERED:
        problem = f"{domain.folder} holds trainA and trainB, which are two domains"
        raise PictureError(problem, cure=f"give --root {domain.folder}, or the folder of one domain")
    present = [name for name in HELD_OUT if name in parts]
    if not present:
        return domain, domain.only(())
    held = domain.folder / parts[present[0]][0].parts[0]
    if parts.keys() != {TRAIN, *present}:
        problem = f"{held} lies among other pictures of {domain.folder}, which would be mixed with it"
        raise PictureError(problem, cure=f"move it elsewhere, or all other pictures to {domain.folder / TRAIN}")
    unused = f", {', '.join(present[1:])} is not used" if present[1:] else ""
    report(f"{domain.folder}: train is trained on, {held.name} is held out{unused}")
    return _inside(domain, parts[TRAIN]), _inside(domain, parts[present[0]])


def _inside(domain: Domain, files: list[Path]) -> Domain:
    """The domain of ``files``, all in one sub-folder, relative to it."""
    first = files[0].parts[0]
    return replace(domain, folder=domain.folder / first, files=tuple(file.relative_to(first) for file in files))


def _part(root: Path, name: str, report: Report, *, paired: bool) -> Pair[Domain] | None:
    """The two domains of the part ``name`` of ``root``, such as train. None if there is no folder of it."""
    folders, names = _folders(root), names_below(root)
    if f"{name}a" in folders or f"{name}b" in folders:
        lettered = Pair("A", "B").map(lambda letter: folders.get(f"{name}{letter}".lower(), root / f"{name}{letter}"))
        return names.map(_optional, lettered)
    if name not in folders:
        return None
    folder = folders[name]
    inside, pictures = _folders(folder), _pictures(folder)
    if inside and pictures:
        problem = f"{folder} holds both pictures and folders ({', '.join(one.name for one in inside.values())})"
        raise PictureError(problem, cure="leave only pictures side by side there, or only the folders of A and B")
    if inside:
        if [one.name for one in inside.values()] != [*names]:
            listed = ", ".join(one.name for one in inside.values())
            expected = "two, one for each domain" if names == ("A", "B") else f"{names.a} and {names.b}"
            problem = f"{folder} holds {len(inside)} folders ({listed}), not {expected}"
            raise PictureError(problem, cure=f"give two folders: A B, such as {next(iter(inside.values()))}")
        return names.map(_optional, Pair(*inside.values()))
    if pictures:
        _refuse_other_shapes(folder, report, paired=paired)
    return halves(_optional(name, folder), names)


def _refuse_other_shapes(folder: Path, report: Report, *, paired: bool, cure: str = "give two folders: A B") -> None:
    """Raises ``PictureError`` if the pictures in ``folder`` are not side by side."""
    aspects = _aspects(folder)
    usual, (low, high) = median(aspects), SIDE_BY_SIDE
    least, most = MAY_BE_SIDE_BY_SIDE if paired else SIDE_BY_SIDE
    if not least <= usual <= most:
        problem = f"{folder} holds pictures {usual:.2f} times as wide as high, so they are not two side by side"
        raise PictureError(problem, cure=cure)
    if others := sum(not low <= aspect <= high for aspect in aspects):
        report(f"{others} of {len(aspects)} pictures in {folder} are not twice as wide as high: each is cut in halves")


def _aspects(folder: Path) -> list[float]:
    """The aspect ratios (width / height) of at most 100 pictures in ``folder``."""
    from diptych.data.formats.reading import read_header  # needs numpy: the command line uses the rest without

    found = []
    for file in by_hash(_pictures(folder))[:MAX_MEASURED]:
        try:
            header = read_header(folder / file)
            found.append(header.width / header.height)
        except PictureError:
            continue
    if not found:
        raise PictureError(f"no picture in {folder} can be read", cure="give pictures that other software can open")
    return found


def halves(domain: Domain, names: Pair[str]) -> Pair[Domain]:
    """The left halves of the pictures of ``domain`` as A, the right halves as B."""
    sides: Pair[Half] = Pair("left", "right")
    return names.map(lambda name, half: replace(domain, name=name, half=half), sides)


def _optional(name: str, folder: Path) -> Domain:
    return find_domain(name, folder, may_be_empty=True) if folder.is_dir() else Domain(name, folder, ())


def _folders(folder: Path) -> dict[str, Path]:
    """The folders in ``folder`` by lower-case name, sorted, without hidden ones."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    return {name.casefold(): folder / name for name in names}


def _pictures(folder: Path) -> list[Path]:
    """The names of the pictures that lie in ``folder`` itself."""
    with os.scandir(folder) as entries:
        names = [Path(entry.name) for entry in entries if entry.name[0] != "." and entry.is_file()]
    return [name for name in names if is_picture_file(folder / name)]
