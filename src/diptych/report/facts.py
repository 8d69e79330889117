"""What the report says of a run, collected from its folder. A part that is missing or damaged is left out."""

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
from diptych.run import Run

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A run, as it is now."""

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
    epoch: float | None
    curves: dict[str, list[Point]]
    """Learning rate, speed, each loss (``losses.<name>``) and what held-out pictures score (``score.<direction>``, and
    their mean ``score.value``) over pictures."""
    criterion: str
    """What that score is; lower is better."""
    grids: list[tuple[int, Path]]
    """The sample grids with the number of pictures seen, in order."""
    blocks: Sequence[Block]
    """Held-out pictures (first row) and their translations (second row), a block for each direction."""
    no_blocks: str
    """Why there are none."""
    scores: dict[str, Any] | None
    alarms: list[dict[str, Any]]
    """Those of now."""
    past_alarms: list[tuple[int, dict[str, Any]]]
    """Those no longer seen, each with when it last was."""
    picture: Path | None
    """What the page opens with, where there is such a picture."""

    @property
    def held_out(self) -> bool:
        """Whether the pictures shown are ones that the run does not train on."""
        return all(self.about.get("held_out", {}).values())


def collect(run: Run, blocks: Sequence[Block], no_blocks: str = "") -> Facts:
    """The facts of ``run``.

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
    return Facts(
        folder=run.folder,
        names=domain_names(config.source),
        directions=("a2b", "b2a") if only is None else (only,),
        about=about,
        options=options,
        written=datetime.now(UTC),
        pictures=reached,
        total=about.get("total", 0),
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
    """The alarms of the last look, and those before that are gone; a look without alarm may leave no record."""
    looks = [(int(record["pictures"]), record["health"]) for record in records if "health" in record]
    newest = looks[-1][1] if looks and looks[-1][0] >= since else []
    seen = {_key(alarm): (pictures, alarm) for pictures, alarms in looks for alarm in alarms}
    for alarm in newest:
        seen.pop(_key(alarm), None)
    return newest, list(seen.values())


def _key(alarm: dict[str, Any]) -> tuple[str, str]:
    return str(alarm.get("alarm")), str(alarm.get("direction"))


def _scores(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("directions"), dict) else None
