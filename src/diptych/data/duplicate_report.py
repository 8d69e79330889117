"""Where a picture is that is there twice: inside a domain, in both, in the training and in the test part."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diptych.data.examine import Facts
from diptych.data.near_duplicates import similar

Repeat = tuple[str, str, str, tuple[tuple[Path, ...], ...]]


class Place(NamedTuple):
    """A picture, and the domain and the part (train or test) that it is in."""

    picture: Facts
    domain: str
    part: str


def repeats(places: Sequence[Place], *, paired: bool) -> Iterator[Repeat]:
    """Kind, problem, cure and groups of files of each way in which pictures are there twice.

    ``paired`` pictures look alike across domains as they should: there, only the same pixels count.
    """
    by_content: dict[bytes, list[Place]] = defaultdict(list)
    for place in places:
        by_content[place.picture.content].append(place)
    contents = list(by_content.values())
    same = [content for content in contents if len(content) > 1]
    yield from _told(same, "duplicates", "the same pixels", across=True)
    if contents:
        groups = similar(np.stack([content[0].picture.thumbnail for content in contents]))
        alike = [[place for index in group for place in contents[index]] for group in groups]
        yield from _told(alike, "near-duplicates", "nearly the same picture", across=not paired)


def _told(groups: Sequence[list[Place]], kind: str, what: str, *, across: bool) -> Iterator[Repeat]:
    """What ``groups`` of places of one picture, or of a similar one, mean."""
    inside = _related(groups, lambda place: place[1:], lambda place: place.picture.path)
    if inside:
        cure = "remove all but one of each: what is there twice counts twice"
        yield kind, f"{what} more than once in a domain ({_times(inside)})", cure, inside
    trained = [group for group in groups if any(place.part == "train" for place in group)]  # testA, testB may be pairs
    both = _related(trained, lambda _: None, lambda place: place.domain) if across else ()
    if both:
        cure = "remove it from the domain that it is not of, or if these are pairs, use --method pix2pix"
        yield f"{kind}-in-both-domains", f"{what} in both domains ({_times(both)})", cure, both
    leaked = _related(groups, lambda place: place.domain, lambda place: place.part)
    if leaked:
        cure = "remove it from either: scores would praise what was learnt by heart"
        yield f"{kind}-in-train-and-test", f"{what} in the training and the test part ({_times(leaked)})", cure, leaked


def _related(
    groups: Sequence[list[Place]], within: Callable[[Place], Hashable], apart: Callable[[Place], Hashable]
) -> tuple[tuple[Path, ...], ...]:
    """The files of each group that agree in ``within`` but not all in ``apart``.

    In a group of several contents, those that agree must be of several too: the rest is told as the same pixels.
    """
    found = []
    for group in groups:
        is_exact = len({place.picture.content for place in group}) == 1
        agreeing: dict[Hashable, list[Place]] = defaultdict(list)
        for place in group:
            agreeing[within(place)].append(place)
        for places in agreeing.values():
            contents = {place.picture.content for place in places}
            if (is_exact or len(contents) > 1) and len(set(map(apart, places))) > 1:
                found.append(tuple(dict.fromkeys(place.picture.path for place in places)))
    return tuple(found)


def _times(groups: Sequence[object]) -> str:
    return "once" if len(groups) == 1 else f"{len(groups):,} times"
