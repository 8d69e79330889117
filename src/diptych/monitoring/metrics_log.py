"""The metrics log: appends to ``metrics.jsonl``, and survives a full disk."""

from typing import Any

from diptych.errors import os_problem
from diptych.monitoring.progress import Display
from diptych.run import Run


class MetricsLog:
    """Appends records in order. Keeps a record that cannot be written, and writes it before the next one."""

    def __init__(self, run: Run, display: Display) -> None:
        self.run, self.display = run, display
        self.unwritten: list[dict[str, Any]] = []

    def append(self, record: dict[str, Any]) -> None:
        """Adds ``record``."""
        self.unwritten.append(record)
        try:
            while self.unwritten:
                self.run.log(self.unwritten[0])
                self.unwritten.pop(0)
        except OSError as error:
            self.display.note(f"metrics cannot be written yet: {os_problem(error)}")
