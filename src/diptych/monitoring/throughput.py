"""How quickly a run goes, and how much of its time it waits for pictures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Measures from one reading to the next."""

    def __init__(self, pictures: int) -> None:
        self.start(pictures)

    def start(self, pictures: int) -> None:
        """Measures from now on, when the run has seen so many ``pictures``: what lies behind does not count."""
        self.pictures, self.begun, self.waited = pictures, time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time inside is spent waiting for pictures."""
        asked = time.perf_counter()
        yield
        self.waited += time.perf_counter() - asked

    def read(self, pictures: int) -> tuple[float, float]:
        """Pictures per second since the last reading, and the share of that time spent waiting; starts anew."""
        seconds = time.perf_counter() - self.begun
        speed, share = (pictures - self.pictures) / seconds, self.waited / seconds
        self.start(pictures)
        return speed, share
