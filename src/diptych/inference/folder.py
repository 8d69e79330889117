"""Translate picture files; names and sub-folders are kept."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from diptych.atomic import remove_leftovers
from diptych.data.files import Half
from diptych.data.formats.reading import read_header, read_picture
from diptych.data.formats.slide import is_slide
from diptych.data.formats.writing import not_kept, storable, write_picture
from diptych.data.image import DecodedImage
from diptych.data.transforms import half_of
from diptych.data.volumes import is_volume
from diptych.errors import PictureError, disk_errors
from diptych.inference.manifest import Manifest, content_of
from diptych.inference.pipeline import Pipeline, Work
from diptych.inference.slides import SlideOptions, translate_slide
from diptych.inference.translator import Translator
from diptych.inference.unlike_training import WARNINGS, Size
from diptych.inference.volumes import middle_slice, translate_volume
from diptych.memory import shortage

DECODING_BYTES = 16
"""Bytes per pixel that decoding a picture of 8 or 16 bits takes at most, in Pillow and as an array."""
COPIES = 2
"""Copies of the values, while a picture of bands or of another type is decoded."""
STREAMED_PIXELS = 2**30
"""A slide or a volume counts as this many pixels in the pipeline, so it is translated alone."""


@dataclass
class Outcome:
    """The result of translating several files."""

    num_translated: int = 0
    num_skipped: int = 0
    """Pictures that an earlier run translated."""
    failed: list[str] = field(default_factory=list)
    """One message for each image that was not translated."""
    seconds: float = 0.0
    waiting_fraction: float = 0.0
    """The fraction of the time (0..1) in which the network waited for files."""

    @property
    def num_finished(self) -> int:
        return self.num_translated + self.num_skipped + len(self.failed)

    @property
    def per_second(self) -> float:
        """Pictures translated per second."""
        return self.num_translated / self.seconds if self.seconds else 0.0

    def describe_speed(self) -> str:
        """Speed and waiting in a line for a user."""
        waiting = f"the network waited for files {self.waiting_fraction:.0%} of the time"
        return f"{self.per_second:.3g} pictures per second; {waiting}"


def translate_files(
    translator: Translator,
    pairs: Sequence[tuple[Path, Path]],
    *,
    size: Size = "own",
    half: Half | None = None,
    manifest: Manifest | None = None,
    slides: SlideOptions = SlideOptions(),
    report: Callable[[str], None] = lambda _: None,
    advance: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Translates the ``pairs`` of ``plan_outputs``; an image that fails is reported, and the others are translated.

    ``half`` translates only that half of each image. ``manifest`` records each image, and skips those that it has
    already. ``slides``: see ``translate_slide``. ``report`` gets a line for each failure and each note (such as ignored
    frames). It gets one for each kind of warning, about the first image concerned: those of ``unlike_training.py``,
    metadata that the output does not keep, and options without effect. ``advance`` gets the outcome so far after each
    image.

    Raises:
        UserError: the disk is full or read-only.
    """
    for folder in {target.parent for _, target in pairs}:
        with suppress(OSError):  # not there yet, or writing says what is wrong
            remove_leftovers(folder)
    outcome, warned = Outcome(), set[object]()
    started = time.perf_counter()
    steps = FileSteps(translator, size, half, manifest, slides, report)
    with Pipeline(pairs, steps, is_on_cpu=translator.is_on_cpu) as pipeline:
        for work in pipeline.finished():
            for kind, words in work.warnings.items():
                if kind not in warned:
                    warned.add(kind)
                    report(words)
            for line in work.lines:
                report(line)
            if work.error:
                names = (str(work.source), str(work.target))
                work.error = work.error if any(n in work.error for n in names) else f"{work.source}: {work.error}"
                outcome.failed.append(work.error)
                report(work.error)
            outcome.num_skipped += work.is_skipped
            outcome.num_translated += not (work.error or work.is_skipped)
            if manifest and not work.is_skipped:
                manifest.record(work)
            outcome.seconds, outcome.waiting_fraction = time.perf_counter() - started, pipeline.waiting_fraction
            advance(outcome)
    return outcome


