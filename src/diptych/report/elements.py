"""Pieces of HTML for all parts of the page. ``text`` is escaped here; ``html`` is inserted unchanged."""

from collections.abc import Iterable
from html import escape
from typing import Any


def name(text: str) -> str:
    """A domain's name, isolated: its writing direction does not affect the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def note(html: str) -> str:
    """A remark in small print."""
    return f'<p class="note">{html}</p>'


def empty(text: str) -> str:
    """A message in place of a part that has nothing to show."""
    return f'<p class="empty">{escape(text)}</p>'


def scrolling(html: str, *, text: str, key: str) -> str:
    """A region that scrolls sideways on a narrow page; ``text`` describes it to screen readers."""
    return f'<div class="sheet" id="{key}" tabindex="0" role="region" aria-label="{escape(text)}">{html}</div>'


def details(text: str, html: str) -> str:
    """``html``, folded under the heading ``text``."""
    return f"<details><summary>{escape(text)}</summary>{html}</details>"


def code(text: str) -> str:
    """A command or code, with a button that copies it."""
    button = '<button type="button" hidden>Copy</button>'
    return f'<div class="code"><pre tabindex="0"><code>{escape(text)}</code></pre>{button}</div>'


def pairs(rows: Iterable[tuple[str, Any]]) -> str:
    """A list of names and values."""
    cells = "".join(f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in rows)
    return f"<dl>{cells}</dl>"


def three_digits(value: Any) -> str:
    """A number in three digits; a dash for anything else."""
    return f"{value:.3g}".replace("-", "−") if isinstance(value, int | float) else "–"
