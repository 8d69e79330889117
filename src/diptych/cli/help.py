"""``--help``: what a command does, examples, and its options in groups."""

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from diptych.cli.options import Option, summary

MAX_WIDTH, COLUMN = 100, 28
OVERVIEW = """Learn to translate pictures between two domains from two folders of pictures, without pairs.

For example:
  diptych demo                                       try it on built-in pictures
  diptych check photos paintings                     what is wrong with the pictures, before hours are spent
  diptych train photos paintings                     train; the same command goes on where it stopped
  diptych translate runs/photos2paintings in out     translate a picture or a folder
  diptych evaluate runs/photos2paintings             score it on pictures that it has not seen"""
EXIT_CODES = {
    "0": "done",
    "1": "done in part: some pictures failed (translate), or there are warnings (check)",
    "2": "a mistake that you can mend, told in one line with its cure",
    "130": "interrupted; train and demo have saved, and the same command goes on",
    "141": "whoever read the output has had enough",
}


def overview(commands: Mapping[str, type[Any]]) -> str:
    """The help of ``diptych`` itself."""
    lines = [_bold("usage:") + " diptych COMMAND [OPTIONS]", "", OVERVIEW, "", _bold("Commands")]
    for name, kind in commands.items():
        lines += _row(name, summary(kind))
    lines += ["", _bold("Options")]
    lines += _row("-h, --help", "Show this help, or after a command its options.")
    lines += _row("--version", "Show the version.")
    lines += ["", _bold("Exit codes")]
    for code, meaning in EXIT_CODES.items():
        lines += _row(code, meaning)
    return "\n".join(lines)


def help_of(command: str, kind: type[Any], options: Sequence[Option]) -> str:
    """The help of a ``command``, which the dataclass ``kind`` is."""
    arguments = [option for option in options if option.is_argument]
    usage = " ".join(["[OPTIONS]", *(option.metavar for option in arguments)])
    lines = [f"{_bold('usage:')} diptych {command} {usage}", "", *_description(kind)]
    if arguments:
        lines += ["", _bold("Arguments")]
        for option in arguments:
            lines += _row(option.name, option.about)
    rest = [option for option in options if not option.is_argument]
    for heading, group in groupby(rest, lambda option: option.heading):
        lines += ["", *map(_bold, _wrapped(heading or "Options"))]
        for option in group:
            lines += _row(_invocation(option), option.about + _remark(option))
        if not heading:
            lines += _row("-h, --help", "Show this help.")
    if not rest:
        lines += ["", _bold("Options"), *_row("-h, --help", "Show this help.")]
    return "\n".join(lines)


def _invocation(option: Option) -> str:
    if option.kind != "switch":
        return f"{option.name} {option.metavar}"
    return option.name if option.default is False else option.opposite.replace("no-", "[no-]", 1)


def _remark(option: Option) -> str:
    if option.is_required:
        return " (required)"
    if option.default is None or option.default is False:
        return ""
    number = f"{option.default:g}" if option.kind == "float" else option.default
    return f" (default: {'on' if option.default is True else number})"


def _description(kind: type[Any]) -> Iterator[str]:
    """The docstring: paragraphs are wrapped anew, indented lines stay."""
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    for is_text, group in groupby(lines, lambda line: bool(line) and not line.startswith(" ")):
        part = list(group)
        yield from _wrapped(" ".join(part)) if is_text else part


def _row(left: str, right: str) -> list[str]:
    """One entry: ``right`` beside ``left``, or below where that is long."""
    space = " " * COLUMN
    lines = textwrap.wrap(right, _width() - COLUMN, break_on_hyphens=False) or [""]
    if len(left) + 4 > COLUMN:
        return [f"  {left}", *(space + line for line in lines)]
    return [f"  {left}".ljust(COLUMN) + lines[0], *(space + line for line in lines[1:])]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _width(), break_on_hyphens=False) or [""]


def _width() -> int:
    return max(COLUMN + 20, min(MAX_WIDTH, shutil.get_terminal_size().columns))


def _bold(text: str) -> str:
    """``text`` in bold, where a person reads it who has not asked for plain text."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"
