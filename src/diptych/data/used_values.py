"""The values that the pictures of a domain really use: measured to choose their range, and to warn about it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from diptych.config import DataConfig
from diptych.data.check import Finding
from diptych.data.encoding import Array, Encoding, encodings_of, range_text
from diptych.data.files import Domain, by_hash
from diptych.data.formats.reading import open_picture
from diptych.data.survey import MAX_SURVEYED, nothing_usable
from diptych.data.transforms import half_of
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair

MAX_MEASURED = 64
"""Pictures of a domain that are read for the warnings; for a range of ``auto``, as many as the survey reads."""
ENOUGH = (256, 256)
"""A JPEG that is much larger than this is decoded at a lower resolution."""
LARGE = 1024
"""If the shorter side is at least n times this, every n-th row and column are enough."""
TAIL = 0.001
"""Fraction of the values at each end that ``auto`` leaves out, such as hot pixels."""
FEW = 32
"""At most this many different values are probably classes."""
NARROW, NOTABLE = 0.5, 0.01
"""There is a warning if at most this fraction of the range is used, or if more than this fraction is clipped."""


@dataclass(frozen=True, eq=False)
class UsedValues:
    """The values of a domain's pictures. If some have 16 bits and some 8, only those of 16 bits are counted."""

    domain: Domain
    counts: Array
    """How often each value occurs: ``(256,)`` or ``(65536,)``."""
    is_mixed: bool
    """Whether some pictures have 8 bits and some 16."""

    @property
    def limits(self) -> tuple[int, int]:
        """The 0.1st and the 99.9th percentile; of few different values, the smallest and the largest."""
        values = np.flatnonzero(self.counts)
        if len(values) > FEW:
            cumulative = self.counts.cumsum() / self.counts.sum()
            low, high = np.searchsorted(cumulative, (TAIL, 1 - TAIL))
            if low < high:
                return int(low), int(high)
        return int(values[0]), int(values[-1])

    def fraction_outside(self, low: float, high: float) -> float:
        """The fraction of the values that a range clips."""
        values = np.arange(len(self.counts))
        return float(self.counts[(values < low) | (values > high)].sum() / self.counts.sum())


def measure(data: DataConfig, domains: Pair[Domain]) -> Pair[UsedValues]:
    """Reads a sample of each domain, chosen by hash of the names; all, up to 2000, if its range is ``auto``.

    Raises:
        PictureError: no picture of a domain can be read.
    """
    numbers = Pair(data.range_a, data.range_b).map(lambda text: MAX_SURVEYED if text == "auto" else MAX_MEASURED)
    return domains.map(_measure, numbers)


def _measure(domain: Domain, number: int) -> UsedValues:
    counts: dict[int, Array] = {}
    with ThreadPoolExecutor() as pool:
        for found in pool.map(partial(_counts, domain), by_hash(domain.files)[:number]):
            counts[len(found)] = counts.get(len(found), 0) + found
    counts.pop(0, None)
    if not counts:
        raise _without_values(domain)
    return UsedValues(domain, counts[max(counts)], is_mixed=len(counts) > 1)


def _without_values(domain: Domain) -> PictureError:
    """The error for a domain of which no picture has a value."""
    try:
        with open_picture(domain.path(0)) as picture:
            picture.decode(ENOUGH)
    except PictureError as error:
        return nothing_usable(domain, error)
    return PictureError(f"all pictures in {domain.folder} are transparent", cure="give pictures with an opaque part")


def _counts(domain: Domain, file: Path) -> Array:
    """How often each value occurs in the visible parts of a picture; empty if it cannot be read or is transparent."""
    try:
        with open_picture(domain.folder / file) as picture:
            image = picture.decode(ENOUGH, columns=1 if domain.half is None else 2)
    except PictureError:  # reported by the survey or the reader
        return np.zeros(0, int)
    step = max(1, min(image.values.shape[:2]) // LARGE)
    values = half_of(image.values, domain.half)[::step, ::step]
    if image.alpha is not None:
        values = values[half_of(image.alpha, domain.half)[::step, ::step] > 0]
    return (
        np.bincount(values.reshape(-1), minlength=np.iinfo(values.dtype).max + 1) if values.size else np.zeros(0, int)
    )


def with_measured_ranges(data: DataConfig, used: Pair[UsedValues]) -> DataConfig:
    """``data`` with the ranges of ``auto`` replaced by those that are ``used``.

    Raises:
        OptionError: all values of a domain are equal.
    """

    def measured(text: str | None, one: UsedValues) -> str | None:
        low, high = one.limits
        if text == "auto" and low == high:
            problem = f"every value of {one.domain.folder} is {low}, which is no range"
            raise OptionError(problem, cure="give LOW HIGH instead of auto, or leave the range out")
        return range_text((low, high)) if text == "auto" else text

    ranges = Pair(data.range_a, data.range_b).map(measured, used)
    return replace(data, range_a=ranges.a, range_b=ranges.b)


def range_findings(data: DataConfig, used: Pair[UsedValues]) -> Iterator[Finding]:
    """What to say about the values of both domains. The ranges of ``data`` are resolved."""
    for letter, one, encoding in zip("ab", used, encodings_of(data), strict=True):
        yield from _findings(one, encoding, letter)


def _findings(used: UsedValues, encoding: Encoding, letter: str) -> Iterator[Finding]:
    name, (low, high) = used.domain.name, used.limits
    first, last = encoding.limits if encoding.has_range else (0, len(used.counts) - 1)
    option, whole = f"--range-{letter}", f"{first:g} to {last:g}"
    nearest = f"--interpolation-{letter} nearest if they are classes"
    is_few = np.count_nonzero(used.counts) <= FEW and encoding.interpolation == "bicubic"
    if encoding.has_range and used.is_mixed:
        problem = f"{name} has pictures of 8 and of 16 bits, and {option} means the values of both"
        yield Finding("warning", "mixed-depths", problem, "convert them to one depth")
    if outside := used.fraction_outside(first, last):
        problem = f"{100 * outside:.2g} % of the values of {name} lie outside of {whole} and are clipped"
        severity = "warning" if outside > NOTABLE else "note"
        yield Finding(severity, "clipped", problem, f"give a wider {option}, if they matter")  # type: ignore[arg-type]
    if low == high:
        yield Finding("warning", "one-value", f"every value of {name} is {low}", "replace its pictures")
    elif high - low <= NARROW * (last - first):
        problem = f"{name} uses only the values {low} to {high} of {whole}"
        cure = f"give {option} auto, which maps them to the whole range" + (f", and {nearest}" if is_few else "")
        yield Finding("warning", "narrow-range", problem, cure)
    elif is_few:
        problem = f"{name} has only {np.count_nonzero(used.counts)} different values"
        yield Finding("note", "few-values", problem, f"give {nearest}: other resizing mixes them")
