"""Facts about a model that its users need: data, method, scores, alarms, licence. No path of a machine is in them."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from diptych.checksummed import MODEL, read_checksummed
from diptych.config import Direction
from diptych.inference.exported_model import is_exported, load_exported
from diptych.model import model_file, read_card
from diptych.pair import Pair, title_of
from diptych.report.collect import collect
from diptych.run import Run

FACTS_FILE = "facts.json"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a model. What is unknown is empty, or None."""

    name: str
    domains: tuple[str, str]
    """The names of A and B."""
    directions: tuple[Direction, ...]
    method: str
    generator: dict[str, Any]
    """Kind and options of the generators."""
    pictures: int | None = None
    """Pictures per domain seen in training."""
    total: int = 0
    """Pictures per domain that were planned; 0 if unknown."""
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    """For A and B: the name of the domain, the numbers of training and of held-out pictures, and a SHA-256 of the
    training pictures."""
    training: dict[str, Any] = field(default_factory=dict)
    """Options of training."""
    scores: dict[str, Any] = field(default_factory=dict)
    """The content of ``scores.json``."""
    alarms: list[dict[str, Any]] = field(default_factory=list)
    """The alarms at the end of training."""
    licence: str = ""
    versions: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """See ``title_of``."""
        return title_of(Pair(*self.domains), self.directions, self.name)

    def along(self, direction: Direction) -> tuple[str, str]:
        """The names of (source, target) of ``direction``."""
        a, b = self.domains
        return (a, b) if direction == "a2b" else (b, a)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def facts_of(path: Path) -> Facts:
    """The facts about ``path``: a run, a folder of ``diptych pull``, a model file, or an exported file.

    Raises:
        UserError: it is missing, damaged, or names a class outside of diptych.
    """
    if (run := Run(path)).exists:
        return _of_run(run)
    if path.is_dir():
        with suppress(OSError, ValueError, TypeError):
            known = json.loads((path / FACTS_FILE).read_text(encoding="utf-8"))
            tuples = {key: tuple(known[key]) for key in ("domains", "directions")}
            return Facts(**known | tuples)
    if is_exported(path):
        exported = load_exported(path, "torch", device="cpu", precision="fp32")
        card, generator = exported.card, {"kind": type(exported.card.generator).__name__}
        names, directions = (card.names.a, card.names.b), (exported.direction,)
        return Facts(
            name=path.stem, domains=names, directions=directions, method=card.method, generator=generator,
            pictures=card.pictures,
        )  # fmt: skip
    card_json, directions_in_file = read_card(path), _directions(path)
    return Facts(
        name=path.name if path.is_dir() else path.stem,
        domains=tuple(card_json["names"]),
        directions=directions_in_file,
        method=str(card_json["method"]),
        generator=card_json["generator"],
        pictures=card_json["pictures"],
    )


def _directions(path: Path) -> tuple[Direction, ...]:

    return tuple(read_checksummed(model_file(path), MODEL)[1]["directions"])


def _of_run(run: Run) -> Facts:
    known = collect(run, ())
    config, about = known.about["config"], known.about
    given, held = about.get("pictures", {}), about.get("held_out", {})
    data = {
        domain: {
            "name": name,
            "pictures": given.get(domain, {}).get("number"),
            "held_out": len(held.get(domain, [])),
            "sha256": given.get(domain, {}).get("sha256"),
        }
        for domain, name in zip("AB", known.names, strict=True)
    }
    training = {name: config[name] for name in ("method", "data", "optimiser", "length") if name in config}
    training["method"] = {key: value for key, value in config["method"].items() if key != "teacher"}  # a path
    training["optimiser"] = {key: value for key, value in config["optimiser"].items() if key != "init_from"}
    versions = about.get("versions") or [{}]
    return Facts(
        name=run.folder.resolve().name,
        domains=(known.names.a, known.names.b),
        directions=known.directions,
        method=str(config["method"]["kind"]),
        generator=config["generator"],
        pictures=known.pictures,
        total=known.total,
        data=data,
        training=training,
        scores=_without_folders(known.scores or {}),
        alarms=known.alarms,
        versions={key: value for key, value in versions[-1].items() if key != "from_pictures"},
    )


def _without_folders(value: Any) -> Any:
    """``value`` with names in place of absolute paths."""
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value
