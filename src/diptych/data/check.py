"""What is wrong with the pictures, before hours of training: findings with their files and a cure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diptych.config import DataConfig
from diptych.data.duplicate_report import Occurrence, duplicate_report
from diptych.data.examine import Examined, PictureFacts
from diptych.data.files import Domain, describe_unread
from diptych.data.formats import UNREAD_CURE
from diptych.data.image import ALPHA_MODES, GREY_MODES
from diptych.data.pairing import common_names
from diptych.pair import Pair

Severity = Literal["error", "warning", "note"]

USUAL_MODES = GREY_MODES | ALPHA_MODES | {"P", "RGB"}
FEW_TO_TRAIN_ON = 30
"""Fewer pictures than this are memorised."""
MAX_ENLARGEMENT = 2.0
"""Pictures that must be enlarged more than this to fill the crop teach blur."""
SOME_FRACTION = 0.1
"""If at most this fraction of a domain is grey (or in colour), it may be meant."""
MAX_ASPECT = 3.0
MAX_SPREAD = 4.0
"""Largest ratio between the sizes of pictures that are resized to one size."""
MAX_ASPECTS_APART = 1.5
"""Largest ratio between the median aspect ratios of the two domains."""
PAIR_ASPECTS_APART = 1.02


@dataclass(frozen=True)
class Finding:
    """Something to know about the pictures. An error stops training, a warning harms its result, a note may be
    intended."""

    severity: Severity
    kind: str
    """A keyword for programs."""
    problem: str
    cure: str
    files: tuple[tuple[Path, ...], ...] = ()
    """Groups of files, such as duplicates; most groups hold one file."""
    details: tuple[str, ...] = ()
    """A line for each group, where the names of its files are not enough."""

    def json(self) -> dict[str, Any]:
        files = [[str(path) for path in group] for group in self.files]
        texts = {"severity": self.severity, "kind": self.kind, "problem": self.problem, "cure": self.cure}
        return texts | {"files": files, "details": list(self.details)}


def check(train: Pair[Examined], test: Pair[Examined], *, data: DataConfig, paired: bool) -> list[Finding]:
    """Everything wrong with pictures that will be trained on with ``data`` (its sizes resolved); errors first."""
    parts = (*train, *test)
    occurrences = [
        Occurrence(one, domain.domain.name, part)
        for part, domains in (("train", train), ("test", test))
        for domain in domains
        for one in domain.facts
    ]
    pictures = {one.picture.path: one.picture for one in occurrences}
    domains = train.map(lambda ours, theirs: (ours.domain, [*ours.facts, *theirs.facts]), test)
    found = [
        *_unreadable(parts),
        *_passed_over(parts),
        *_kinds(list(pictures.values())),
        *chain.from_iterable(_few(part.domain) for part in train),
        *chain.from_iterable(_colours(*domain, letter) for domain, letter in zip(domains, "ab", strict=True)),
        *chain.from_iterable(_sizes(*domain, data.crop_size or 0) for domain in domains),
        *_differences(domains),
        *(Finding("warning", *one) for one in duplicate_report(occurrences, paired=paired)),
        *(_partners(train) if paired else _namesakes(train.map(lambda part: part.domain))),
    ]
    return in_order(found)


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """``findings``, errors first, notes last."""
    return sorted(findings, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def _unreadable(parts: Sequence[Examined]) -> Iterator[Finding]:
    errors = {path: error for part in parts for path, error in part.unreadable.items()}
    if errors:
        yield Finding(
            "error",
            "unreadable",
            f"{_pictures(errors)} cannot be read",
            "replace or remove what is named, or pass --skip-unreadable to train",
            tuple((path,) for path in errors),
            tuple(map(str, errors.values())),
        )


def _passed_over(parts: Sequence[Examined]) -> Iterator[Finding]:
    for folder in dict.fromkeys(part.domain.folder for part in parts):
        if folder.is_dir() and (problem := describe_unread(folder)):
            yield Finding("warning", "not-read", problem, UNREAD_CURE)


def _kinds(pictures: Sequence[PictureFacts]) -> Iterator[Finding]:
    """How files are stored, and what is lost in reading them."""

    def those(
        severity: Severity, kind: str, what: str, cure: str, holds: Callable[[PictureFacts], bool], say: str = "{path}"
    ) -> Iterator[Finding]:
        found = [one for one in pictures if holds(one)]
        if found:
            lines = tuple(say.format(path=one.path, one=one) for one in found)
            yield Finding(
                severity, kind, f"{_pictures(found)} {what}", cure, tuple((one.path,) for one in found), lines
            )

    yield from those(
        "warning", "mode", "of an unusual kind: colours are converted without their profile, and may be wrong",
        "convert to RGB with the software that made them", lambda one: one.mode not in USUAL_MODES,
        "{path}: {one.mode}",
    )  # fmt: skip
    yield from those(
        "note", "16-bit", "with 16 bits per channel: grey keeps them, colour is read with 8",
        "none needed, unless brightness is scaled otherwise than in the 8-bit pictures", lambda one: one.num_bits > 8,
    )  # fmt: skip
    yield from those(
        "note", "transparency", "with transparent parts: they are put on white",
        "put them on the ground that you want, if it is another", lambda one: one.is_transparent,
    )  # fmt: skip
    yield from those(
        "note", "animated", "with several frames: the first is used",
        "save the frames that you want as pictures", lambda one: one.num_frames > 1, "{path}: {one.num_frames} frames",
    )  # fmt: skip
    yield from those(
        "note", "turned", "stored sideways or mirrored, with EXIF's note to turn them: they are turned",
        "none needed, unless they look wrong in a viewer", lambda one: one.is_turned,
    )  # fmt: skip


def _few(domain: Domain) -> Iterator[Finding]:
    if len(domain) < FEW_TO_TRAIN_ON:
        problem = f"{domain.folder} has only {_pictures(domain.files)} to train on, which are learnt by heart"
        yield Finding("warning", "few", problem, "collect more, best some hundreds")


def _colours(domain: Domain, pictures: Sequence[PictureFacts], letter: str) -> Iterator[Finding]:
    grey = [one for one in pictures if one.is_grey]
    colour = [one for one in pictures if not one.is_grey]
    if grey and colour:
        few, kind, others = (grey, "grey", "colour") if len(grey) <= len(colour) else (colour, "colour", "grey")
        problem = f"{_pictures(few)} of {domain.name} in {kind} among {len(pictures) - len(few)} in {others}"
        cure = f"remove them, or make all grey with --channels-{letter} 1"
        severity: Severity = "warning" if len(few) > SOME_FRACTION * len(pictures) else "note"
        yield Finding(severity, "mixed-grey", problem, cure, tuple((one.path,) for one in few))
    elif grey and any(one.mode not in GREY_MODES for one in grey):
        problem = f"all pictures of {domain.name} are grey, but stored as colour"
        yield Finding("note", "grey-as-colour", problem, f"give --channels-{letter} 1, which has less to learn")


def _sizes(domain: Domain, pictures: Sequence[PictureFacts], crop_size: int) -> Iterator[Finding]:
    small = [one for one in pictures if one.shorter_side * MAX_ENLARGEMENT < crop_size]
    if small:
        problem = f"{_pictures(small)} of {domain.name} so small that enlarging to {crop_size} pixels blurs them"
        cure = "replace or remove them, or give a smaller --crop-size"
        yield Finding("warning", "small", problem, cure, *_with_sizes(small))
    long = [one for one in pictures if max(one.width, one.height) > MAX_ASPECT * one.shorter_side]
    if long:
        problem = f"{_pictures(long)} of {domain.name} more than {MAX_ASPECT:g} times as long as wide"
        cure = "crop or remove them, or give --resize shorter: squares squash them"
        yield Finding("warning", "aspect", problem, cure, *_with_sizes(long))
    usual = [one for one in pictures if one.shorter_side * MAX_ENLARGEMENT >= crop_size]
    low, high = np.percentile([one.shorter_side for one in usual], (5, 95)) if usual else (1, 1)
    if high > MAX_SPREAD * low:
        problem = f"the sizes of {domain.name} go from {low:.0f} to {high:.0f} pixels, so what they show does too"
        yield Finding("note", "uneven-sizes", problem, "none needed, unless one thing should have one size")


def _differences(domains: Pair[tuple[Domain, list[PictureFacts]]]) -> Iterator[Finding]:
    """Differences between the medians of the two domains."""
    if not all(pictures for _, pictures in domains):
        return
    names = domains.map(lambda domain: domain[0].name)
    sides = domains.map(lambda domain: float(np.median([one.shorter_side for one in domain[1]])))
    if max(sides) > MAX_SPREAD * min(sides):
        problem = f"pictures of {names.a} are {sides.a:.0f} pixels and those of {names.b} {sides.b:.0f}"
        cure = "use sizes more alike: else being sharp is what tells the domains apart, and what is learnt"
        yield Finding("warning", "different-sizes", problem, cure)
    aspects = domains.map(lambda domain: float(np.median([one.width / one.height for one in domain[1]])))
    if max(aspects) > MAX_ASPECTS_APART * min(aspects):
        problem = f"pictures of {names.a} are {aspects.a:.2f} times as wide as high, those of {names.b}"
        cure = "give --resize shorter: squares would squash the two in different ways"
        yield Finding("warning", "different-aspects", f"{problem} {aspects.b:.2f} times", cure)


def _namesakes(domains: Pair[Domain]) -> Iterator[Finding]:
    common = common_names(domains)
    if 2 * common >= min(map(len, domains)):
        problem = f"{common} pictures of {domains.a.folder} have a namesake in {domains.b.folder}"
        yield Finding("note", "namesakes", problem, "if these are pairs, --method pix2pix learns more from them")


def _partners(train: Pair[Examined]) -> Iterator[Finding]:
    """Pairs whose pictures differ in shape."""
    shapes = train.map(lambda part: {one.path: one for one in part.facts})
    paths = train.map(lambda part: map(part.domain.path, range(len(part.domain))))
    apart = []
    for one, other in zip(*paths, strict=True):
        a, b = shapes.a.get(one), shapes.b.get(other)
        if a and b and not 1 / PAIR_ASPECTS_APART <= a.width * b.height / (a.height * b.width) <= PAIR_ASPECTS_APART:
            apart.append((a, b))
    if apart:
        problem = f"{len(apart)} pairs are of pictures of different shapes, which do not lie on each other"
        lines = tuple(" and ".join(f"{one.path}: {one.width}×{one.height}" for one in pair) for pair in apart)
        files = tuple((a.path, b.path) for a, b in apart)
        yield Finding("warning", "pair-shapes", problem, "crop both to what both show", files, lines)


def _pictures(files: Iterable[object]) -> str:
    number = sum(1 for _ in files)
    return f"{number:,} picture{'s' * (number != 1)}"


def _with_sizes(pictures: Sequence[PictureFacts]) -> tuple[tuple[tuple[Path, ...], ...], tuple[str, ...]]:
    files = tuple((one.path,) for one in pictures)
    return files, tuple(f"{one.path}: {one.width}×{one.height}" for one in pictures)
