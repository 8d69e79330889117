"""Translates slides: read and written a part at a time; an interrupted translation goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diptych.data.encoding import Array
from diptych.data.formats.pyramid import RawImage, write_pyramid
from diptych.data.formats.slide import Slide, open_slide
from diptych.errors import OptionError, PictureError, disk_errors
from diptych.inference.forward import TorchForward
from diptych.inference.tiled_translation import TiledTranslation
from diptych.inference.translator import Translator
from diptych.networks.window_program import Statistics
from diptych.networks.windows import Area, Span

SCALE_TOLERANCE = 0.1
"""A slide is resampled if its scale differs from that of training by more than this fraction."""
MARGIN = 4
"""Pixels of the result around an area that resampling it needs."""
BACKGROUND_LEVEL, BACKGROUND_FRACTION = 0.86, 0.995
"""A pixel is background if each channel is above this fraction of white; a tile if this fraction of its pixels is."""


@dataclass(frozen=True)
class SlideOptions:
    """How slides are translated."""

    mpp: float | None = None
    """Micrometres per pixel of slides whose files do not say it."""
    skip_background: bool = False
    """Copy tiles that are nearly white instead of translating them."""


@dataclass(frozen=True)
class Scaled:
    """A level of a slide, resampled by ``factor`` (at most 1) to ``height`` × ``width`` pixels."""

    slide: Slide
    level: int
    factor: float
    height: int
    width: int
    mpp: float | None

    def read(self, area: Area) -> Array:
        """``(h, w, C)``."""
        if self.factor == 1:
            return self.slide.read(*area.slices, self.level)
        height, width = self.slide.levels[self.level].size
        scale = (height / self.height, width / self.width)
        spans = list(zip(area, scale, (height, width), strict=True))
        slices = [
            slice(max(0, int((s.start - MARGIN) * k)), min(n, int((s.stop + MARGIN) * k) + 1)) for s, k, n in spans
        ]
        values = self.slide.read(slices[0], slices[1], self.level)
        (top, bottom), (left, right) = (
            (s.start * k - part.start, s.stop * k - part.start) for (s, k, _), part in zip(spans, slices, strict=True)
        )
        size = (area.columns.length, area.rows.length)
        planes = [
            np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC, box=(left, top, right, bottom)))
            for plane in np.moveaxis(values.astype(np.float32), 2, 0)
        ]
        return np.rint(np.stack(planes, 2)).clip(0, np.iinfo(values.dtype).max).astype(values.dtype)  # type: ignore[no-any-return]


def at_scale(slide: Slide, trained: float | None, given: float | None) -> Scaled:
    """``slide`` at the scale of training, ``trained`` micrometres per pixel; at its own if either is unknown.

    Raises:
        PictureError: the slide is coarser than that.
    """
    mpp, (height, width) = slide.mpp or given, slide.size
    if mpp is None or trained is None or abs(mpp / trained - 1) <= SCALE_TOLERANCE:
        return Scaled(slide, 0, 1.0, height, width, mpp)
    if mpp > trained:
        problem = f"{slide.path} has {mpp:.3g} µm per pixel, and the model was trained at {trained:.3g}"
        raise PictureError(problem, cure="give a finer scan")
    wanted = (round(height * mpp / trained), round(width * mpp / trained))
    level = max(n for n, each in enumerate(slide.levels) if each.size[0] >= wanted[0] * (1 - SCALE_TOLERANCE / 2))
    if abs(slide.levels[level].size[0] / wanted[0] - 1) <= SCALE_TOLERANCE / 2:
        wanted = slide.levels[level].size
        return Scaled(slide, level, 1.0, *wanted, mpp * height / wanted[0])
    return Scaled(slide, level, wanted[0] / slide.levels[level].size[0], *wanted, trained)


def translate_slide(
    translator: Translator,
    source: Path,
    target: Path,
    options: SlideOptions = SlideOptions(),
    *,
    report: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Translates the slide ``source`` to a pyramidal TIFF ``target``: OME-TIFF if its name ends in ``.ome.tif``.

    ``stop`` is asked before each tile. Finished tiles are in ``.NAME.partial`` beside ``target``, and
    ``.NAME.progress`` says which they are.

    Raises:
        PictureError: ``source`` cannot be read in parts, or is coarser than the pictures of training; or ``stop``.
        OptionError: ``target`` is no TIFF, or the network cannot be computed by tiles.
        UserError: the disk is full.
    """
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise PictureError(f"{source} is a slide, and {target} is no TIFF", cure="give a name that ends in .ome.tif")

    def check() -> None:
        if stop():
            raise PictureError(f"{source} was stopped", cure="start it again: it goes on")

    with open_slide(source) as slide, disk_errors(target):
        if slide.is_georeferenced:
            report(f"{source} is georeferenced: its translation is not")
        scaled = at_scale(slide, translator.card.data.mpp, options.mpp)
        keep = (lambda area: not _is_background(scaled, area)) if options.skip_background else (lambda _: True)
        tiled = TiledTranslation(
            translator, scaled.height, scaled.width, scaled.read, slide.encoding, keep=keep, check=check
        )
        if options.skip_background:
            if tiled.encoding != slide.encoding:
                raise OptionError(
                    "background is copied, and the two domains store values differently",
                    cure="leave --skip-background out",
                )
            report(f"{source}: {len(tiled.skipped)} of {len(tiled.skipped) + len(tiled.cores)} tiles are background")
        shape = (scaled.height, scaled.width, tiled.encoding.channels)
        raw = RawImage(target.with_name(f".{target.name}.partial"), shape, tiled.encoding.dtype)
        progress = Progress(target.with_name(f".{target.name}.progress"), _identity(translator, source, tiled, options))
        if progress.is_new or not raw.path.exists():
            raw.create()
            progress.restart()
        elif progress.done:
            report(f"{target}: {len(progress.done)} of {len(tiled.cores)} tiles are there from an earlier run")

        def write(area: Area, values: Array) -> None:
            raw.write(*area.slices, values)
            progress.add("done", [area.rows.start, area.columns.start])

        for area in tiled.skipped:
            raw.write(*area.slices, scaled.read(area))
        tiled.run(
            write, known=progress.statistics, is_done=progress.has, remember=progress.add_statistics, report=report
        )
        write_pyramid(target, raw, mpp=scaled.mpp)
        raw.path.unlink()
        progress.path.unlink()


