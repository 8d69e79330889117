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
from diptych.data.encoding import Array, Encoding
from diptych.data.formats.pyramid import RawImage, write_pyramid
from diptych.data.formats.slide import open_slide
from diptych.data.formats.slide_interface import Slide
from diptych.data.formats.slide_parts import parts_of
from diptych.data.image import DecodedImage, filled
from diptych.data.metadata import Metadata
from diptych.errors import PictureError, disk_errors
from diptych.inference.forward import TorchForward
from diptych.inference.slide_background import check_background, is_background, with_background
from diptych.inference.slide_progress import Progress
from diptych.inference.slide_scale import ScaledSlide, at_scale
from diptych.inference.tiled_translation import TiledTranslation
from diptych.inference.translator import Translator
from diptych.networks.window_program import Statistics
from diptych.networks.windows import Area, Span

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
        translation = SlideTranslation(translator, scaled, target, options, report=report, check=check)
        translation.run()


class SlideTranslation:
    """The translation of a slide, in a raw file beside ``target``, and what it knows of an earlier run."""

    def __init__(
        self,
        translator: Translator,
        scaled: ScaledSlide,
        target: Path,
        options: SlideOptions,
        *,
        report: Callable[[str], None],
        check: Callable[[], None],
    ) -> None:
        self.scaled, self.slide, self.target, self.options, self.report = scaled, scaled.slide, target, options, report
        self.encoding_in, (height, width) = translator.encoding_in, (scaled.height, scaled.width)
        self.tiled = TiledTranslation(
            translator, height, width, self._read, self.slide.encoding, keep=self._is_translated, check=check
        )
        self.is_alike = self.tiled.encoding == self.slide.encoding
        """Whether translations have type, range and channels of the slide."""
        if options.skip_background:
            check_background(self.slide, is_alike=self.is_alike)
        encoding, fill = self.tiled.encoding, self.slide.background if self.is_alike else ()
        partial = target.with_name(f".{target.name}.partial")
        self.raw = RawImage(partial, (height, width, encoding.channels), encoding.dtype, fill)
        self.progress = Progress(
            target.with_name(f".{target.name}.progress"), _identity(translator, self.slide.path, self.tiled, options)
        )
        slide = self.slide
        self._may_miss = slide.has_gaps or slide.metadata.nodata is not None or slide.encoding.needs_range
        self._num_done, self._reported = len(self.progress.done), time.monotonic()

    def run(self) -> None:
        """Translates the tiles that an earlier run has not, and writes the pyramid."""
        tiled, progress = self.tiled, self.progress
        num_tiles = len(tiled.cores)
        if self.options.skip_background:
            num_skipped = len(tiled.skipped)
            self.report(f"{self.slide.path}: {num_skipped} of {num_skipped + num_tiles} tiles are background")
        if progress.is_new or not self.raw.path.exists():
            self.raw.create()
            progress.restart()
            self._num_done = 0
        elif progress.done:
            self.report(f"{self.target}: {self._num_done} of {num_tiles} tiles are there from an earlier run")
        for area in tiled.skipped:
            self._copy(area)
        tiled.run(
            self._write, known=progress.statistics, is_done=progress.has, remember=self._remember, report=self.report
        )
        write_pyramid(self.target, self.raw, mpp=self.scaled.mpp, metadata=_metadata(self.slide, tiled.encoding))
        self.raw.path.unlink()
        progress.path.unlink()

    def _is_translated(self, area: Area) -> bool:
        if not _is_scanned(self.scaled, area):
            return False
        return not (self.options.skip_background and is_background(self.scaled, area))

    def _read(self, area: Area) -> Array:
        """What the network sees of an area."""
        return filled(self.slide.picture(self.scaled.read(area)), self.encoding_in)

    def _copy(self, area: Area) -> None:
        """Writes an area that is not translated: the slide's values, or no data if translations have another type."""
        copied = _picture(self.scaled, area)
        nothing = np.zeros((*copied.values.shape[:2], self.raw.shape[2]), self.raw.dtype)
        values = copied.values if self.is_alike else copied.translated(nothing).values
        if not self.raw.is_blank(values):
            self.raw.write(*area.slices, values)

    def _write(self, area: Area, values: Array) -> None:
        """Writes a translated tile: with the slide's background, and without what is no data."""
        if self.options.skip_background or self._may_miss:
            picture = _picture(self.scaled, area)
            if self.options.skip_background:
                values = with_background(values, picture.values)
            values = picture.translated(values).values
        self.raw.write(*area.slices, values)
        self.progress.add("done", [area.rows.start, area.columns.start])
        self._num_done += 1
        self._tell(f"{self._num_done} of {len(self.tiled.cores)} tiles")

    def _remember(self, statistics: Sequence[Statistics]) -> None:
        self.progress.add_statistics(statistics)
        self._tell(f"statistics of {len(statistics)} of {self.tiled.num_norms} norms")

    def _tell(self, words: str) -> None:
        """Reports how far the translation is, every ``REPORT_SECONDS``."""
        if time.monotonic() - self._reported >= REPORT_SECONDS:
            self._reported = time.monotonic()
            self.report(f"{self.slide.path}: {words}")


def _picture(scaled: ScaledSlide, area: Area) -> DecodedImage:
    """An area, which knows where there is no data, or nothing was scanned."""
    picture = scaled.slide.picture(scaled.read(area))
    if not scaled.slide.has_gaps:
        return picture
    return picture._replace(missing=np.broadcast_to(~scaled.scanned(area)[:, :, None], picture.values.shape))


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
