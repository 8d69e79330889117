"""The content of ``diptych check``: findings, statistics of the domains, the config of a run, and an estimate."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress

from diptych.config import LengthConfig, SourceConfig, TrainConfig
from diptych.config_json import flatten
from diptych.data.check import Finding, check, in_order
from diptych.data.encoding import hex_colour, with_checked_ranges
from diptych.data.examine import Examined, PictureFacts, Summary, examine, summarise
from diptych.data.layouts import is_side_by_side
from diptych.data.sampling import epoch_size
from diptych.data.sources import Split, domain_names, find_split
from diptych.data.survey import survey
from diptych.data.used_values import measure, range_findings, with_measured_ranges
from diptych.device import resolve_engine
from diptych.errors import OptionError, PictureError
from diptych.pair import Pair
from diptych.presets import PRESETS
from diptych.registry import METHODS, kind_of
from diptych.training.estimate import Estimate, estimate
from diptych.training.plan.defaults import resolve, resolve_data
from diptych.training.plan.recipe import with_recipe


@dataclass(frozen=True)
class Inspection:
    """The findings about two domains, and what training would choose and need."""

    names: Pair[str]
    findings: list[Finding]
    sizes: Pair[tuple[int, int]]
    """Numbers of training and held-out pictures."""
    summaries: Pair[Summary | None]
    """Statistics of the readable pictures; None if there are none."""
    config: TrainConfig | None
    """The resolved config; None if training cannot start."""
    recipe: list[str]
    """What the recipe chose, in words."""
    estimate: Estimate | None

    @property
    def choices(self) -> list[str]:
        """The config as options, for a user."""
        if self.config is None:
            return []
        data, method = self.config.data, self.config.method
        options = f"--resize {data.resize} --load-size {data.load_size} --crop-size {data.crop_size}"
        channels = f"--channels-a {data.channels_a} --channels-b {data.channels_b}"
        ranges = zip("ab", (data.range_a, data.range_b), strict=True)
        channels += "".join(f" --range-{letter} {text}" for letter, text in ranges if text)
        remarks = method.remarks((data.channels_a or 0, data.channels_b or 0))
        return [
            f"training would choose {options} {channels} ({kind_of(method)}, {kind_of(self.config.generator)})",
            *self.recipe,
            *remarks,
        ]

    def rows(self) -> Iterator[tuple[str, Pair[str]]]:
        """The statistics as rows of a table: a name, and a value for each domain."""
        yield (
            "pictures",
            self.sizes.map(lambda size: f"{size[0]:,}" + (f" and {size[1]:,} held out" if size[1] else "")),
        )
        if not (self.summaries.a and self.summaries.b):
            return
        both = Pair(self.summaries.a, self.summaries.b)
        yield "median size", both.map(lambda one: f"{one.width:.0f}×{one.height:.0f}")
        yield "sides", both.map(lambda one: f"{one.smallest_side} to {one.largest_side} pixels")
        yield "grey", both.map(lambda one: f"{one.num_grey / one.num_pictures:.0%}")
        yield "mean colour", both.map(lambda one: hex_colour(one.colour))
        yield "luminance", both.map(lambda one: f"{one.luminance:.0%} ± {one.luminance_spread:.0%}")
        yield "saturation", both.map(lambda one: f"{one.saturation:.0%}")

    def json(self) -> dict[str, Any]:
        """The report as JSON."""
        domains = [
            {"name": name, "train": size[0], "test": size[1], "summary": summary.json() if summary else None}
            for name, size, summary in zip(self.names, self.sizes, self.summaries, strict=True)
        ]
        return {
            "findings": [finding.json() for finding in self.findings],
            "domains": dict(zip("ab", domains, strict=True)),
            "choices": flatten(self.config) if self.config else None,
            "estimate": self.estimate.json() if self.estimate else None,
        }


NO_RANGES: Pair[str | None] = Pair(None, None)


def inspect(
    source: SourceConfig,
    *,
    method: str | None = None,
    preset: str,
    with_estimate: bool,
    ranges: Pair[str | None] = NO_RANGES,
) -> Inspection:
    """Reads all pictures of ``source``. With ``with_estimate``, also runs a few updates if training can start.

    ``method`` is a kind; by default pix2pix for pictures side by side, else cyclegan. ``ranges`` are those of a
    ``DataConfig``.

    Raises:
        UserError: a folder is missing or empty, or ``source`` names no folder.
    """
    usual = "pix2pix" if source.root is not None and is_side_by_side(source.root) else "cyclegan"
    requested = replace(PRESETS[preset](METHODS.config(method or usual)()), source=source)
    data = with_checked_ranges(replace(requested.data, range_a=ranges.a, range_b=ranges.b))
    paired = requested.method.paired
    split, found = _find(source, paired=paired)
    pairs_fit = paired and all(finding.kind != "unpaired" for finding in found)
    has_range = ranges.map(lambda text: text is not None)
    train, test = _examine(split, has_range)
    config, needs, chosen = None, None, list[str]()
    try:
        read = partial(survey, skip_unreadable=True)
        surveys = train.map(lambda part, ranged: read(part.domain, has_range=ranged), has_range)
        used = measure(data, split.train)
        data = resolve_data(with_measured_ranges(data, used), surveys)
        found += range_findings(data, used)
        requested = replace(requested, data=data, engine=resolve_engine(requested.engine))
        if not with_estimate:  # the speed of this machine is not measured, so the run is as long as in the paper
            requested = replace(requested, length=LengthConfig(epochs=sum(requested.method.epochs)))
        size = epoch_size(split.train.map(len))
        choose = partial(with_recipe, epoch_size=size, report=chosen.append)
        config = resolve(requested, surveys, choose)
        data = config.data
    except PictureError as error:
        found.append(Finding("error", "nothing-to-read", error.problem, error.cure))
    except OptionError as error:
        found.append(Finding("error", "options", error.problem, error.cure))
    found += check(train, test, data=data, paired=pairs_fit)
    if with_estimate and config is not None and pairs_fit == paired:
        try:
            needs = estimate(config, split.train.map(len))
        except OptionError as error:
            found.append(Finding("error", "estimate", error.problem, error.cure))
    summaries = train.map(lambda part, held: _summary([*part.facts, *held.facts]), test)
    sizes = split.train.map(lambda part, held: (len(part), len(held)), split.test)
    return Inspection(domain_names(source), in_order(found), sizes, summaries, config, chosen, needs)


def _find(source: SourceConfig, *, paired: bool) -> tuple[Split, list[Finding]]:
    """The split, what to say about it, and an error if ``paired`` and the pictures are not pairs."""
    said: list[str] = []
    try:
        split, found = find_split(source, paired=paired, report=said.append), []
    except PictureError as error:
        if not paired:
            raise
        split, found = find_split(source), [Finding("error", "unpaired", error.problem, error.cure)]
    return split, found + [Finding("note", "layout", line, "none needed, if this is what you mean") for line in said]


def _examine(split: Split, has_range: Pair[bool]) -> tuple[Pair[Examined], Pair[Examined]]:
    parts = (*split.train, *split.test)
    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("reading", total=sum(map(len, parts)))
        a, b, test_a, test_b = (
            examine(part, has_range=ranged, advance=partial(progress.advance, task))
            for part, ranged in zip(parts, has_range * 2, strict=True)
        )
    return Pair(a, b), Pair(test_a, test_b)


def _summary(pictures: list[PictureFacts]) -> Summary | None:
    return summarise(pictures) if pictures else None
