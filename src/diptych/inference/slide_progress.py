"""Records which tiles of a slide are translated, so that an interrupted translation can go on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from diptych.networks.window_program import Statistics
from diptych.networks.windows import Area


class Progress:
    """The finished tiles of a slide and the statistics of its norms, in a file of JSON lines.

    A line that was cut off is ignored. ``is_new`` is true if there is no file, or its first line is not ``identity``.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path, self.identity = path, identity
        self.statistics: list[Statistics] = []
        self.done: set[tuple[int, int]] = set()
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.is_new = not lines or _parsed(lines[0]) != identity
        for line in [] if self.is_new else lines[1:]:
            entry = _parsed(line)
            if "done" in entry:
                self.done.add((entry["done"][0], entry["done"][1]))
            elif "statistics" in entry:
                self.statistics.append(Statistics(*(torch.tensor(e, dtype=torch.float64) for e in entry["statistics"])))

    def restart(self) -> None:
        """Forgets what an earlier run did."""
        self.statistics, self.done = [], set()
        self.path.write_text(json.dumps(self.identity) + "\n", "utf-8")

    def add(self, name: str, value: object) -> None:
        """Appends ``{name: value}`` as a line of JSON."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: value}) + "\n")

    def add_statistics(self, statistics: Sequence[Statistics]) -> None:
        """Appends the last of ``statistics``."""
        self.add("statistics", [each.tolist() for each in statistics[-1]])

    def has(self, area: Area) -> bool:
        """Whether ``area`` of the picture is done."""
        return (area.rows.start, area.columns.start) in self.done


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return entry
