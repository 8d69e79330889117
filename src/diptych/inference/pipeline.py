"""Reads, translates and writes many pictures at the same time, and passes those of one size to the network together.

One thread, the caller's, decides what comes next. Others read and write files, and others compute.
"""

import itertools
import os
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, Self

import torch

from diptych.data.image import DecodedImage
from diptych.errors import PictureError

NUM_AHEAD = 64
"""The most pictures in flight: between the first that is not finished and the last that is examined."""
PIXELS_AHEAD = 2**25
"""The most pixels in flight. A larger picture is read when nothing else is in flight."""
MAX_COMPUTING = 8
"""The most batches that are computed at the same time on a CPU."""
CPU_PIXELS, DEVICE_PIXELS = 2**20, 2**22
"""The most pixels in the network at the same time. A picture with more than one thread's share is translated alone, by
all cores."""
CPU_BATCH_PIXELS, DEVICE_BATCH_PIXELS = 2**17, 2**21
"""The most pixels in a batch. Larger batches are not faster: on a CPU, they leave its caches."""
MIN_IO, MAX_IO = 4, 16
"""Limits of the number of threads that read and write. Even one core has 4, since network drives respond slowly."""

Stage = Literal["examining", "examined", "reading", "read", "translating", "writing", "finished"]


@dataclass(eq=False)
class Work:
    """A picture on its way from ``source`` to ``target``."""

    source: Path
    target: Path
    stage: Stage = "examining"
    num_pixels: int = 0
    image: DecodedImage | None = None
    """Before or after the network."""
    lines: list[str] = field(default_factory=list)
    """Notes for the user."""
    warnings: dict[object, str] = field(default_factory=dict)
    """Warnings by kind. Each is shown for the first picture only."""
    content: tuple[int, int, str] | None = None
    """Size, time of the last change and SHA-256 of ``source``, if a manifest records them."""
    is_streamed: bool = False
    """Whether ``translate`` also reads and writes it, a part at a time."""
    is_skipped: bool = False
    error: str = ""
    """Why it was not translated."""
    seconds: float = 0.0
    """Time in reading, the network (its share of a batch) and writing."""
    must_be_alone: bool = False
    """Whether it could not be translated beside others."""

    @property
    def key(self) -> object:
        """Equal for pictures that may share a batch."""
        assert self.image is not None
        return self.image.values.shape, self.image.values.dtype


class Steps(Protocol):
    """What happens to a picture. Each step runs in another thread; a ``PictureError`` ends the work on one picture."""

    def examine(self, work: Work) -> None:
        """Sets ``num_pixels``, or ``is_skipped`` if there is nothing to do."""

    def read(self, work: Work) -> None:
        """Sets ``image``."""

    def translate(self, batch: Sequence[Work]) -> None:
        """Replaces each ``image`` by its translation. All have the same ``key``."""

    def write(self, work: Work) -> None:
        """Writes ``image`` to ``target``."""

    def stop(self) -> None:
        """No result is needed any more: steps that take long may end."""


