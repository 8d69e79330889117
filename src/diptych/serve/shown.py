"""What the page shows of a model: title, directions, examples, facts."""

from pathlib import Path
from typing import Any

from diptych.config import Direction
from diptych.hub import words
from diptych.hub.examples import write_examples
from diptych.pair import DomainName
from diptych.serve.limits import Limits
from diptych.serve.models import Served

DIRECTIONS: tuple[tuple[Direction, DomainName], ...] = (("a2b", "a"), ("b2a", "b"))


def examples_of(served: Served, folder: Path) -> list[tuple[Path, Direction]]:
    """Writes example pictures into ``folder``. Returns each with the direction that it is for."""
    folder.mkdir()
    made = write_examples(served.path, folder)
    return [(file, way) for way, domain in DIRECTIONS if way in served.translators for file in made[domain]]


def heading(served: Served) -> str:
    """The title, and how many alarms there are."""
    title, number = f"# {words.text(served.facts.title)}", len(served.facts.alarms)
    alarms = "1 alarm" if number == 1 else f"{number} alarms"
    return f"{title}\n\n**{alarms} at the end of training: see About.**" if number else title


def directions(served: Served) -> dict[str, Any]:
    """The settings of the choice of a direction."""
    named = [(" → ".join(served.facts.along(way)), way) for way in served.translators]
    return {"choices": named, "value": served.default_direction}


def gallery(examples: list[tuple[Path, Direction]]) -> dict[str, Any]:
    """The settings of the row of examples."""
    return {"value": [str(path) for path, _ in examples], "visible": bool(examples), "columns": 8}


def about(served: Served) -> str:
    """The facts about a model."""
    facts = served.facts
    parts = {
        "Alarms": words.alarms(facts),
        "Scores": words.scores(facts),
        "Data": words.data(facts),
        "Method": words.method(facts),
        "Licence": words.licence(facts),
    }
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in parts.items())


def promise(limits: Limits) -> str:
    """What happens to uploads, and how large they may be."""
    return (
        "What you upload is deleted when its translation is written. Translations can be downloaded for "
        f"{limits.keep_minutes:g} minutes. A file may have {limits.max_mb:g} MB and {limits.max_megapixels:g} million "
        "pixels."
    )
