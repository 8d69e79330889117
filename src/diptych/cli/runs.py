"""``diptych runs`` and ``diptych show``."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diptych.config.constraints import REQUIRED, argument

HEADINGS = ("run", "pictures", "done", "last write", "size", "last score")


@dataclass(frozen=True)
class Runs:
    """List runs with their progress, time of the last write, size and last score.

    For example:
      diptych runs
      diptych runs /data/experiments
    """

    folder: Path = argument(Path("runs"), "Folder to search, including sub-folders.", "[FOLDER]")

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        from diptych.run import find_runs

        table = Table(*HEADINGS, box=None, header_style="bold", pad_edge=False)
        for run in find_runs(self.folder):
            facts = run.facts()
            done = f"{facts.pictures / facts.total:.0%}" if facts.total else "?"
            changed, size = f"{(time.time() - facts.changed) / 3600:.1f} h ago", f"{facts.size / 1e6:.0f} MB"
            table.add_row(str(run.folder), f"{facts.pictures:,}", done, changed, size, facts.score)
        Console(markup=False, emoji=False, highlight=False).print(
            table if table.rows else f"no run below {self.folder}", soft_wrap=not table.rows
        )
        return 0


@dataclass(frozen=True)
class Show:
    """Show the progress and options of a run, or what a model file holds.

    For example:
      diptych show runs/photos2paintings
      diptych show model.safetensors
    """

    path: Path = argument(REQUIRED, "A run, its model.safetensors, or hf:OWNER/NAME.", "MODEL")

    def __call__(self) -> int:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        for name, value in self._facts():
            table.add_row(name, str(value))
        Console(highlight=False, markup=False, emoji=False).print(table)
        return 0

    def _facts(self) -> Iterable[tuple[str, object]]:
        from diptych.config_json import flatten
        from diptych.model import read_card
        from diptych.revisions import read_revisions
        from diptych.run import Run

        run = Run(self.path)
        if not run.exists:
            card = read_card(self.path)
            channels = " and ".join(str(encoding["channels"]) for encoding in card["encodings"])
            yield from (flatten(card) | {"channels": channels}).items()
            return
        about, facts = run.about(), run.facts()
        yield "run", run.folder
        yield "started", about.get("started")
        yield "command", about.get("command")
        if about.get("parent"):
            yield "forked from", about["parent"]
        yield "pictures", f"{facts.pictures:,} of {facts.total:,}" if facts.total else f"{facts.pictures:,}"
        if (time_given := about["config"].get("length", {}).get("time")) is not None:
            used = max((revision.seconds for revision in read_revisions(run.revisions_file)), default=0.0)
            yield "time", f"{used:,.0f} s of {time_given}"
        yield "size", f"{facts.size / 1e6:.0f} MB"
        yield "checkpoints", ", ".join(file.name for file in run.checkpoint_files()) or "none"
        if facts.score:
            yield "last score", facts.score
        yield "losses", "  ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in facts.losses.items())
        yield from flatten(about["config"]).items()  # as it is: no class that it names is imported