class Pipeline:
    """Does ``steps`` for each pair (source, target). A context manager, which waits for its threads at the end."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], steps: Steps, *, is_on_cpu: bool) -> None:
        self.steps, self.coming, self.window = steps, itertools.starmap(Work, pairs), deque[Work]()
        self.events: queue.SimpleQueue[tuple[list[Work], Stage, Future[float]]] = queue.SimpleQueue()
        threads = torch.get_num_threads()
        self.num_computing = min(threads, MAX_COMPUTING) if is_on_cpu else 2  # one copies while the other computes
        self.computing, self.busy_seconds, self.started = list[list[Work]](), 0.0, time.perf_counter()
        self.alone_pixels = (CPU_PIXELS if is_on_cpu else DEVICE_PIXELS) // self.num_computing
        self.batch_pixels = min(CPU_BATCH_PIXELS if is_on_cpu else DEVICE_BATCH_PIXELS, self.alone_pixels)
        self.io = _pool(min(max(os.cpu_count() or 1, MIN_IO), MAX_IO), 1)
        self.together, self.alone = _pool(self.num_computing, max(1, threads // self.num_computing)), _pool(1, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.steps.stop()
        for pool in (self.io, self.together, self.alone):
            pool.shutdown(cancel_futures=True)

    @property
    def waiting_fraction(self) -> float:
        """The fraction of the time (0..1) in which the network waited for files."""
        seconds = time.perf_counter() - self.started
        return max(0.0, 1 - self.busy_seconds / (self.num_computing * seconds))

    def finished(self) -> Iterator[Work]:
        """Yields each work when it is finished, in the order of the pairs.

        Raises:
            UserError: a step raised it, and it is no ``PictureError``.
        """
        while self._admit():
            self._ended(*self.events.get())
            self._start_reading()
            while batch := self._next_batch():
                self.computing.append(batch)
                self._start(self.alone if self._is_alone(batch[0]) else self.together, batch, "translating")
            while self.window and self.window[0].stage == "finished":
                yield self.window.popleft()

    def _admit(self) -> bool:
        """Examines the next pictures. Returns whether any is in flight."""
        for work in itertools.islice(self.coming, NUM_AHEAD - len(self.window)):
            self.window.append(work)
            self._start(self.io, [work], "examining")
        return bool(self.window)

    def _start_reading(self) -> None:
        """Reads in order, so that the first picture that is not finished never waits for room."""
        in_flight = sum(w.num_pixels for w in self.window if w.stage in ("reading", "read", "translating", "writing"))
        for work in self.window:
            if work.stage == "examining" or (in_flight and in_flight + work.num_pixels > PIXELS_AHEAD):
                return
            if work.stage == "examined":
                in_flight += work.num_pixels
                self._start(self.io, [work], "reading")

    def _next_batch(self) -> list[Work]:
        """The first picture that is read, and those like it; empty if there is none, or no room in the network."""
        ready = [work for work in self.window if work.stage == "read"]
        if not ready or len(self.computing) == self.num_computing or any(self._is_alone(b[0]) for b in self.computing):
            return []
        first = ready[0]
        if self._is_alone(first):
            return [] if self.computing else [first]
        alike = [work for work in ready if work.key == first.key and not work.must_be_alone]
        return alike[: max(1, self.batch_pixels // first.num_pixels)]

    def _is_alone(self, work: Work) -> bool:
        return work.must_be_alone or work.num_pixels > self.alone_pixels

    def _start(self, pool: Executor, batch: list[Work], stage: Stage) -> None:
        """Starts a step of ``batch`` in another thread; its end is an event."""
        steps = {"examining": self.steps.examine, "reading": self.steps.read, "writing": self.steps.write}
        for work in batch:
            work.stage = stage
        step = partial(self.steps.translate, batch) if stage == "translating" else partial(steps[stage], batch[0])
        pool.submit(_timed, step, batch).add_done_callback(lambda future: self.events.put((batch, stage, future)))

    def _ended(self, batch: list[Work], stage: Stage, future: Future[float]) -> None:
        """Decides what follows the step ``stage`` of ``batch``."""
        work = batch[0]
        if stage == "translating":
            self.computing.remove(batch)
        try:
            seconds = future.result()
        except PictureError as error:
            if stage == "translating" and not self._is_alone(work):  # there may be memory for less
                self.batch_pixels //= 2
                for each in batch:
                    each.stage, each.must_be_alone = "read", True
            else:
                work.stage, work.error, work.image = "finished", str(error), None
            return
        match stage:
            case "examining":
                work.stage = "finished" if work.is_skipped else "examined"
            case "reading":
                work.stage = "read"
            case "translating":
                self.busy_seconds += seconds * (self.num_computing if self._is_alone(work) else 1)
                for each in batch:
                    self._start(self.io, [each], "writing")
            case "writing":
                work.stage, work.image = "finished", None


def _pool(number: int, num_threads: int) -> ThreadPoolExecutor:
    """``number`` threads, each of which computes with ``num_threads`` of torch's."""
    return ThreadPoolExecutor(number, "diptych", torch.set_num_threads, (num_threads,))


def _timed(step: Callable[[], None], batch: list[Work]) -> float:
    """Runs ``step``, and adds its seconds to those of ``batch``. Returns them."""
    start = time.perf_counter()
    try:
        step()
    finally:
        seconds = time.perf_counter() - start
        for work in batch:
            work.seconds += seconds / len(batch)
    return seconds
