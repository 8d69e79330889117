"""The values that the pictures of a domain really use: measured to choose their range, and to warn about it."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diptych.config import DataConfig, ValueType
from diptych.data.check import Finding
from diptych.data.colour import unconverted_profile
from diptych.data.encoding import RGB, TYPES, UNSIGNED, Array, Encoding, encodings_of, range_text
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
MAX_VALUES = 10_000
"""Values of a picture that are counted, if they have a type of more than 16 bits, or may be negative."""
TAIL = 0.001
"""Fraction of the values at each end that ``auto`` leaves out, such as hot pixels."""
FEW = 32
"""At most this many different values are probably classes."""
NARROW, NOTABLE = 0.5, 0.01
"""There is a warning if at most this fraction of the range is used, or if more than this fraction is clipped."""


@dataclass(frozen=True, eq=False)
class UsedValues:
    """The values of a domain's pictures. If the pictures have several types, only those of the deepest are counted."""

    domain: Domain
    dtype: ValueType
    values: Array
    """The different values, sorted."""
    counts: Array
    """How often each occurs."""
    is_mixed: bool
    """Whether the pictures have several types."""
    profiles: Counter[str]
    """How many pictures have each colour profile that is not converted, by its name; all others under an empty name."""

    @property
    def limits(self) -> tuple[float, float]:
        """The 0.1st and the 99.9th percentile; of few different values, the smallest and the largest."""
        low, high = self.values[0], self.values[-1]
        if len(self.values) > FEW:
            cumulative = self.counts.cumsum() / self.counts.sum()
            first, last = self.values[np.searchsorted(cumulative, (TAIL, 1 - TAIL))]
            low, high = (first, last) if first < last else (low, high)
        return low.item(), high.item()

    def fraction_outside(self, low: float, high: float) -> float:
        """The fraction of the values that a range clips."""
        return float(self.counts[(self.values < low) | (self.values > high)].sum() / self.counts.sum())


def measure(data: DataConfig, domains: Pair[Domain]) -> Pair[UsedValues]:
    """Reads a sample of each domain, chosen by hash of the names; all, up to 2000, if its range is ``auto``.

    Raises:
        PictureError: no picture of a domain can be read.
    """
    numbers = Pair(data.range_a, data.range_b).map(lambda text: MAX_SURVEYED if text == "auto" else MAX_MEASURED)
    has_range = Pair(data.range_a is not None, data.range_b is not None)
    return domains.map(_measure, numbers, Pair(data.channels_a, data.channels_b), has_range)


def _measure(domain: Domain, number: int, bands: int | None, has_range: bool) -> UsedValues:
    counts: dict[ValueType, Array] = {}
    values: dict[ValueType, list[Array]] = {}
    profiles = Counter[str]()
    with ThreadPoolExecutor() as pool:
        for sample in pool.map(partial(_sample, domain, bands=bands), by_hash(domain.files)[:number]):
            if sample is None:
                continue
            profiles[sample.profile] += 1
            if sample.dtype in UNSIGNED:
                counts[sample.dtype] = counts.get(sample.dtype, 0) + sample.values
            else:
                values.setdefault(sample.dtype, []).append(sample.values)
    if not counts and not values:
        raise _without_values(domain)
    if counts and not has_range:  # the others are unreadable
        values = {}
    deepest = max([*counts, *values], key=TYPES.index)
    if deepest in counts:
        used = np.flatnonzero(counts[deepest])
        found, number_of = used, counts[deepest][used]
    else:
        found, number_of = np.unique(np.concatenate(values[deepest]), return_counts=True)
    return UsedValues(domain, deepest, found, number_of, len(counts) + len(values) > 1, profiles)


def _without_values(domain: Domain) -> PictureError:
    """The error for a domain of which no picture has a value."""
    try:
        with open_picture(domain.path(0)) as picture:
            picture.decode(ENOUGH)
    except PictureError as error:
        return nothing_usable(domain, error)
    problem = f"all pictures in {domain.folder} are transparent, or have no data"
    return PictureError(problem, cure="give pictures with an opaque part")


class Sample(NamedTuple):
    """The values that one picture uses, and its colour profile if it is not converted."""

    dtype: ValueType
    profile: str
    values: Array
    """Of uint8 and uint16, how often each value occurs; else some of the values."""


