"""Pairs by name: pictures of the two domains that have the same name, whatever their suffix."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from diptych.data.files import Domain, folded_name
from diptych.errors import PictureError
from diptych.pair import Pair

NUM_LISTED = 5
MAX_ASPECT_DIFFERENCE = 0.02
"""Largest difference between the aspect ratios of the pictures of a pair, as a fraction."""


def pair_up(
    domains: Pair[Domain], *, skip_unpaired: bool, report: Callable[[str], None] = lambda _: None
) -> Pair[Domain]:
    """The pictures whose names (with sub-folders, without suffixes) both domains have. Equal indices are pairs.

    Names that differ only in case or in the encoding of accents match too, if only one does; ``report`` gets a line.

    Raises:
        PictureError: a picture has no partner and ``skip_unpaired`` is off, two have the same name, or no pair exists.
    """
    files = domains.map(_by_name)
    exact = files.a.keys() & files.b.keys()
    folded = files.map(lambda named: _unique_folded({name: named[name] for name in named.keys() - exact}))
    near = {folded.a[key]: folded.b[key] for key in folded.a.keys() & folded.b.keys()}
    names = sorted([*((name, name) for name in exact), *near.items()])
    paired = Pair({a for a, _ in names}, {b for _, b in names})
    if not names and any(len(domain) for domain in domains):
        problem = f"{domains.a.folder} and {domains.b.folder} have no picture of the same name"
        raise PictureError(problem, cure="pairs need equal names; without pairs, use --method cyclegan")
    for named, both, here, there in ((files.a, paired.a, *domains), (files.b, paired.b, *domains.swapped)):
        alone = sorted(named.keys() - both)
        if alone and not skip_unpaired:
            problem = f"{len(alone)} of {len(here)} pictures in {here.folder} have no partner in {there.folder}"
            raise PictureError(f"{problem} ({_listed(alone)})", cure="add the partners, or pass --skip-unpaired")
    if near:
        listed = _listed([f"{files.a[a]} and {files.b[b]}" for a, b in sorted(near.items())])
        report(f"{len(near)} pairs have names that differ only in case or in the encoding of accents: {listed}")
    return Pair(
        domains.a.only([files.a[a] for a, _ in names]),
        domains.b.only([files.b[b] for _, b in names]),
    )


def common_names(domains: Pair[Domain]) -> int:
    """How many names both domains have, whatever their case and the encoding of accents."""
    names = domains.map(lambda domain: {folded_name(file) for file in domain.files})
    return len(names.a & names.b)


def shapes_agree(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same aspect ratio within 2 %, or within a pixel of either size."""
    (width, height), (other_width, other_height) = size, other
    difference = abs(width * other_height - other_width * height)
    return difference <= max(MAX_ASPECT_DIFFERENCE * width * other_height, *size, *other)


def shapes_differ(one: Path, size: tuple[int, int], other: Path, other_size: tuple[int, int]) -> PictureError:
    """The error for a pair whose pictures have these sizes."""
    (width, height), (other_width, other_height) = size, other_size
    problem = f"{one} has {width}×{height} pixels and its partner {other} {other_width}×{other_height}"
    return PictureError(f"{problem}, of another aspect ratio", cure="crop both to the area that both show")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NUM_LISTED]) + (", …" if len(names) > NUM_LISTED else "")


def _unique_folded(named: dict[str, Path]) -> dict[str, str]:
    """The names by folded name, without those that share one."""
    folded = {name: folded_name(file) for name, file in named.items()}
    counts = Counter(folded.values())
    return {key: name for name, key in folded.items() if counts[key] == 1}


def _by_name(domain: Domain) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in domain.files:
        name = file.with_suffix("").as_posix()
        if name in found:
            problem = f"{domain.folder} has two pictures named {name} ({found[name].name}, {file.name})"
            raise PictureError(problem, cure="pairs need unique names: remove or rename one")
        found[name] = file
    return found
