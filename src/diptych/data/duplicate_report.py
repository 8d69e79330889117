"""Pictures that occur more than once: in a domain, in both domains, or in training and test."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from diptych.data.examine import PictureFacts
from diptych.data.near_duplicates import similar

Duplicates = tuple[str, str, str, tuple[tuple[Path, ...], ...]]


class Occurrence(NamedTuple):
    """A picture, with its domain and its part of the data (train or test)."""

    picture: PictureFacts
    domain: str
    part: str


Key = Callable[[Occurrence], Hashable]


def duplicate_report(occurrences: Sequence[Occurrence], *, paired: bool) -> Iterator[Duplicates]:
    """Kind, problem, cure and groups of files for each kind of duplicate.

    ``paired`` pictures of the two domains should look alike: across domains, only equal pixels are reported.
    """
    by_content: dict[bytes, list[Occurrence]] = defaultdict(list)
    for one in occurrences:
        by_content[one.picture.content].append(one)
    contents = list(by_content.values())
    same = [content for content in contents if len(content) > 1]
    yield from _described(same, "duplicates", "the same pixels", across=True)
    if contents:
        groups = similar([content[0].picture.thumbnail for content in contents])
        alike = [[one for index in group for one in contents[index]] for group in groups]
        yield from _described(alike, "near-duplicates", "nearly the same picture", across=not paired)


def _described(groups: Sequence[list[Occurrence]], kind: str, what: str, *, across: bool) -> Iterator[Duplicates]:
    """As ``duplicate_report``, for ``groups`` of similar pictures. ``across`` also compares the two domains."""
    inside = _related(groups, lambda one: one[1:], lambda one: one.picture.path)
    if inside:
        cure = "keep one of each and remove the others: a duplicate is trained on more often"
        yield kind, f"{what} more than once in a domain ({_groups(inside)})", cure, inside
    trained = [group for group in groups if any(one.part == "train" for one in group)]  # held-out ones may be pairs
    both = _related(trained, lambda _: None, lambda one: one.domain) if across else ()
    if both:
        cure = "remove each from the wrong domain, or use --method pix2pix if these are pairs"
        yield f"{kind}-in-both-domains", f"{what} in both domains ({_groups(both)})", cure, both
    leaked = _related(groups, lambda one: one.domain, lambda one: one.part)
    if leaked:
        cure = "remove each from one of the two parts: otherwise scores reward memorisation"
        yield f"{kind}-in-train-and-test", f"{what} in the training and the test part ({_groups(leaked)})", cure, leaked


def _related(groups: Sequence[list[Occurrence]], within: Key, apart: Key) -> tuple[tuple[Path, ...], ...]:
    """The files of each group that are equal in ``within`` but not all equal in ``apart``.

    Near-duplicates whose pixels are all equal are left out: they are reported as duplicates.
    """
    found = []
    for group in groups:
        is_exact = len({one.picture.content for one in group}) == 1
        agreeing: dict[Hashable, list[Occurrence]] = defaultdict(list)
        for one in group:
            agreeing[within(one)].append(one)
        for equal in agreeing.values():
            contents = {one.picture.content for one in equal}
            if (is_exact or len(contents) > 1) and len(set(map(apart, equal))) > 1:
                found.append(tuple(dict.fromkeys(one.picture.path for one in equal)))
    return tuple(found)


def _groups(groups: Sequence[object]) -> str:
    return f"{len(groups):,} group{'s' * (len(groups) != 1)} of files"
