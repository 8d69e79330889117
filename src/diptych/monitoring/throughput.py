"""Training speed, and the fraction of the time that training waits for pictures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Throughput:
    """Measures speed and waiting since the last reading."""

    def __init__(self, pictures: int) -> None:
        self.restart(pictures)

    def restart(self, pictures: int) -> None:
        """Starts a new measurement at ``pictures`` seen so far."""
        self.pictures, self.started, self.waited = pictures, time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time inside as waiting."""
        started = time.perf_counter()
        yield
        self.waited += time.perf_counter() - started

    def read(self, pictures: int) -> tuple[float, float]:
        """Pictures per second and the fraction of the time spent waiting (0..1). Starts a new measurement."""
        seconds = time.perf_counter() - self.started
        speed, fraction = (pictures - self.pictures) / seconds, self.waited / seconds
        self.restart(pictures)
        return speed, fraction
