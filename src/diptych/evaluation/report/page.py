"""The page itself: the facts of a run as one HTML file with its style, its script and its pictures inside."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files
from string import Template

from diptych.evaluation.report.charts import Chart, Line, draw_chart
from diptych.evaluation.report.facts import Facts
from diptych.evaluation.report.figures import comparisons, lead, samples_over_time
from diptych.evaluation.report.tables import configuration, how_to_repeat, how_to_use, scores

LOSSES = {
    "gan": ("Adversarial", "How far translations are from passing as real. Read it only beside the discriminator's."),
    "cycle": ("Cycle consistency", "What is lost on the way there and back, times its weight."),
    "identity": ("Identity", "How much a picture changes that is already of the domain, times its weight."),
    "l1": ("L1 to the true picture", "Times its weight."),
    "discriminator": ("Discriminator", "Near 0 it is never wrong; level with a coin's toss, it only guesses."),
}
"""What the losses are called, and what they say, by their names without the domain."""


def draw_page(facts: Facts) -> str:
    """The whole page."""
    parts = files("diptych.evaluation.report")
    sections = [
        ("before", "Before and after", comparisons(facts)),
        ("samples", "Over time", samples_over_time(facts)),
        ("scores", "Scores", scores(facts)),
        ("curves", "Curves", curves(facts)),
        ("use", "Use it", how_to_use(facts)),
        ("repeat", "Repeat it", how_to_repeat(facts)),
        ("configuration", "Configuration", configuration(facts)),
    ]
    return Template((parts / "page.html").read_text(encoding="utf-8")).substitute(
        style=(parts / "page.css").read_text(encoding="utf-8"),
        script=(parts / "page.js").read_text(encoding="utf-8"),
        title=" ".join(map(escape, (facts.names.a, arrow(facts), facts.names.b))),
        heading=f"<bdi>{escape(facts.names.a)}</bdi> <i>{arrow(facts)}</i> <bdi>{escape(facts.names.b)}</bdi>",
        state=state(facts),
        share=f"{min(1.0, facts.pictures / facts.total) if facts.total else 0:.4f}",
        health=health(facts),
        lead=lead(facts),
        contents="".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections),
        sections="".join(f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, title, body in sections),
        version=escape(str(facts.about.get("versions", {}).get("diptych", ""))),
    )


def arrow(facts: Facts) -> str:
    """Between the names of A and B: which way the run translates."""
    return {("a2b",): "→", ("b2a",): "←"}.get(facts.directions, "⇄")


def state(facts: Facts) -> str:
    """How far the run is, in one line."""
    done = facts.total and facts.pictures >= facts.total
    words = ["finished" if done else "not finished", f"{facts.pictures:,}"]
    if facts.total and not done:
        words[1] += f" of {facts.total:,}"
    words[1] += " pictures of each domain"
    if facts.epoch:
        words.append(f"{facts.epoch:,.3g} epochs")
    speeds = [speed for _, speed in facts.curves.get("pictures_per_second", [])[-5:]]
    if speeds and not done and (speed := sum(speeds) / len(speeds)) > 0:
        words.append(f"{duration((facts.total - facts.pictures) / speed)} to go at this speed")
    at = f"{facts.written:%-d %B %Y, %H:%M} UTC"
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
    parts = ["".join(f"<li>{_alarm(facts, alarm)}</li>" for alarm in facts.alarms)]
    if facts.alarms:
        number = "1 alarm" if len(facts.alarms) == 1 else f"{len(facts.alarms)} alarms"
        parts = [f'<div class="alarms" role="status"><h2>{number}</h2><ul>{parts[0]}</ul></div>']
    else:
        parts = ['<p class="well" role="status">No alarm.</p>']
    if facts.past_alarms:
        over = "".join(
            f"<li>{_alarm(facts, alarm)} Last seen at {pictures:,} pictures.</li>"
            for pictures, alarm in facts.past_alarms
        )
        parts.append(
            f'<details><summary>{len(facts.past_alarms)} before, now gone</summary><ul class="past">{over}</ul></details>'
        )
    return "".join(parts)


def _alarm(facts: Facts, alarm: dict[str, object]) -> str:
    about = alarm.get("direction")
    where = " to ".join(facts.along(str(about))) if about in ("a2b", "b2a") else str(about or "")
    text = str(alarm.get("alarm", ""))
    numbers = [f"{str(alarm.get('name') or 'value').replace('_', ' ')} {_figures(alarm.get('value'))}"]
    if alarm.get("threshold") is not None:
        numbers.append(f"threshold {_figures(alarm['threshold'])}")
    first = f"<bdi>{escape(where)}</bdi>: " if where else ""
    return (
        f"<p><strong>{first}{escape(text)}.</strong> <small>{escape(', '.join(numbers))}</small></p>"
        f"<p>What to try: {escape(str(alarm.get('advice', '')))}.</p>"
    )


def _figures(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def curves(facts: Facts) -> str:
    """A chart for each kind of loss, the learning rate and the speed."""
    charts = [*_loss_charts(facts)]
    for key, title, note, smooth in (
        ("learning_rate", "Learning rate", "", False),
        ("pictures_per_second", "Speed", "Pictures of each domain per second.", True),
    ):
        if points := facts.curves.get(key):
            charts.append(Chart(title, [Line(title.lower(), points)], note, smooth))
    if not charts:
        return '<p class="empty">Nothing is measured yet.</p>'
    drawn = "".join(map(draw_chart, charts))
    return f'<p class="note">Over pictures seen. Faint: as measured; strong: smoothed. Each line bears the name of the domain that it is about.</p><div class="charts">{drawn}</div>'


def _loss_charts(facts: Facts) -> Iterator[Chart]:
    kinds: dict[str, list[Line]] = {}
    for key, points in facts.curves.items():
        if key.startswith("losses."):
            name = key.removeprefix("losses.")
            kind, domain = (name[:-2], name[-1]) if name.endswith(("_a", "_b")) else (name, "")
            called = getattr(facts.names, domain) if domain else name.replace("_", " ")
            kinds.setdefault(kind, []).append(Line(called, points))
    for kind, lines in kinds.items():
        title, note = LOSSES.get(kind, (kind.replace("_", " ").capitalize(), ""))
        yield Chart(title, lines, note)