def _sample(domain: Domain, file: Path, *, bands: int | None) -> Sample | None:
    """The values in the visible parts of a picture that have data; None if there are none, or it cannot be read."""
    try:
        with open_picture(domain.folder / file) as picture:
            image = picture.decode(ENOUGH, columns=1 if domain.half is None else 2, bands=bands)
    except PictureError:  # reported by the survey or the reader
        return None
    step = max(1, min(image.values.shape[:2]) // LARGE)
    image = image.map(lambda array: half_of(array, domain.half)[::step, ::step])
    is_used = np.ones(image.values.shape, bool) if image.missing is None else ~image.missing
    if image.alpha is not None:
        is_used &= image.alpha[:, :, None] > 0
    values, encoding = image.values[is_used], image.encoding
    if not values.size:
        return None
    if encoding.needs_range:
        values = values[:: max(1, len(values) // MAX_VALUES)]
    else:
        values = np.bincount(values, minlength=encoding.peak + 1)
    return Sample(encoding.dtype, unconverted_profile(image, encoding), values)


def with_measured_ranges(data: DataConfig, used: Pair[UsedValues]) -> DataConfig:
    """``data`` with the ranges of ``auto`` replaced by those that are ``used``, and with the types of the files.

    Raises:
        OptionError: all values of a domain are equal, or have a type that needs a range, without one.
    """

    def measured(text: str | None, one: UsedValues, letter: str) -> str | None:
        low, high = one.limits
        if text is None and one.dtype not in UNSIGNED:
            problem = f"{one.domain.folder} holds {one.dtype}, which has no range of brightness of its own"
            raise OptionError(problem, cure=f"give --range-{letter} auto, which measures it, or LOW HIGH")
        if text == "auto" and low == high:
            problem = f"every value of {one.domain.folder} is {low:g}, which is no range"
            raise OptionError(problem, cure="give LOW HIGH instead of auto, or leave the range out")
        return range_text((low, high)) if text == "auto" else text

    ranges = Pair(data.range_a, data.range_b).map(measured, used, Pair("a", "b"))
    types = Pair(data.type_a or used.a.dtype, data.type_b or used.b.dtype)
    return replace(data, range_a=ranges.a, range_b=ranges.b, type_a=types.a, type_b=types.b)


def range_findings(data: DataConfig, used: Pair[UsedValues]) -> Iterator[Finding]:
    """What to say about the values of both domains. The ranges of ``data`` are resolved."""
    for letter, one, encoding in zip("ab", used, encodings_of(data), strict=True):
        yield from _findings(one, encoding, letter)


def _findings(used: UsedValues, encoding: Encoding, letter: str) -> Iterator[Finding]:
    name, (low, high) = used.domain.name, used.limits
    first, last = encoding.limits if encoding.has_range else (0, np.iinfo(used.dtype).max)
    option, whole = f"--range-{letter}", f"{first:g} to {last:g}"
    nearest = f"--interpolation-{letter} nearest if they are classes"
    is_few = len(used.values) <= FEW and encoding.interpolation == "bicubic"
    if encoding.has_range and used.is_mixed:
        problem = f"{name} has pictures of several types, such as 8 and 16 bits, and {option} means the values of all"
        yield Finding("warning", "mixed-depths", problem, "convert them to one type")
    if outside := used.fraction_outside(first, last):
        problem = f"{100 * outside:.2g} % of the values of {name} lie outside of {whole} and are clipped"
        severity = "warning" if outside > NOTABLE else "note"
        yield Finding(severity, "clipped", problem, f"give a wider {option}, if they matter")  # type: ignore[arg-type]
    if len(used.profiles) > 1:
        listed = ", ".join(
            f"{number} with {profile or 'none or sRGB'}" for profile, number in used.profiles.most_common()
        )
        problem = f"{name} has pictures of several colour profiles that are not converted: {listed}"
        yield Finding("warning", "mixed-profiles", problem, "convert them to one profile, such as sRGB")
    if low == high:
        yield Finding("warning", "one-value", f"every value of {name} is {low:g}", "replace its pictures")
    elif high - low <= NARROW * (last - first):
        problem = f"{name} uses only the values {low:g} to {high:g} of {whole}"
        cure = f"give {option} auto, which maps them to the whole range" + (f", and {nearest}" if is_few else "")
        if encoding.channels == RGB and used.dtype == "uint8" and not is_few:
            cure = f"none needed for photographs and stained tissue; for measurements, {cure}"
        yield Finding("warning", "narrow-range", problem, cure)
    elif is_few:
        problem = f"{name} has only {len(used.values)} different values"
        yield Finding("note", "few-values", problem, f"give {nearest}: other resizing mixes them")
