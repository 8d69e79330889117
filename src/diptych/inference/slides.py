"""Translates slides: read and written a part at a time; an interrupted translation goes on where it stopped."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from diptych.data.encoding import UNSIGNED, Array, Encoding
from diptych.data.formats.pyramid import RawImage, write_pyramid
from diptych.data.formats.slide import Slide, open_slide
from diptych.data.image import filled
from diptych.data.metadata import Metadata
from diptych.data.nodata import in_type
from diptych.errors import OptionError, PictureError, disk_errors
from diptych.inference.forward import TorchForward
from diptych.inference.slide_progress import Progress
from diptych.inference.tiled_translation import TiledTranslation
from diptych.inference.translator import Translator
from diptych.networks.windows import Area, Span

SCALE_TOLERANCE = 0.1
"""A slide is resampled if its scale differs from that of training by more than this fraction."""
MARGIN = 4
"""Pixels of the result around an area that resampling it needs."""
LEAVE_OUT = "leave --skip-background out"
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
        return in_type(np.stack(planes, 2), values.dtype)


def at_scale(slide: Slide, trained: float | None, given: float | None) -> Scaled:
    """``slide`` at the scale of training, ``trained`` micrometres per pixel; at its own if either is unknown, or if it
    is georeferenced.

    Raises:
        PictureError: the slide is coarser than that.
    """
    mpp, (height, width) = slide.mpp or given, slide.size
    if slide.is_georeferenced:
        return Scaled(slide, 0, 1.0, height, width, None)
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
        if slide.is_georeferenced and options.mpp:
            report(f"{source} is georeferenced, so --mpp has no effect")
        if name := slide.metadata.profile_name:  # programs that cut slides into pictures to train on drop the profile
            report(f"{source} has the colour profile {name}: values are not converted")
        if slide.metadata.lost:
            report(f"{target}: TIFF files do not keep {', '.join(slide.metadata.lost)}")
        scaled = at_scale(slide, translator.card.data.mpp, options.mpp)
        keep = (lambda area: not _is_background(scaled, area)) if options.skip_background else (lambda _: True)

        def read(area: Area) -> Array:
            return filled(slide.picture(scaled.read(area)), translator.encoding_in)

        tiled = TiledTranslation(translator, scaled.height, scaled.width, read, slide.encoding, keep=keep, check=check)
        if options.skip_background:
            if slide.encoding.dtype not in UNSIGNED:
                raise OptionError(f"{source} holds {slide.encoding.dtype}, which has no white", cure=LEAVE_OUT)
            if tiled.encoding != slide.encoding:
                raise OptionError(
                    "background is copied, and the two domains store values differently",
                    cure=LEAVE_OUT,
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
            has_nothing = slide.metadata.nodata is not None or slide.encoding.needs_range
            picture = slide.picture(scaled.read(area)) if has_nothing else None
            raw.write(*area.slices, values if picture is None else picture.translated(values).values)
            progress.add("done", [area.rows.start, area.columns.start])

        for area in tiled.skipped:
            raw.write(*area.slices, scaled.read(area))
        tiled.run(
            write, known=progress.statistics, is_done=progress.has, remember=progress.add_statistics, report=report
        )
        write_pyramid(target, raw, mpp=scaled.mpp, metadata=_metadata(slide, tiled.encoding))
        raw.path.unlink()
        progress.path.unlink()


def _metadata(slide: Slide, encoding: Encoding) -> Metadata:
    """What a translation with ``encoding`` keeps."""
    is_alike = encoding.channels == slide.encoding.channels
    return slide.metadata if is_alike else slide.metadata.of_other_channels(encoding.channels)


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