@dataclass(frozen=True)
class FileSteps:
    """The steps of a pipeline for picture files."""

    translator: Translator
    size: Size
    half: Half | None
    manifest: Manifest | None
    slides: SlideOptions
    report: Callable[[str], None] = lambda _: None
    """Gets lines about a slide at once, since it may take hours."""
    stopped: Event = field(default_factory=Event)

    def stop(self) -> None:
        self.stopped.set()

    def examine(self, work: Work) -> None:
        with disk_errors(work.target.parent, name_error=PictureError):
            work.target.parent.mkdir(parents=True, exist_ok=True)
        if self.manifest and self.manifest.has(work):
            work.is_skipped = True
            return
        is_volumetric = is_volume(work.source)
        if is_volumetric or is_slide(work.source):
            if self.half or self.size == "training":
                kind = "volume" if is_volumetric else "slide"
                problem = f"{work.source} is a {kind}, for which --half and --size have no effect"
                raise PictureError(problem, cure="leave them out")
            work.is_streamed, work.num_pixels = True, STREAMED_PIXELS
        if self.slides != SlideOptions() and (is_volumetric or not work.is_streamed):
            work.warnings["no slide"] = f"{work.source} is no slide: --mpp and --skip-background have no effect"
        if work.is_streamed:
            return
        header = read_header(work.source)
        work.num_pixels = header.width * header.height
        num_bytes = max(DECODING_BYTES, COPIES * header.channels * np.dtype(header.dtype).itemsize)
        if lack := shortage(num_bytes * work.num_pixels, self.translator.free_memory()):
            problem = f"{work.source} has {header.width}×{header.height} pixels, which need {lack}"
            raise PictureError(problem, cure="give a smaller picture")

    def read(self, work: Work) -> None:
        if self.manifest:
            work.content = content_of(work.source)
        if is_volume(work.source):
            self._warn(work, middle_slice(self.translator, work.source))
        if work.is_streamed:
            return
        picture = _half_of(read_picture(work.source, bands=self.translator.channels_in), self.half)
        self._warn(work, picture)
        if picture.note:
            work.lines.append(picture.note)
        work.image = self.translator.at_training_size(picture) if self.size == "training" else picture
        work.num_pixels = work.image.values.shape[0] * work.image.values.shape[1]

    def _warn(self, work: Work, picture: DecodedImage) -> None:
        for warning in WARNINGS:
            if words := warning(self.translator, picture, work.source, self.size, self.half):
                work.warnings[warning] = words

    def translate(self, batch: Sequence[Work]) -> None:
        work, stop = batch[0], self.stopped.is_set
        if is_volume(work.source):
            translate_volume(self.translator, work.source, work.target, stop=stop)
            return
        if work.is_streamed:
            translate_slide(self.translator, work.source, work.target, self.slides, report=self.report, stop=stop)
            return
        images = [work.image for work in batch if work.image is not None]
        for work, image in zip(batch, self.translator.translate_batch(images), strict=True):
            work.image = image

    def write(self, work: Work) -> None:
        if work.is_streamed:
            return
        assert work.image is not None
        if dropped := not_kept(work.image, work.target):
            work.warnings[dropped] = f"{work.target}: {dropped}"
        translation = storable(work.image, work.target, self.translator.encoding_out)
        if translation.note:
            work.lines.append(translation.note)
        with disk_errors(work.target, name_error=PictureError):
            write_picture(work.target, translation)


def _half_of(picture: DecodedImage, half: Half | None) -> DecodedImage:
    if half is None:
        return picture
    metadata = picture.metadata.of_other_pixels()
    return picture.map(lambda array: half_of(array, half))._replace(metadata=metadata)
