"""Pairs by name: pictures of the two domains that have the same name, whatever their suffix."""

from pathlib import Path

from diptych.data.files import Domain
from diptych.errors import PictureError
from diptych.pair import Pair

NUM_LISTED = 5


def pair_up(domains: Pair[Domain], *, skip_unpaired: bool) -> Pair[Domain]:
    """The pictures whose names (with sub-folders, without suffixes) both domains have. Equal indices are pairs.

    Raises:
        PictureError: a picture has no partner and ``skip_unpaired`` is off, two have the same name, or no pair exists.
    """
    files = domains.map(_by_name)
    common = sorted(files.a.keys() & files.b.keys())
    for ours, theirs, here, there in ((files.a, files.b, *domains), (files.b, files.a, *domains.swapped)):
        alone = sorted(ours.keys() - theirs.keys())
        if alone and not skip_unpaired:
            names = ", ".join(alone[:NUM_LISTED]) + (", …" if len(alone) > NUM_LISTED else "")
            problem = f"{len(alone)} of {len(here)} pictures in {here.folder} have no partner in {there.folder}"
            raise PictureError(f"{problem} ({names})", cure="add the partners, or pass --skip-unpaired")
    if not common and any(len(domain) for domain in domains):
        problem = f"{domains.a.folder} and {domains.b.folder} have no picture of the same name"
        raise PictureError(problem, cure="pairs need equal names; without pairs, use --method cyclegan")
    return domains.map(lambda domain, named: domain.only([named[name] for name in common]), files)


def common_names(domains: Pair[Domain]) -> int:
    """How many names both domains have."""
    names = domains.map(lambda domain: {_name(file) for file in domain.files})
    return len(names.a & names.b)


def _name(file: Path) -> str:
    return file.with_suffix("").as_posix()


def _by_name(domain: Domain) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in domain.files:
        if _name(file) in found:
            problem = f"{domain.folder} has two pictures named {_name(file)} ({found[_name(file)].name}, {file.name})"
            raise PictureError(problem, cure="pairs need unique names: remove or rename one")
        found[_name(file)] = file
    return found