class Progress:
    """What of a slide is done, in a file of JSON lines. A line that was cut off is ignored."""

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, identity
        self.statistics: list[Statistics] = []
        self.done: set[tuple[int, int]] = set()
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.is_new = not lines or _parsed(lines[0]) != identity
        for line in [] if self.is_new else lines[1:]:
            entry = _parsed(line)
            if "done" in entry:
                self.done.add((entry["done"][0], entry["done"][1]))
            elif "statistics" in entry:
                self.statistics.append(Statistics(*(torch.tensor(e, dtype=torch.float64) for e in entry["statistics"])))

    def restart(self) -> None:
        """Forgets what an earlier run did."""
        self.statistics, self.done = [], set()
        self.path.write_text(json.dumps(self.identity) + "\n", "utf-8")

    def add(self, name: str, value: object) -> None:
        """Appends a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: value}) + "\n")

    def add_statistics(self, statistics: Sequence[Statistics]) -> None:
        """Appends the last of ``statistics``."""
        self.add("statistics", [each.tolist() for each in statistics[-1]])

    def has(self, area: Area) -> bool:
        """Whether ``area`` of the picture is done."""
        return (area.rows.start, area.columns.start) in self.done


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return entry


def _identity(translator: Translator, source: Path, tiled: TiledTranslation, options: SlideOptions) -> dict[str, Any]:
    """What the tiles of an earlier run depend on."""
    forward, stat = translator.forward, source.stat()
    assert isinstance(forward, TorchForward)
    weights = hashlib.sha256()
    for value in forward.network.state_dict().values():
        weights.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return {
        "source": [str(source.resolve()), stat.st_size, stat.st_mtime_ns],
        "weights": weights.hexdigest(),
        "direction": translator.direction,
        "precision": forward.bytes_per_value,
        "side": tiled.side,
        "sample": len(tiled.sample),
        "mpp": options.mpp,
        "skip_background": options.skip_background,
    }


def _is_background(scaled: Scaled, area: Area) -> bool:
    """Whether an area is nearly white, judged at the coarsest level where it still has some pixels."""
    levels, (height, width) = scaled.slide.levels, (scaled.height, scaled.width)
    number = max(n for n, each in enumerate(levels) if n == 0 or each.size[0] * 16 >= height)
    rows, columns = (
        Span(s.start * n // size, max(s.start * n // size + 1, s.stop * n // size), n)
        for s, n, size in zip(area, levels[number].size, (height, width), strict=True)
    )
    values = scaled.slide.read(slice(*rows[:2]), slice(*columns[:2]), number)
    limit = BACKGROUND_LEVEL * np.iinfo(values.dtype).max
    return bool((values.min(2) >= limit).mean() >= BACKGROUND_FRACTION)
