"""Progress in the terminal while a folder is translated."""

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from diptych.inference.folder import Outcome

LINE_SECONDS = 30.0
"""Interval of progress lines if the output is not a terminal."""


class FolderProgress:
    """A bar with speed and time left; a line every 30 seconds if the output is not a terminal. A context manager."""

    def __init__(self, console: "Console", total: int) -> None:
        self.console, self.total, self.last_line = console, total, time.monotonic()
        columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self.task = self.bar.add_task("", total=total, speed="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, outcome: "Outcome") -> None:
        """Shows how far the folder is."""
        speed = f"{outcome.per_second:.3g}/s"
        self.bar.update(self.task, completed=outcome.num_finished, speed=speed)
        if not self.console.is_terminal and time.monotonic() - self.last_line > LINE_SECONDS and outcome.per_second:
            self.last_line = time.monotonic()
            left = (self.total - outcome.num_finished) / outcome.per_second
            words = f"{outcome.num_finished}/{self.total} pictures, {speed}, {left / 60:.0f} min left"
            self.console.print(words)
