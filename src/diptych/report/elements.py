"""Pieces of HTML that the page's parts share. ``text`` is escaped here, ``html`` is taken as it is."""

from collections.abc import Iterable
from html import escape
from typing import Any


def name(text: str) -> str:
    """The name of a domain, of any script, set apart from the direction of the text around it."""
    return f"<bdi>{escape(text)}</bdi>"


def note(html: str) -> str:
    """A remark in small print."""
    return f'<p class="note">{html}</p>'


def empty(text: str) -> str:
    """What stands where there is nothing to show."""
    return f'<p class="empty">{escape(text)}</p>'


def scrolling(html: str, *, text: str, key: str) -> str:
    """A region that scrolls sideways by itself where the page is narrow; ``text`` says what it is."""
    return f'<div class="sheet" id="{key}" tabindex="0" role="region" aria-label="{escape(text)}">{html}</div>'


def details(text: str, html: str) -> str:
    """``html`` folded away under ``text``."""
    return f"<details><summary>{escape(text)}</summary>{html}</details>"


def code(text: str) -> str:
    """A command or code, to copy."""
    button = '<button type="button" hidden>Copy</button>'
    return f'<div class="code"><pre tabindex="0"><code>{escape(text)}</code></pre>{button}</div>'


def pairs(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values."""
    cells = "".join(f"<dt>{escape(str(key))}</dt><dd>{escape(str(value))}</dd>" for key, value in rows)
    return f"<dl>{cells}</dl>"
