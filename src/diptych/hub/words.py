"""The facts about a model as Markdown, for the model card and for the served page."""

import re
from collections.abc import Iterator
from typing import Any

from diptych.hub.facts import Facts

REFERENCES = {"trained": "trained", "untranslated": "input", "untrained": "untrained", "real": "real"}


def text(value: object) -> str:
    """``value`` as plain text in Markdown: on one line, with nothing that Markdown or HTML would interpret."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", line)


def rounded(value: object) -> str:
    """A number with three digits; a dash if there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:.3g}"


def alarms(facts: Facts) -> str:
    """The alarms at the end of training."""
    if not facts.alarms:
        return "No alarms at the end of training." if facts.data else "Not known: the model came without its run."
    return "\n".join(f"- **{_alarm(facts, alarm)}.** {text(alarm.get('advice', ''))}." for alarm in facts.alarms)


def _alarm(facts: Facts, alarm: dict[str, Any]) -> str:
    about = str(alarm.get("about") or "")
    where = " to ".join(facts.along(about)) if about in ("a2b", "b2a") else about  # type: ignore[arg-type]
    return text(f"{where}: {alarm.get('alarm')}" if where else alarm.get("alarm"))


def scores(facts: Facts) -> str:
    """A table for each direction, beside the reference values, and the protocol."""
    directions = facts.scores.get("directions") or {}
    return "\n\n".join(filter(None, [*map(_table, directions.values()), _protocol(facts)])) or "Not scored yet."


def _table(found: dict[str, Any]) -> str:
    lines = [
        f"**{text(found.get('source'))} to {text(found.get('target'))}**",
        "",
        f"| | {' | '.join(REFERENCES.values())} |",
        f"|---|{'---:|' * len(REFERENCES)}",
    ]
    for score in (found.get("scores") or {}).values():
        arrow = {"lower": " ↓", "higher": " ↑"}.get(str(score.get("better")), "")
        cells = " | ".join(rounded(score.get(key)) for key in REFERENCES)
        lines.append(f"| {text(score.get('name'))}{arrow} | {cells} |")
    return "\n".join(lines)


def _protocol(facts: Facts) -> str:
    remarks = [f"- {text(remark)}" for remark in facts.scores.get("remarks") or []]
    protocol = facts.scores.get("protocol") or {}
    named = {key: value for key, value in protocol.items() if isinstance(value, str | int | float)}
    lines = [f"- {text(key.replace('_', ' '))}: {text(value)}" for key, value in named.items()]
    legend = (
        "Input: the source pictures, not translated. Untrained: generators with initial weights. Real: half of the "
        "real pictures compared with the other half. ↓ lower is better, ↑ higher is better."
    )
    return "\n".join([*remarks, *([""] if remarks else []), legend, "", *lines]) if facts.scores else ""


def data(facts: Facts) -> str:
    """What the model was trained on."""
    lines = []
    for domain, each in facts.data.items():
        name, held = each.get("name"), each.get("held_out")
        called = domain if name == domain else f"{domain}, {text(name)}"
        lines.append(f"- {called}: {each.get('pictures') or '?'} pictures{f', {held} held out' if held else ''}")
    return "\n".join(lines) or f"Pictures of {text(facts.domains[0])} and of {text(facts.domains[1])}."


def method(facts: Facts) -> str:
    """How it was trained."""
    return "\n".join(f"- {line}" for line in _method(facts))


def _method(facts: Facts) -> Iterator[str]:
    yield f"method: {text(facts.method)}"
    options = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.generator.items() if key != "kind")
    yield f"generators: {text(facts.generator.get('kind', '?'))}" + (f" ({text(options)})" if options else "")
    if facts.pictures:
        of = f" of {facts.total:,}" if facts.total > facts.pictures else ""
        yield f"{facts.pictures:,}{of} pictures of each domain seen"
    if facts.versions:
        yield text(", ".join(f"{key} {value}" for key, value in facts.versions.items()))


def licence(facts: Facts) -> str:
    """The licence in words."""
    return text(facts.licence) or "not stated: ask the author before you use it"
