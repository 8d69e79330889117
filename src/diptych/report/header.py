"""The head of the page: how far the run is, and its alarms."""

import re
from html import escape

from diptych.monitoring.alarms import quiet_until
from diptych.pair import REVERSE
from diptych.report.elements import details, name
from diptych.report.facts import Facts


def arrow(facts: Facts) -> str:
    """Between the names of A and B: which way the run translates."""
    if len(facts.directions) == 2:
        return "⇄"
    return "→" if facts.directions == ("a2b",) else "←"


def state(facts: Facts) -> str:
    """How far the run is, in one line."""
    done = 0 < facts.total <= facts.pictures
    reached = f"{facts.pictures:,}" + (f" of {facts.total:,}" if facts.pictures < facts.total else "")
    words = ["Finished" if done else "Not finished", f"{reached} pictures of each domain"]
    if facts.epoch:
        words.append(f"{facts.epoch:,.0f} epochs" if facts.epoch >= 100 else f"{facts.epoch:.3g} epochs")
    speeds = [speed for _, speed in facts.curves.get("pictures_per_second", [])[-5:]]
    if speeds and facts.pictures < facts.total and (speed := sum(speeds) / len(speeds)) > 0:
        words.append(f"{duration((facts.total - facts.pictures) / speed)} to go at this speed")
    at = f"{facts.written.day} {facts.written:%B %Y, %H:%M} UTC"
    words.append(f'written <time datetime="{facts.written.isoformat(timespec="seconds")}">{at}</time>')
    return " · ".join(words)


def duration(seconds: float) -> str:
    """``seconds`` as a person would say it."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"


def health(facts: Facts) -> str:
    """The alarms of now in plain words, and those that are over."""
    if facts.alarms:
        number = "1 alarm" if len(facts.alarms) == 1 else f"{len(facts.alarms)} alarms"
        listed = "".join(f"<li>{_alarm(facts, alarm)}</li>" for alarm in facts.alarms)
        now = f'<div class="alarms" role="status"><h2>{number}</h2><ul>{listed}</ul></div>'
    elif not facts.past_alarms and facts.pictures < (quiet := quiet_until(facts.total)):
        words = f"Alarms begin at {quiet:,} pictures." if quiet < facts.total else "Too short a run for alarms."
        now = f'<p role="status">{words}</p>'
    else:
        now = '<p class="well" role="status">No alarm.</p>'
    if not facts.past_alarms:
        return now
    over = "".join(
        f"<li>{_alarm(facts, alarm)}<p>Last seen at {pictures:,} pictures.</p></li>"
        for pictures, alarm in facts.past_alarms
    )
    return now + details(f"{len(facts.past_alarms)} before, now gone", f'<ul class="past">{over}</ul>')


def _alarm(facts: Facts, alarm: dict[str, object]) -> str:
    about = str(alarm.get("direction") or "")
    where = " to ".join(facts.names.along(about)) if about in REVERSE else about
    text = str(alarm.get("alarm", ""))
    numbers = [f"{str(alarm.get('name') or 'value').replace('_', ' ')} {_figures(alarm.get('value'))}"]
    if alarm.get("threshold") is not None:
        numbers.append(f"threshold {_figures(alarm['threshold'])}")
    first = f"{name(where)}: " if where else ""
    advice = re.sub(r"--[\w.-]*\w", r"<code>\g<0></code>", escape(str(alarm.get("advice", ""))))
    return (
        f"<p><strong>{first}{escape(text)}.</strong> <small>{escape(', '.join(numbers))}</small></p>"
        f"<p>What to try: {advice}.</p>"
    )


def _figures(value: object) -> str:
    return f"{value:.3g}".replace("-", "−") if isinstance(value, int | float) else str(value)
