"""Translates slides: read and written a part at a time; an interrupted translation goes on where it stopped."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diptych.data.archive import size_and_time
from diptych.data.encoding import UNSIGNED, Array, Encoding
from diptych.data.formats.pyramid import RawImage, write_pyramid
from diptych.data.formats.slide import open_slide
from diptych.data.formats.slide_interface import Slide
from diptych.data.formats.slide_parts import parts_of
from diptych.data.image import DecodedImage, filled
from diptych.data.metadata import Metadata
from diptych.errors import OptionError, PictureError, disk_errors
from diptych.inference.forward import TorchForward
from diptych.inference.slide_progress import Progress
from diptych.inference.slide_scale import ScaledSlide, at_scale
from diptych.inference.tiled_translation import TiledTranslation
from diptych.inference.translator import Translator
from diptych.networks.window_program import Statistics
from diptych.networks.windows import Area, Span

LEAVE_OUT = "leave --skip-background out"
BACKGROUND_LEVEL, BACKGROUND_FRACTION = 0.86, 0.995
"""A pixel is background if each channel is above this fraction of white; an area if this fraction of its pixels is."""
BLOCK = 64
"""Side in pixels of the areas that ``skip_background`` copies in tiles that are translated."""
REPORT_SECONDS = 30.0


@dataclass(frozen=True)
class SlideOptions:
    """How slides are translated."""

    mpp: float | None = None
    """Micrometres per pixel of slides whose files do not say it."""
    skip_background: bool = False
    """Copy what is nearly white instead of translating it: whole tiles, and blocks of 64 pixels in others."""


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
        PictureError: ``target`` is no TIFF; ``source`` cannot be read in parts, or is coarser than the pictures of
            training; or ``stop``.
        OptionError: the network cannot be computed by tiles, or the background cannot be copied.
        UserError: the disk is full.
    """
    if target.suffix.lower() not in (".tif", ".tiff"):
        raise PictureError(f"{source} is a slide, and {target} is no TIFF", cure="give a name that ends in .ome.tif")

    def check() -> None:
        if stop():
            raise PictureError(f"{source} was stopped", cure="run the same command again: it continues")

    with open_slide(source) as slide, disk_errors(target):
        scaled = at_scale(slide, translator.card.data.mpp, options.mpp)
        for note in _notes(scaled, target, translator.card.data.mpp, options):
            report(note)

        def keep(area: Area) -> bool:
            return _is_scanned(scaled, area) and not (options.skip_background and _is_background(scaled, area))

        def read(area: Area) -> Array:
            return filled(slide.picture(scaled.read(area)), translator.encoding_in)

        tiled = TiledTranslation(translator, scaled.height, scaled.width, read, slide.encoding, keep=keep, check=check)
        is_alike = tiled.encoding == slide.encoding
        if options.skip_background:
            _check_background(slide, is_alike=is_alike)
            report(f"{source}: {len(tiled.skipped)} of {len(tiled.skipped) + len(tiled.cores)} tiles are background")
        shape = (scaled.height, scaled.width, tiled.encoding.channels)
        fill = slide.background if is_alike else ()
        raw = RawImage(target.with_name(f".{target.name}.partial"), shape, tiled.encoding.dtype, fill)
        progress = Progress(target.with_name(f".{target.name}.progress"), _identity(translator, source, tiled, options))
        if progress.is_new or not raw.path.exists():
            raw.create()
            progress.restart()
        elif progress.done:
            report(f"{target}: {len(progress.done)} of {len(tiled.cores)} tiles are there from an earlier run")

        may_miss = slide.has_gaps or slide.metadata.nodata is not None or slide.encoding.needs_range

        reported, num_tiles = time.monotonic(), len(progress.done)

        def tell(words: str) -> None:
            nonlocal reported
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                report(f"{source}: {words}")

        def remember(statistics: Sequence[Statistics]) -> None:
            progress.add_statistics(statistics)
            tell(f"statistics of {len(statistics)} of {tiled.num_norms} norms")

        def write(area: Area, values: Array) -> None:
            nonlocal num_tiles
            if options.skip_background:
                values = _with_background(values, _picture(scaled, area).values)
            raw.write(*area.slices, _picture(scaled, area).translated(values).values if may_miss else values)
            progress.add("done", [area.rows.start, area.columns.start])
            num_tiles += 1
            tell(f"{num_tiles} of {len(tiled.cores)} tiles")

        for area in tiled.skipped:
            copied = _picture(scaled, area)
            nothing = np.zeros((*copied.values.shape[:2], shape[2]), raw.dtype)
            values = copied.values if is_alike else copied.translated(nothing).values
            if not raw.is_blank(values):
                raw.write(*area.slices, values)
        tiled.run(write, known=progress.statistics, is_done=progress.has, remember=remember, report=report)
        write_pyramid(target, raw, mpp=scaled.mpp, metadata=_metadata(slide, tiled.encoding))
        raw.path.unlink()
        progress.path.unlink()


