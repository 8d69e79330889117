"""Collects what the report shows from a run folder. A part that is missing or damaged is left out."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diptych.config import Direction
from diptych.config_json import flatten
from diptych.data.sources import domain_names
from diptych.monitoring.grid import Block
from diptych.pair import Pair
from diptych.report.charts import Point
from diptych.revisions import read_revisions
from diptych.run import Run


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that the page shows."""

    folder: Path
    names: Pair[str]
    directions: tuple[Direction, ...]
    about: dict[str, Any]
    """All of ``config.json``."""
    options: dict[str, Any]
    """Every option under its dotted name."""
    written: datetime
    pictures: int
    total: int
    seconds: float | None
    """How long the run has trained; None for a run without a time."""
    epoch: float | None
    curves: dict[str, list[Point]]
    """Over pictures: learning rate, speed, each loss (``losses.<name>``), the score of held-out pictures in each
    direction (``score.<direction>``), and its mean over directions (``score.value``)."""
    criterion: str
    """What the score measures; lower is better."""
    grids: list[tuple[int, Path]]
    """The number of pictures seen and the file of each sample grid, in order."""
    blocks: Sequence[Block]
    """A block for each direction: sample pictures in the first row, their translations in the second."""
    no_blocks: str
    """Why there are no blocks."""
    scores: dict[str, Any] | None
    alarms: list[dict[str, Any]]
    """The alarms at the last sampling point."""
    past_alarms: list[tuple[int, dict[str, Any]]]
    """Earlier alarms that are gone, each with the number of pictures when it was last raised."""
    picture: Path | None
    """The picture at the top of the page; None if there is none."""

    @property
    def held_out(self) -> bool:
        """Whether the pictures shown were held out of training."""
        return all(self.about.get("held_out", {}).values())


def collect(run: Run, blocks: Sequence[Block], no_blocks: str = "") -> ReportData:
    """Reads the folder of ``run``.

    Raises:
        RunError: its ``config.json`` cannot be read.
    """
    config, about = run.config(), run.about()
    options = flatten(config)
    records = [record for record in run.metrics() if isinstance(record, dict) and "pictures" in record]
    measured = [record for record in records if isinstance(record.get("losses"), dict)]
    last = measured[-1] if measured else {}
    grids = sorted((int(path.stem), path) for path in run.samples.glob("*.png") if path.stem.isdecimal())
    saved = [int(file.stem) for file in run.checkpoint_files()]
    reached = max([last.get("pictures", 0), *(pictures for pictures, _ in grids), *saved])
    alarms, past = _alarms(records, since=grids[-1][0] if grids else 0)
    only: Direction | None = options.get("method.direction")
    return ReportData(
        folder=run.folder,
        names=domain_names(config.source),
        directions=("a2b", "b2a") if only is None else (only,),
        about=about,
        options=options,
        written=datetime.now(UTC),
        pictures=reached,
        total=run.total(),
        seconds=_seconds(run, options),
        epoch=last.get("epoch"),
        curves=_curves(records),
        criterion=next((str(r["score"].get("criterion")) for r in records if isinstance(r.get("score"), dict)), ""),
        grids=grids,
        blocks=blocks,
        no_blocks=no_blocks,
        scores=_scores(run.scores_file),
        alarms=alarms,
        past_alarms=past,
        picture=run.picture_file if run.picture_file.is_file() else None,
    )


def _seconds(run: Run, options: dict[str, Any]) -> float | None:
    revisions = read_revisions(run.revisions_file) if options.get("length.time") else []
    return max((revision.seconds for revision in revisions), default=None)


def _curves(records: list[dict[str, Any]]) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {}
    for record in records:
        numbers = {name: record.get(name) for name in ("learning_rate", "pictures_per_second")}
        for group, names in (("losses", None), ("score", ("a2b", "b2a", "value"))):
            if isinstance(members := record.get(group), dict):
                numbers |= {f"{group}.{name}": members.get(name) for name in names or members}
        for name, value in numbers.items():
            if isinstance(value, int | float) and math.isfinite(value):
                curves.setdefault(name, []).append((float(record["pictures"]), float(value)))
    return curves


def _alarms(
    records: list[dict[str, Any]], *, since: int
) -> tuple[list[dict[str, Any]], list[tuple[int, dict[str, Any]]]]:
    """The current alarms, and those that are gone. ``since`` is the number of pictures at the last check.

    A check without alarms leaves no record.
    """
    checks = [(int(record["pictures"]), record["alarms"]) for record in records if "alarms" in record]
    newest = checks[-1][1] if checks and checks[-1][0] >= since else []
    seen = {_key(alarm): (pictures, alarm) for pictures, alarms in checks for alarm in alarms}
    for alarm in newest:
        seen.pop(_key(alarm), None)
    return newest, list(seen.values())


def _key(alarm: dict[str, Any]) -> tuple[str, str]:
    return str(alarm.get("alarm")), str(alarm.get("about"))


def _scores(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("directions"), dict) else None
