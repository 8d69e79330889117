"""``revisions.jsonl``: how many images a run with ``--time`` plans to see. The plan is revised while the run trains."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from diptych.atomic import append_line


class Pace(NamedTuple):
    """What was measured of a run."""

    pictures_per_second: float
    """Images per domain, over all ranks, including the time that updates wait for data."""
    sample_seconds: float
    """Seconds per sample grid, including its alarms."""
    score_seconds: float | None = None
    """Seconds per score; None if none has been measured."""
    save_seconds: float = 0.0
    """Seconds per checkpoint and model."""


class Revision(NamedTuple):
    """One plan of the length of a run."""

    pictures: int
    """Images per domain seen when it was made."""
    total: int
    """Images per domain at the end of the run."""
    seconds: float
    """How long the run has trained, in all processes that trained it one after the other."""
    pace: Pace
    starts: bool = False
    """Whether the learning-rate schedule starts again: the first plan of a run, or of a longer one."""


def with_revision(revisions: Iterable[Revision], newest: Revision) -> list[Revision]:
    """``revisions`` and ``newest``, without those that it replaces: all if it ``starts``, else those of lost work."""
    if newest.starts:
        return [newest]
    return [*(revision for revision in revisions if revision.pictures < newest.pictures), newest]


def append_revision(file: Path, revision: Revision) -> None:
    """Appends ``revision`` to ``file``.

    Raises:
        OSError: the disk is full or read-only.
    """
    append_line(file, json.dumps(revision._asdict() | {"pace": revision.pace._asdict()}), flush=True)


def read_revisions(file: Path) -> list[Revision]:
    """All lines of ``file``, also those that later ones replaced; skips a last line cut off by a power failure."""
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        with suppress(ValueError, TypeError):
            value = json.loads(line)
            found.append(Revision(**value | {"pace": Pace(**value["pace"])}))
    return found


def in_effect(lines: Iterable[Revision], pictures: int) -> list[Revision]:
    """The revisions that hold after ``pictures`` images per domain. Later lines describe work that was lost."""
    revisions: list[Revision] = []
    for line in lines:
        if line.pictures <= pictures:
            revisions = with_revision(revisions, line)
    return revisions