def _picture(scaled: ScaledSlide, area: Area) -> DecodedImage:
    """An area, which knows where there is no data, or nothing was scanned."""
    picture = scaled.slide.picture(scaled.read(area))
    if not scaled.slide.has_gaps:
        return picture
    return picture._replace(missing=np.broadcast_to(~scaled.scanned(area)[:, :, None], picture.values.shape))


def _check_background(slide: Slide, *, is_alike: bool) -> None:
    """Refuses ``--skip-background`` where there is none; ``is_alike``: translations have type and range of the slide.

    Raises:
        OptionError: it has no white, or its values cannot be copied.
    """
    if slide.encoding.dtype not in UNSIGNED:
        problem = f"--skip-background needs 8 or 16 bits without sign, and {slide.path} holds {slide.encoding.dtype}"
        raise OptionError(problem, cure=LEAVE_OUT)
    if not is_alike:
        problem = "--skip-background copies values, and translations have another type, range or channels"
        raise OptionError(problem, cure=LEAVE_OUT)


def _notes(scaled: ScaledSlide, target: Path, trained: float | None, options: SlideOptions) -> Iterator[str]:
    """What a user should know of a slide, before it is translated; ``trained``: micrometres per pixel in training."""
    slide = scaled.slide
    if slide.is_georeferenced and options.mpp:
        yield f"{slide.path} is georeferenced, so --mpp has no effect"
    if trained and scaled.mpp is None and not slide.is_georeferenced:
        yield f"{slide.path} does not say its micrometres per pixel, so it is not resampled: give --mpp"
    if name := slide.metadata.profile_name:  # programs that cut slides into pictures to train on drop the profile
        yield f"{slide.path} has the colour profile {name}: values are not converted"
    if slide.metadata.lost:
        yield f"{target}: TIFF files do not keep {', '.join(slide.metadata.lost)}"
    if slide.gaps:
        yield f"{slide.path}: {slide.gaps}; this is not translated"


def _metadata(slide: Slide, encoding: Encoding) -> Metadata:
    """What a translation with ``encoding`` keeps."""
    is_alike = encoding.channels == slide.encoding.channels
    return slide.metadata if is_alike else slide.metadata.of_other_channels(encoding.channels)


def _identity(translator: Translator, source: Path, tiled: TiledTranslation, options: SlideOptions) -> dict[str, Any]:
    """What the tiles of an earlier run depend on."""
    forward, files = translator.forward, [source, *parts_of(source)]
    assert isinstance(forward, TorchForward)
    weights = hashlib.sha256()
    for value in forward.network.state_dict().values():
        weights.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return {
        "source": [[str(file.resolve()), *size_and_time(file)] for file in files],
        "weights": weights.hexdigest(),
        "direction": translator.direction,
        "precision": forward.bytes_per_value,
        "side": tiled.side,
        "sample": len(tiled.sample),
        "mpp": options.mpp,
        "skip_background": options.skip_background,
    }


def _is_scanned(scaled: ScaledSlide, area: Area) -> bool:
    """Whether any pixel of an area was scanned."""
    if not scaled.slide.has_gaps:
        return True
    spans = (Span((s.start + s.stop) // 2, (s.start + s.stop) // 2 + 1, s.size) for s in area)
    return bool(scaled.scanned(Area(*spans)).any() or scaled.scanned(area).any())  # one pixel is read faster


def _is_background(scaled: ScaledSlide, area: Area) -> bool:
    """Whether an area is nearly white."""
    return _is_white(scaled.slide.read(*scaled.coarse(area)))


def _is_white(values: Array) -> bool:
    """Whether nearly all pixels of ``(h, w, C)`` are nearly white."""
    limit = BACKGROUND_LEVEL * np.iinfo(values.dtype).max
    return bool((values.min(2) >= limit).mean() >= BACKGROUND_FRACTION)


def _with_background(translation: Array, values: Array) -> Array:
    """``translation`` with the ``values`` of the slide in blocks that are nearly white."""
    result = translation.copy()
    for row in range(0, values.shape[0], BLOCK):
        for column in range(0, values.shape[1], BLOCK):
            block = np.s_[row : row + BLOCK, column : column + BLOCK]
            if _is_white(values[block]):
                result[block] = values[block]
    return result
