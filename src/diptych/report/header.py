"""The top of the page: progress and alarms."""

import re
from html import escape

from diptych.monitoring.alarms import alarms_start_at
from diptych.pair import REVERSE
from diptych.report.collect import ReportData
from diptych.report.elements import details, name, three_digits


def arrow(data: ReportData) -> str:
    """The arrow between the names of A and B: the directions that the run translates."""
    if len(data.directions) == 2:
        return "⇄"
    return "→" if data.directions == ("a2b",) else "←"


def state(data: ReportData) -> str:
    """The progress of the run in one line."""
    done = 0 < data.total <= data.pictures
    reached = f"{data.pictures:,}" + (f" of {data.total:,}" if data.pictures < data.total else "")
    words = ["Finished" if done else "Not finished", f"{reached} pictures of each domain"]
    if data.epoch:
        words.append(f"{data.epoch:,.0f} epochs" if data.epoch >= 100 else f"{data.epoch:.3g} epochs")
    speeds = [speed for _, speed in data.curves.get("pictures_per_second", [])[-5:]]
    if speeds and data.pictures < data.total and (speed := sum(speeds) / len(speeds)) > 0:
        words.append(f"{duration((data.total - data.pictures) / speed)} left at this speed")
    if data.seconds is not None:
        words.append(f"{duration(data.seconds)} of {data.options['length.time']} used")
    at = f"{data.written.day} {data.written:%B %Y, %H:%M} UTC"
    words.append(f'written <time datetime="{data.written.isoformat(timespec="seconds")}">{at}</time>')
    return " · ".join(words)


def duration(seconds: float) -> str:
    """``seconds`` in the largest unit that gives at least 2."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} seconds"


def alarms(data: ReportData) -> str:
    """The current alarms, and earlier ones that no longer hold."""
    if data.alarms:
        number = "1 alarm" if len(data.alarms) == 1 else f"{len(data.alarms)} alarms"
        listed = "".join(f"<li>{_alarm(data, alarm)}</li>" for alarm in data.alarms)
        now = f'<div class="alarms" role="status"><h2>{number}</h2><ul>{listed}</ul></div>'
    elif not data.past_alarms and data.pictures < (quiet := alarms_start_at(data.total)):
        words = f"Alarms start at {quiet:,} pictures." if quiet < data.total else "The run is too short for alarms."
        now = f'<p role="status">{words}</p>'
    else:
        now = '<p class="no-alarms" role="status">No alarms.</p>'
    if not data.past_alarms:
        return now
    earlier = "1 earlier alarm" if len(data.past_alarms) == 1 else f"{len(data.past_alarms)} earlier alarms"
    over = "".join(
        f"<li>{_alarm(data, alarm)}<p>Last seen at {pictures:,} pictures.</p></li>"
        for pictures, alarm in data.past_alarms
    )
    return now + details(f"{earlier}, no longer raised", f'<ul class="past">{over}</ul>')


def _alarm(data: ReportData, alarm: dict[str, object]) -> str:
    about = str(alarm.get("about") or "")
    where = " to ".join(data.names.along(about)) if about in REVERSE else about
    text = str(alarm.get("alarm", ""))
    numbers = [f"{str(alarm.get('name') or 'value').replace('_', ' ')} {three_digits(alarm.get('value'))}"]
    if alarm.get("threshold") is not None:
        numbers.append(f"threshold {three_digits(alarm['threshold'])}")
    first = f"{name(where)}: " if where else ""
    advice = re.sub(r"--[\w.-]*\w", r"<code>\g<0></code>", escape(str(alarm.get("advice", ""))))
    return (
        f"<p><strong>{first}{escape(text)}.</strong> <small>{escape(', '.join(numbers))}</small></p>"
        f"<p>What to try: {advice}.</p>"
    )
