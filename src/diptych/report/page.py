"""The page: one HTML file with its style, its script and its pictures inside."""

from html import escape
from importlib.metadata import version
from importlib.resources import files
from string import Template

from diptych.report.collect import ReportData
from diptych.report.curves import curves
from diptych.report.elements import name
from diptych.report.figures import comparisons, lead, samples_over_time
from diptych.report.header import alarms, arrow, state
from diptych.report.tables import configuration, how_to_repeat, how_to_use, scores


def draw_page(data: ReportData) -> str:
    """The whole page."""
    parts = files("diptych.report")
    sections = [
        ("before", "Before and after", comparisons(data)),
        ("samples", "Over time", samples_over_time(data)),
        ("scores", "Scores", scores(data)),
        ("curves", "Training curves", curves(data)),
        ("use", "Use this model", how_to_use(data)),
        ("repeat", "Repeat this run", how_to_repeat(data)),
        ("configuration", "Configuration", configuration(data)),
    ]
    return Template((parts / "page.html").read_text(encoding="utf-8")).substitute(
        style=(parts / "page.css").read_text(encoding="utf-8"),
        script=(parts / "page.js").read_text(encoding="utf-8"),
        title=" ".join(map(escape, (data.names.a, arrow(data), data.names.b))),
        heading=f"{name(data.names.a)} <i>{arrow(data)}</i> {name(data.names.b)}",
        state=state(data),
        progress=f"{min(1.0, data.pictures / data.total) if data.total else 0:.4f}",
        alarms=alarms(data),
        lead=lead(data),
        contents="".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections),
        sections="".join(f'<section id="{key}"><h2>{title}</h2>{body}</section>' for key, title, body in sections),
        version=escape(version("diptych")),
    )
