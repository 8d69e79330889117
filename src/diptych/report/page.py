"""The page itself: the facts of a run as one HTML file with its style, its script and its pictures inside."""

from html import escape
from importlib.resources import files
from string import Template

from diptych.report.curves import curves
from diptych.report.elements import name
from diptych.report.facts import Facts
from diptych.report.figures import comparisons, lead, samples_over_time
from diptych.report.header import arrow, health, state
from diptych.report.tables import configuration, how_to_repeat, how_to_use, scores


def draw_page(facts: Facts) -> str:
    """The whole page."""
    parts = files("diptych.report")
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
        heading=f"{name(facts.names.a)} <i>{arrow(facts)}</i> {name(facts.names.b)}",
        state=state(facts),
        share=f"{min(1.0, facts.pictures / facts.total) if facts.total else 0:.4f}",
        health=health(facts),
        lead=lead(facts),
        contents="".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections),
        sections="".join(f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, title, body in sections),
        version=escape(str(facts.about.get("versions", {}).get("diptych", ""))),
    )
