"""Known pairs: pictures that show the same in both domains, beside the many without a partner."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from diptych.data.files import Domain, folded_name
from diptych.data.formats.reading import read_picture
from diptych.data.layouts import pairs_in
from diptych.data.near_duplicates import Thumbnail, content_hash, similar, thumbnail
from diptych.data.pairing import pair_up
from diptych.data.transforms import half_of
from diptych.errors import PictureError
from diptych.pair import Pair


def find_known_pairs(
    folder: Path, names: Pair[str], held_out: Pair[Domain], *, skip_unpaired: bool, report: Callable[[str], None]
) -> Pair[Domain]:
    """The pairs in ``folder`` (see ``layouts.pairs_in``), without those of which a picture is ``held_out``.

    A picture is one of ``held_out`` if it has the same pixels, or the same name and nearly the same pixels.

    Raises:
        PictureError: there are no pairs, a picture has no partner, or all are held out.
    """
    found = pairs_in(folder, names, report)
    if found.a.half is None:
        found = pair_up(found, skip_unpaired=skip_unpaired, report=report)
    number = len(found.a)
    held = found.map(_held_out, held_out)
    kept = [index for index in range(number) if not held.a[index] and not held.b[index]]
    if not kept:
        problem = f"all {number} pairs in {folder} are among the held-out pictures"
        raise PictureError(problem, cure="give other pairs, or --holdout 0")
    if len(kept) < number:
        report(f"{number - len(kept)} of {number} pairs in {folder} are not used: they are among the held-out pictures")
    return found.map(lambda domain: domain.only([domain.files[index] for index in kept]))


class _Content(NamedTuple):
    name: str
    pixels: bytes
    thumbnail: Thumbnail


def _held_out(known: Domain, held_out: Domain) -> list[bool]:
    """For each picture of ``known``: whether it is one of ``held_out``."""
    if not len(held_out):
        return [False] * len(known)
    held = [one for one in _contents(held_out) if one is not None]
    pixels, by_name = {one.pixels for one in held}, {one.name: one for one in held}

    def is_held_out(one: _Content | None) -> bool:
        if one is None:
            return False
        twin = by_name.get(one.name)
        return one.pixels in pixels or (twin is not None and bool(similar([one.thumbnail, twin.thumbnail])))

    return [is_held_out(one) for one in _contents(known)]


def _contents(domain: Domain) -> list[_Content | None]:
    """What identifies each picture of ``domain``; None for one that cannot be read, which is reported when it is
    drawn."""

    def content(index: int) -> _Content | None:
        try:
            values = half_of(read_picture(domain.path(index)).values, domain.half)
        except PictureError:
            return None
        return _Content(folded_name(domain.files[index]), content_hash(values), thumbnail(values))

    with ThreadPoolExecutor() as pool:
        return list(pool.map(content, range(len(domain))))
