"""Batches for training. Threads prefetch pictures and cache them decoded.

Threads, not processes: Pillow decodes and resizes without the global interpreter lock, and threads share one cache.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from torch import Tensor

from diptych.config import DataConfig
from diptych.data.cache import PictureCache
from diptych.data.colour import to_srgb
from diptych.data.encoding import Array, Encoding
from diptych.data.files import Domain
from diptych.data.formats.reading import open_picture
from diptych.data.image import prepared
from diptych.data.masks import Mask, Masks, read_mask, with_mask
from diptych.data.sampling import draw_paired, draw_unpaired
from diptych.data.survey import USABLE, common_size, header_of, or_skip
from diptych.data.transforms import crop_and_flip, fit, fitted_size, half_of, random_crop, stack
from diptych.errors import PictureError
from diptych.pair import Pair
from diptych.rng import Stream

MAX_WORKERS = 8
BATCHES_AHEAD = 2
MAX_TRIED = 20


class Reader:
    """The images of a domain by index: decoded, converted to ``encoding``, resized, and kept in ``cache``.

    If the domain is one of two ``paired`` ones, its images get the same size as their partners. With ``masks``, each
    image has its mask as one more channel (``masks.with_mask``).

    An unreadable picture raises an error; with ``data.skip_unreadable``, the next one replaces it. ``report`` gets one
    line for each picture that is skipped or converted.
    """

    def __init__(
        self,
        domain: Domain,
        data: DataConfig,
        *,
        encoding: Encoding,
        stride: int,
        paired: Pair[Domain] | None = None,
        masks: Masks | None = None,
        cache: PictureCache | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.domain, self.data, self.encoding, self.stride = domain, data, encoding, stride
        self.paired, self.masks, self.cache, self.report = paired, masks, cache or PictureCache(), report
        self.reported: set[str] = set()
        self.lock = threading.Lock()

    def __call__(self, index: int) -> Array:
        """``(H, W, C)`` of the fitted size: uint8 or uint16 over the whole range of the type, or float32 in [0, 255].

        Raises:
            PictureError: it cannot be read.
        """
        for offset in range(len(self.domain)):
            values = self.read((index + offset) % len(self.domain))
            if values is not None:
                return values
        raise PictureError(f"no picture in {self.domain.folder} can be read", cure=USABLE)

    def read(self, index: int) -> Array | None:
        """As ``__call__``, but None for an unreadable picture that is skipped."""
        if (cached := self.cache.get(index)) is not None:
            return cached
        try:
            values = self._decode(index)
        except PictureError as error:
            if not self.data.skip_unreadable:
                path = self.domain.path(index)
                if self._can_read_another(index):
                    raise or_skip(error, path) from None
                raise PictureError(error.problem, cure=error.cure, file=path) from None
            self._report_once(f"skipped: {error.problem}")
            return None
        self.cache.put(index, values)
        return values

    def _decode(self, index: int) -> Array:
        half, columns = self.domain.half, 1 if self.domain.half is None else 2
        size, interpolation = common_size(self.paired, index) if self.paired else None, self.encoding.interpolation
        with open_picture(self.domain.path(index)) as file:
            target = None
            if self.data.draft and file.can_be_reduced and interpolation == "bicubic":
                width, height = file.size
                target = fitted_size(*(size or (width // columns, height)), self.data, stride=self.stride)
            image = file.decode(target, columns=columns, bands=self.encoding.channels)
        if image.note:
            self._report_once(image.note)
        try:
            image = to_srgb(image.map(partial(half_of, half=half)), self.encoding)
            values = prepared(image, self.encoding)
        except PictureError as error:
            raise PictureError(f"{self.domain.path(index)}: {error.problem}", cure=error.cure) from None
        draft = self.data.draft
        fitted = fit(values, self.data, stride=self.stride, size=size, interpolation=interpolation, draft=draft)
        return fitted if self.masks is None else with_mask(fitted, self._mask(index))

    def _mask(self, index: int) -> Mask | None:
        file = self.domain.files[index]
        mask = self.masks.path(file) if self.masks else None
        return read_mask(mask, self.domain.path(index), header_of(self.domain, file)[:2]) if mask else None

    def _can_read_another(self, index: int) -> bool:
        """Whether one of the next pictures can be read. Otherwise --skip-unreadable would be no cure."""
        for offset in range(1, min(len(self.domain), MAX_TRIED)):
            with suppress(PictureError):
                self._decode((index + offset) % len(self.domain))
                return True
        return False

    def _report_once(self, message: str) -> None:
        with self.lock:
            if message in self.reported:
                return
            self.reported.add(message)
        self.report(message)


class Batch(NamedTuple):
    """What an update sees: a batch of each domain, and as many known pairs if there are any."""

    images: Pair[Tensor]
    known: Pair[Tensor] | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        """``function`` of each tensor."""
        return Batch(self.images.map(function), self.known and self.known.map(function))


class Loader:
    """Endless batches of randomly drawn, cropped and flipped images; each batch depends only on (seed, count).

    ``paired`` images are drawn, cropped and flipped together. ``pin`` puts batches in pinned memory, from which CUDA
    copies asynchronously. ``known`` reads the known pairs of each update. After ``num_distinct`` images of each domain,
    the same ones are drawn again.
    """

    def __init__(
        self,
        readers: Pair[Reader],
        data: DataConfig,
        *,
        seed: int,
        batch_size: int,
        paired: bool = False,
        pin: bool = False,
        known: "Loader | None" = None,
        num_distinct: int | None = None,
    ) -> None:
        self.readers, self.data, self.seed, self.batch_size = readers, data, seed, batch_size
        self.paired, self.pin, self.known, self.num_distinct = paired, pin, known, num_distinct
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.num_workers = min(MAX_WORKERS, cores) if data.num_workers is None else data.num_workers

    def batch(self, count: int) -> Pair[Tensor]:
        """The batch that starts with image number ``count``: ``(B, C, H, W)`` in [0, 255], see ``stack``.

        Raises:
            PictureError: a picture cannot be read, or has another size than the others.
        """
        counts = range(count, count + self.batch_size)
        drawn = [self._draw(number % self.num_distinct if self.num_distinct else number) for number in counts]
        return Pair(a=self._stack([pair.a for pair in drawn]), b=self._stack([pair.b for pair in drawn]))

    def _draw(self, count: int) -> Pair[Array]:
        sizes = self.readers.map(lambda reader: len(reader.domain))
        if self.paired:
            streams = Pair(Stream.VIEW_A, Stream.VIEW_A)
            images = self._read_pair(draw_paired(self.seed, count, sizes).a)
        else:
            streams = Pair(Stream.VIEW_A, Stream.VIEW_B)
            images = self.readers.map(lambda reader, index: reader(index), draw_unpaired(self.seed, count, sizes))
        crops = streams.map(lambda stream: random_crop(self.seed, stream, count, flip=self.data.flip))
        return images.map(lambda values, crop: crop_and_flip(values, crop, self.data.crop_size or 0), crops)

    def _read_pair(self, index: int) -> Pair[Array]:
        """Both images of a pair, or of the next pair that can be read."""
        size = len(self.readers.a.domain)
        for offset in range(size):
            position = (index + offset) % size
            a = self.readers.a.read(position)
            if a is not None and (b := self.readers.b.read(position)) is not None:
                return Pair(a, b)
        raise PictureError(f"no pair in {self.readers.a.domain.folder} can be read", cure=USABLE)

    def _stack(self, images: list[Array]) -> Tensor:
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            (h, w), (h2, w2) = sorted(sizes)[:2]
            raise PictureError(
                f"pictures of {w}×{h} and {w2}×{h2} cannot share a batch", cure="give a crop size, or a batch size of 1"
            )
        batch = stack(images)
        return batch.pin_memory() if self.pin else batch

    def updates(self, start: int, *, every: int | None = None) -> Iterator[Batch]:
        """What the updates see from image number ``start`` on; see ``batches``."""
        batches = self.batches(start, every=every)
        if self.known is None:
            return map(Batch, batches)
        return map(Batch, batches, self.known.batches(start, every=every))

    def batches(self, start: int, *, every: int | None = None) -> Generator[Pair[Tensor]]:
        """The batches from image number ``start`` on, read ahead by ``num_workers`` threads, or by this one if 0.

        ``every`` is the distance between the first images of two batches, by default the batch size; with several
        processes, it is the global batch size.
        """
        every = every or self.batch_size
        if self.num_workers == 0:
            while True:
                yield self.batch(start)
                start += every
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="diptych-read")
        try:
            ahead: deque[Future[Pair[Tensor]]] = deque()
            while True:
                while len(ahead) < self.num_workers + BATCHES_AHEAD:
                    ahead.append(pool.submit(partial(self.batch, start)))
                    start += every
                yield ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
