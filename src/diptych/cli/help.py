"""``--help``: what a command does, examples, and its options: the common ones first, then the others in groups."""

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from diptych.cli.options import Option, summary

HELP, HELP_ALL = "--help", "--help-all"
MAX_WIDTH, COLUMN, SHORT_COLUMN = 100, 28, 16
OVERVIEW = """Learn to translate pictures between two domains from two folders of pictures, without pairs.

For example:
  diptych demo
  diptych check photos paintings
  diptych train photos paintings
  diptych evaluate runs/photos2paintings
  diptych translate runs/photos2paintings holiday.jpg painted.jpg"""
EXIT_CODES = {
    "0": "done",
    "1": "done in part: some pictures failed (translate), or there are warnings (check)",
    "2": "a mistake that you can mend, told in one line with its cure",
    "130": "interrupted; train and demo have saved, and the same command goes on",
    "141": "whoever read the output has had enough",
}


def overview(commands: Mapping[str, type[Any]]) -> str:
    """The help of ``diptych`` itself."""
    lines = [f"{_bold('usage:')} diptych COMMAND [OPTIONS]", "", *_reflowed(OVERVIEW), "", _bold("Commands")]
    for name, kind in commands.items():
        lines += _row(name, summary(kind), SHORT_COLUMN)
    lines += ["", _bold("Options")]
    lines += _row("-h, --help", "show this help or, after a command, its options", SHORT_COLUMN)
    lines += _row("--version", "show the version", SHORT_COLUMN)
    lines += ["", _bold("Exit codes")]
    for code, meaning in EXIT_CODES.items():
        lines += _row(code, meaning, SHORT_COLUMN)
    return "\n".join(lines)


def common_of(kind: type[Any]) -> tuple[str, ...]:
    """The options that the short help of the command ``kind`` explains first; none where there is one help."""
    return getattr(kind, "common", ())


def help_of(command: str, kind: type[Any], options: Sequence[Option], words: Collection[str]) -> str:
    """The help of a ``command``, which the dataclass ``kind`` is.

    A command with ``common`` options has two: a short one, which explains its own options, these, and those of what
    the other ``words`` choose, and lists the rest by name; and one of all options, where ``--help-all`` is among them.
    """
    arguments = [option for option in options if option.is_argument]
    named = [option for option in options if not option.is_argument]
    given = {word.partition("=")[0] for word in words}
    short = bool(common_of(kind)) and HELP_ALL not in given
    chosen = {option.group for option in named if f"--{option.group}" in given}
    own = [option for option in named if not option.group or (short and option.name in common_of(kind))]
    explained = [option for option in named if not short or option.group in chosen or option in own]

    usage = " ".join(["[OPTIONS]", *(option.metavar for option in arguments)])
    lines = [f"{_bold('usage:')} diptych {command} {usage}", "", *_reflowed(inspect.cleandoc(kind.__doc__ or ""))]
    if arguments:
        lines += ["", _bold("Arguments")]
        for option in arguments:
            lines += _row(option.name, option.about)
    lines += ["", _bold("Options"), *(line for option in _commonest_first(own, kind) for line in _entry(option, given))]
    lines += _row("-h, --help", f"Show {'this help' if short or not common_of(kind) else 'the common options'}.")
    if common_of(kind):
        lines += _row(HELP_ALL, "Show all options.")
    for group, members in groupby((option for option in explained if option not in own), lambda each: each.group):
        ours = list(members)
        lines += ["", *_heading(group, ours[0].heading), *(line for option in ours for line in _entry(option, given))]
    if short:
        lines += ["", *map(_bold, _wrapped(f"More options, which diptych {command} {HELP_ALL} explains"))]
        for group, members in groupby((option for option in named if option not in explained), lambda each: each.group):
            lines += _row(group, "  ".join(map(_spelling, members)), SHORT_COLUMN)
    return "\n".join(lines)


def _commonest_first(options: Sequence[Option], kind: type[Any]) -> list[Option]:
    common = common_of(kind)
    return sorted(options, key=lambda option: common.index(option.name) if option.name in common else len(common))


def _entry(option: Option, given: Collection[str]) -> list[str]:
    remark = "" if option.name in given else _remark(option)
    return _row(f"{_spelling(option)} {option.metavar}".rstrip(), option.about + remark)


def _heading(group: str, about: str) -> list[str]:
    first, *more = _wrapped(f"{group.capitalize()} · {about}")
    return [first.replace(group.capitalize(), _bold(group.capitalize()), 1), *more]


def _spelling(option: Option) -> str:
    """The name of an option; of a switch that is on, with how it is turned off."""
    can_be_on = option.kind == "switch" and option.default is not False
    return option.opposite.replace("no-", "[no-]", 1) if can_be_on else option.name


def _remark(option: Option) -> str:
    if option.is_required:
        return " (required)"
    if option.default is None or option.default is False:
        return ""
    number = f"{option.default:g}" if option.kind == "float" else option.default
    return f" (default: {'on' if option.default is True else number})"


def _reflowed(text: str) -> Iterator[str]:
    """Paragraphs are wrapped anew; indented lines stay."""
    for is_prose, group in groupby(text.splitlines(), lambda line: bool(line) and not line.startswith(" ")):
        part = list(group)
        yield from _wrapped(" ".join(part)) if is_prose else part


def _row(left: str, right: str, column: int = COLUMN) -> list[str]:
    """One entry: ``right`` beside ``left``, or below where that is long."""
    space = " " * column
    lines = textwrap.wrap(right, _width() - column, break_on_hyphens=False) or [""]
    if len(left) + 3 > column:
        return [f"  {left}", *(space + line for line in lines)]
    return [f"  {left}".ljust(column) + lines[0], *(space + line for line in lines[1:])]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _width(), break_on_hyphens=False) or [""]


def _width() -> int:
    return max(COLUMN + 20, min(MAX_WIDTH, shutil.get_terminal_size().columns))


def _bold(text: str) -> str:
    """``text`` in bold, where a person reads it who has not asked for plain text."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[1m{text}\x1b[0m"
