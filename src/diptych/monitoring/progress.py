"""Progress in the terminal while a run trains."""

import sys
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

LINE_SECONDS = 30.0
"""Interval of progress lines if the output is not a terminal."""


class Display(Protocol):
    """Shows the progress of a run."""

    def note(self, message: str) -> None:
        """Shows a message."""

    def start(self, pictures: int, total: int) -> None:
        """Training starts, or resumes, after ``pictures`` of ``total``."""

    def revise(self, total: int) -> None:
        """Training is to end after ``total`` pictures."""

    def advance(self, pictures: int) -> None:
        """``pictures`` have been seen."""

    def show(
        self, pictures: int, pictures_per_second: float, losses: Mapping[str, float], *, waiting_fraction: float
    ) -> None:
        """Shows the numbers of a log record: speed, mean ``losses``, and the fraction of the time (0..1) that training
        waited for data."""

    def stop(self) -> None:
        """Training ended or failed."""


class Silent:
    """Shows nothing: for Python code."""

    def note(self, message: str) -> None: ...
    def start(self, pictures: int, total: int) -> None: ...
    def revise(self, total: int) -> None: ...
    def advance(self, pictures: int) -> None: ...
    def show(
        self, pictures: int, pictures_per_second: float, losses: Mapping[str, float], *, waiting_fraction: float
    ) -> None: ...
    def stop(self) -> None: ...


class Terminal:
    """A progress bar with speed, time left and each loss; a line every 30 seconds if the output is not a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.progress = Progress(
            TextColumn("[bold]{task.completed:,.0f}[/]/{task.total:,.0f} pictures"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.losses = Text()
        self.live: Live | None = None
        self.last_line = 0.0
        self.speed = ""

    def note(self, message: str) -> None:
        self.console.print(message, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def start(self, pictures: int, total: int) -> None:
        self.task = self.progress.add_task("", total=total, completed=pictures, speed="")
        self.last_line = time.monotonic()
        if self.console.is_terminal:
            self.live = Live(Group(self.progress, self.losses), console=self.console, refresh_per_second=4)
            self.live.start()

    def revise(self, total: int) -> None:
        self.progress.update(self.task, total=total)

    def advance(self, pictures: int) -> None:
        self.progress.update(self.task, completed=pictures, speed=self.speed)
        if time.monotonic() - self.last_line > LINE_SECONDS:
            self._line(pictures)

    def _line(self, pictures: int) -> None:
        """Prints a line if the output is not a terminal."""
        self.last_line = time.monotonic()
        if self.live is None:
            total = self.progress.tasks[self.task].total or pictures
            self.note("  ".join(filter(None, (f"{pictures:,}/{total:,.0f} pictures", self.speed, self.losses.plain))))

    def show(
        self, pictures: int, pictures_per_second: float, losses: Mapping[str, float], *, waiting_fraction: float
    ) -> None:
        self.speed = f"{pictures_per_second:.3g}/s, waiting {waiting_fraction:.0%} for data"
        self.losses.plain = "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in losses.items())
        self.advance(pictures)
        if pictures >= (self.progress.tasks[self.task].total or pictures):
            self._line(pictures)

    def stop(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
