"""Batches for training: pictures are read ahead of the update by threads, and kept decoded.

Threads and not processes: Pillow decodes and resizes outside Python's lock, and one cache serves them all.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from torch import Tensor

from diptych.config import DataConfig
from diptych.data.cache import PictureCache
from diptych.data.files import Domain
from diptych.data.formats.pillow import read_picture
from diptych.data.image import Array, with_channels
from diptych.data.sampling import draw_paired, draw_unpaired
from diptych.data.survey import or_skip
from diptych.data.transforms import fit, fitted_size, halved, look, random_view, reduction, stack
from diptych.errors import PictureError
from diptych.pair import Pair
from diptych.rng import Stream

MAX_WORKERS = 8
BATCHES_AHEAD = 2


class Reader:
    """The pictures of a domain by index, decoded, resized and with the domain's channels, kept in ``cache``.

    A picture that cannot be read is an error, or where ``data.skip_unreadable``, the next one stands in for it;
    ``report`` is told once of each such picture, and of each that is not what a person would expect.
    """

    def __init__(
        self,
        domain: Domain,
        data: DataConfig,
        *,
        channels: int,
        stride: int,
        cache: PictureCache | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.domain, self.data, self.channels, self.stride = domain, data, channels, stride
        self.cache, self.report = cache or PictureCache(), report
        self.told: set[str] = set()
        self.lock = threading.Lock()

    def __call__(self, index: int) -> Array:
        """``(H, W, channels)``, uint8 or uint16, as ``fit`` makes it."""
        for offset in range(len(self.domain)):
            values = self.read((index + offset) % len(self.domain))
            if values is not None:
                return values
        raise PictureError(f"no picture in {self.domain.folder} can be read", cure="give pictures that open elsewhere")

    def read(self, index: int) -> Array | None:
        """The same of just this picture; None where it cannot be read and may be left out."""
        try:
            return self._read(index)
        except PictureError as error:
            if not self.data.skip_unreadable:
                raise or_skip(error) from None
            self._tell(f"left out: {error.problem}")
            return None

    def _read(self, index: int) -> Array:
        if (cached := self.cache.get(index)) is not None:
            return cached
        picture = read_picture(self.domain.path(index), reduction=self._reduction if self.data.draft else None)
        if picture.note:
            self._tell(picture.note)
        values = with_channels(halved(picture.values, self.domain.half), self.channels)
        values = fit(values, self.data, stride=self.stride, draft=self.data.draft)
        self.cache.put(index, values)
        return values

    def _reduction(self, width: int, height: int) -> int:
        """How many times smaller a file of this size may be decoded."""
        num_columns = 1 if self.domain.half is None else 2
        target = fitted_size(width // num_columns, height, self.data, stride=self.stride)
        return reduction((width, height), (num_columns * target[0], target[1]), num_columns=num_columns)

    def _tell(self, message: str) -> None:
        with self.lock:
            if message in self.told:
                return
            self.told.add(message)
        self.report(message)


class Loader:
    """Endless batches of randomly drawn, cropped and mirrored pictures, each a function of (seed, count) alone.

    ``paired`` pictures are drawn, cropped and mirrored together. ``pin`` puts batches where CUDA copies them from
    without holding up the program.
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
    ) -> None:
        self.readers, self.data, self.seed, self.batch_size = readers, data, seed, batch_size
        self.paired, self.pin = paired, pin
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.num_workers = min(MAX_WORKERS, cores) if data.num_workers is None else data.num_workers

    def batch(self, count: int) -> Pair[Tensor]:
        """The batch that begins with the pictures drawn as number ``count``: ``(B, C, H, W)`` as ``stack`` makes it."""
        drawn = [self._draw(count + offset) for offset in range(self.batch_size)]
        return Pair(a=self._stack([pair.a for pair in drawn]), b=self._stack([pair.b for pair in drawn]))

    def _draw(self, count: int) -> Pair[Array]:
        sizes = self.readers.map(lambda reader: len(reader.domain))
        if self.paired:
            streams = Pair(Stream.VIEW_A, Stream.VIEW_A)
            pictures = self._read_pair(draw_paired(self.seed, count, sizes).a)
        else:
            streams = Pair(Stream.VIEW_A, Stream.VIEW_B)
            pictures = self.readers.map(lambda reader, index: reader(index), draw_unpaired(self.seed, count, sizes))
        views = streams.map(lambda stream: random_view(self.seed, stream, count, flip=self.data.flip))
        return pictures.map(lambda values, view: look(values, view, self.data.crop_size or 0), views)

    def _read_pair(self, index: int) -> Pair[Array]:
        """Both pictures of a pair, or of the next pair that can be read."""
        size = len(self.readers.a.domain)
        for offset in range(size):
            a, b = self.readers.map(lambda reader, place: reader.read(place), Pair(*2 * [(index + offset) % size]))
            if a is not None and b is not None:
                return Pair(a, b)
        raise PictureError(
            f"no pair in {self.readers.a.domain.folder} can be read", cure="give pictures that open elsewhere"
        )

    def _stack(self, pictures: list[Array]) -> Tensor:
        sizes = {picture.shape[:2] for picture in pictures}
        if len(sizes) > 1:
            (h, w), (h2, w2) = sorted(sizes)[:2]
            raise PictureError(
                f"pictures of {w}×{h} and {w2}×{h2} cannot share a batch", cure="give a crop size, or a batch size of 1"
            )
        batch = stack(pictures)
        return batch.pin_memory() if self.pin else batch

    def batches(self, start: int, *, every: int | None = None) -> Generator[Pair[Tensor]]:
        """The batches from picture number ``start`` on, read ahead by ``num_workers`` threads (0: read when asked).

        One begins ``every`` so many pictures, by default the batch size: more where other processes take those between.
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
