"""Checks pictures before training: findings, each with its files and a cure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diptych.config import DataConfig
from diptych.data.duplicate_report import Occurrence, duplicate_report
from diptych.data.examine import Examined, PictureFacts
from diptych.data.files import Domain
from diptych.data.formats import UNREAD_CURE
from diptych.data.image import ALPHA_MODES, GREY_MODES
from diptych.data.pairing import common_names, shapes_agree
from diptych.pair import Pair

Severity = Literal["error", "warning", "note"]

USUAL_MODES = GREY_MODES | ALPHA_MODES | {"P", "RGB"}
FEW_TO_TRAIN_ON = 30
"""With fewer pictures than this, the networks memorise them."""
MAX_ENLARGEMENT = 2.0
"""Largest enlargement that fills the crop without visible blur."""
SOME_FRACTION = 0.1
"""Up to this fraction of grey (or colour) pictures in a domain may be intended."""
MAX_ASPECT = 3.0
MAX_SPREAD = 4.0
"""Largest ratio between the sizes of pictures that are resized to one size."""
MAX_ASPECT_DIFFERENCE = 1.5
"""Largest ratio between the median aspect ratios of the two domains."""


@dataclass(frozen=True)
class Finding:
    """A fact about the pictures. Errors stop training, warnings predict a worse result, notes are often harmless."""

    severity: Severity
    kind: str
    """Identifier for programs, such as ``near-duplicates``."""
    problem: str
    cure: str
    files: tuple[tuple[Path, ...], ...] = ()
    """Groups of files, such as duplicates; most groups hold one file."""
    details: tuple[str, ...] = ()
    """One line per group, if the file names do not say enough."""

    def json(self) -> dict[str, Any]:
        files = [[str(path) for path in group] for group in self.files]
        texts = {"severity": self.severity, "kind": self.kind, "problem": self.problem, "cure": self.cure}
        return texts | {"files": files, "details": list(self.details)}


def check(train: Pair[Examined], test: Pair[Examined], *, data: DataConfig, paired: bool) -> list[Finding]:
    """Findings about the pictures of a run with ``data`` (its sizes resolved), errors first.

    Those about values are in ``used_values.range_findings``.
    """
    parts = (*train, *test)
    occurrences = [
        Occurrence(one, domain.domain.name, part)
        for part, domains in (("train", train), ("test", test))
        for domain in domains
        for one in domain.facts
    ]
    pictures = {one.picture.path: one.picture for one in occurrences}
    domains = train.map(lambda part, held: (part.domain, [*part.facts, *held.facts]), test)
    found = [
        *_unreadable(parts),
        *_unsupported_formats(parts),
        *_kinds(list(pictures.values())),
        *chain.from_iterable(_few(part.domain) for part in train),
        *chain.from_iterable(_colours(*domain, letter) for domain, letter in zip(domains, "ab", strict=True)),
        *chain.from_iterable(_sizes(*domain, data.crop_size or 0) for domain in domains),
        *_differences(domains),
        *(Finding("warning", *one) for one in duplicate_report(occurrences, paired=paired)),
        *(_partners([train, test]) if paired else _same_names(train.map(lambda part: part.domain))),
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
            "replace or remove them, or pass --skip-unreadable to train",
            tuple((path,) for path in errors),
            tuple(map(str, errors.values())),
        )


def _unsupported_formats(parts: Sequence[Examined]) -> Iterator[Finding]:
    for problem in dict.fromkeys(part.domain.unread for part in parts):
        if problem:
            yield Finding("warning", "unsupported-format", problem, UNREAD_CURE)


def _kinds(pictures: Sequence[PictureFacts]) -> Iterator[Finding]:
    """Findings about file formats and the conversions on reading."""

    def matching(
        severity: Severity,
        kind: str,
        what: str,
        cure: str,
        predicate: Callable[[PictureFacts], bool],
        line: str = "{path}",
    ) -> Iterator[Finding]:
        found = [one for one in pictures if predicate(one)]
        if found:
            lines = tuple(line.format(path=one.path, one=one) for one in found)
            yield Finding(
                severity, kind, f"{_pictures(found)} {what}", cure, tuple((one.path,) for one in found), lines
            )

    is_mixed = any(one.num_bits <= 8 for one in pictures)
    yield from matching(
        "warning", "mode", "in an unusual mode: colours are converted without a colour profile and may be wrong",
        "convert them to RGB with the software that made them", lambda one: one.mode not in USUAL_MODES,
        "{path}: {one.mode}",
    )  # fmt: skip
    yield from matching(
        "note", "16-bit", "with 16 bits per channel, beside others with 8",
        "none needed if both use the same range of brightness", lambda one: is_mixed and one.num_bits > 8,
    )  # fmt: skip
    yield from matching(
        "note", "transparency", "with transparent parts: these become white",
        "replace the transparency by another background if you want one", lambda one: one.is_transparent,
    )  # fmt: skip
    yield from matching(
        "note", "animated", "with several frames: the first is used",
        "save the frames that you want as pictures", lambda one: one.num_frames > 1, "{path}: {one.num_frames} frames",
    )  # fmt: skip
    yield from matching(
        "note", "rotated", "stored rotated or mirrored: they are turned upright, by their EXIF orientation",
        "none needed, unless they look wrong in a viewer", lambda one: one.is_rotated,
    )  # fmt: skip


def _few(domain: Domain) -> Iterator[Finding]:
    if len(domain) < FEW_TO_TRAIN_ON:
        problem = f"{domain.folder} has only {_pictures(domain.files)} to train on: the networks will memorise them"
        yield Finding("warning", "few", problem, "collect more, if possible several hundred")


def _colours(domain: Domain, pictures: Sequence[PictureFacts], letter: str) -> Iterator[Finding]:
    grey = [one for one in pictures if one.is_grey]
    colour = [one for one in pictures if not one.is_grey]
    if grey and colour:
        few, kind, others = (grey, "grey", "colour") if len(grey) <= len(colour) else (colour, "colour", "grey")
        problem = f"{domain.name} mixes {_pictures(few)} in {kind} with {len(pictures) - len(few)} in {others}"
        cure = f"remove them, or convert all to grey with --channels-{letter} 1"
        severity: Severity = "warning" if len(few) > SOME_FRACTION * len(pictures) else "note"
        yield Finding(severity, "mixed-grey", problem, cure, tuple((one.path,) for one in few))
    elif grey and any(one.mode not in GREY_MODES for one in grey):
        problem = f"all pictures of {domain.name} are grey, but stored as colour"
        yield Finding("note", "grey-as-colour", problem, f"give --channels-{letter} 1, which is easier to learn")


def _sizes(domain: Domain, pictures: Sequence[PictureFacts], crop_size: int) -> Iterator[Finding]:
    small = [one for one in pictures if one.shorter_side * MAX_ENLARGEMENT < crop_size]
    if small:
        problem = f"{_pictures(small)} of {domain.name} too small for crops of {crop_size} pixels: enlarging blurs them"
        cure = "replace or remove them, or give a smaller --crop-size"
        yield Finding("warning", "small", problem, cure, *_with_sizes(small))
    long = [one for one in pictures if max(one.width, one.height) > MAX_ASPECT * one.shorter_side]
    if long:
        problem = f"{_pictures(long)} of {domain.name} more than {MAX_ASPECT:g} times as long as wide"
        cure = "crop or remove them, or give --resize shorter, which keeps the aspect ratio"
        yield Finding("warning", "aspect", problem, cure, *_with_sizes(long))
    usual = [one for one in pictures if one.shorter_side * MAX_ENLARGEMENT >= crop_size]
    low, high = np.percentile([one.shorter_side for one in usual], (5, 95)) if usual else (1, 1)
    if high > MAX_SPREAD * low:
        problem = f"the sizes of {domain.name} range from {low:.0f} to {high:.0f} pixels, so objects may vary in scale"
        yield Finding("note", "uneven-sizes", problem, "none needed, unless the scale of objects should be equal")


def _differences(domains: Pair[tuple[Domain, list[PictureFacts]]]) -> Iterator[Finding]:
    """Differences between the medians of the two domains."""
    if not all(pictures for _, pictures in domains):
        return
    names = domains.map(lambda domain: domain[0].name)
    sides = domains.map(lambda domain: float(np.median([one.shorter_side for one in domain[1]])))
    if max(sides) > MAX_SPREAD * min(sides):
        problem = f"the median size is {sides.a:.0f} pixels in {names.a} and {sides.b:.0f} in {names.b}"
        cure = "use more similar sizes: otherwise the networks learn the difference in sharpness"
        yield Finding("warning", "different-sizes", problem, cure)
    aspects = domains.map(lambda domain: float(np.median([one.width / one.height for one in domain[1]])))
    if max(aspects) > MAX_ASPECT_DIFFERENCE * min(aspects):
        problem = f"pictures of {names.a} are {aspects.a:.2f} times as wide as high, those of {names.b}"
        cure = "give --resize shorter: squares would distort the two domains differently"
        yield Finding("warning", "different-aspects", f"{problem} {aspects.b:.2f} times", cure)


def _same_names(domains: Pair[Domain]) -> Iterator[Finding]:
    common = common_names(domains)
    if 2 * common >= min(map(len, domains)):
        problem = f"{common} pictures of {domains.a.folder} have the name of a picture in {domains.b.folder}"
        yield Finding("note", "same-names", problem, "if these are pairs, use --method pix2pix: it learns more")


def _partners(parts: Sequence[Pair[Examined]]) -> Iterator[Finding]:
    """Pairs whose pictures differ in aspect ratio."""
    apart = []
    for part in parts:
        facts = part.map(lambda domain: {one.path: one for one in domain.facts})
        for index in range(len(part.a.domain)):
            a, b = part.map(lambda domain, known, index=index: known.get(domain.domain.path(index)), facts)
            if a and b and not shapes_agree((a.width, a.height), (b.width, b.height)):
                apart.append((a, b))
    if apart:
        problem = f"{len(apart)} pairs have different aspect ratios, so their pictures do not align"
        lines = tuple(" and ".join(f"{one.path}: {one.width}×{one.height}" for one in pair) for pair in apart)
        files = tuple((a.path, b.path) for a, b in apart)
        cure = "crop both pictures to the area that both show, or pass --skip-unreadable to train"
        yield Finding("error", "pair-shapes", problem, cure, files, lines)


def _pictures(files: Iterable[object]) -> str:
    number = sum(1 for _ in files)
    return f"{number:,} picture{'s' * (number != 1)}"


def _with_sizes(pictures: Sequence[PictureFacts]) -> tuple[tuple[tuple[Path, ...], ...], tuple[str, ...]]:
    files = tuple((one.path,) for one in pictures)
    return files, tuple(f"{one.path}: {one.width}×{one.height}" for one in pictures)
