"""``--help``: what a command does, examples, and its options: the common ones first, then the others in groups."""

import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from diptych.cli.options import Option, summary
from diptych.cli.parser import DEBUG, HELP, HELP_ALL, Given

MAX_WIDTH, COLUMN, SHORT_COLUMN = 100, 28, 16
OVERVIEW = """Learn to translate pictures between two domains from two folders of pictures, without pairs.

For example:
  diptych demo
  diptych check photos paintings
  diptych train photos paintings
  diptych evaluate runs/photos2paintings
  diptych translate runs/photos2paintings holiday.jpg painted.jpg"""
EXIT_CODES = {
    "0": "success",
    "1": "partial success: some pictures of several failed (translate), or there are warnings (check)",
    "2": "a mistake in the command or its input, reported in one line with its cure; or problems that would stop "
    "training (check)",
    "130": "interrupted; the same command resumes train, compress, demo and translate",
    "141": "broken pipe: the program that reads the output has closed it",
}


def overview(commands: Mapping[str, type[Any]]) -> str:
    """The help of ``diptych`` itself."""
    sections = {
        "Commands": {name: summary(kind) for name, kind in commands.items()},
        "Options": {
            "-h, --help": "show this help, or that of a command",
            "--version": "show the version",
            DEBUG: "show the traceback of an error, in any command; DIPTYCH_DEBUG=1 does the same",
        },
        "Exit codes": EXIT_CODES,
    }
    lines = [f"{_bold('usage:')} diptych COMMAND [OPTIONS]", "", *_reflowed(OVERVIEW)]
    for heading, rows in sections.items():
        lines += ["", _bold(heading), *(line for row in rows.items() for line in _row(*row, SHORT_COLUMN))]
    return "\n".join(lines)


def help_of(command: str, kind: type[Any], options: Sequence[Option], given: Given) -> str:
    """The help of a command.

    If the class ``kind`` lists ``common`` options, ``--help`` explains the command's own options, the common ones, and
    those of a choice that is given, such as ``--generator unet``. It names the others; ``--help-all`` explains all.
    """
    common: tuple[str, ...] = getattr(kind, "common", ())
    is_short = bool(common) and given.help == HELP
    arguments = [option for option in options if option.is_argument]
    named = [option for option in options if not option.is_argument]
    own = [option for option in named if option.group in ("", "source") or (is_short and option.name in common)]
    own.sort(key=lambda option: common.index(option.name) if option.name in common else len(common))
    others = [option for option in named if option not in own]
    brief = [option for option in others if is_short and f"--{option.group}" not in given.values]

    usage = " ".join(["[OPTIONS]", *(option.metavar for option in arguments)])
    lines = [f"{_bold('usage:')} diptych {command} {usage}", "", *_reflowed(inspect.cleandoc(kind.__doc__ or ""))]
    if arguments:
        lines += ["", _bold("Arguments"), *_entries(arguments)]
    lines += ["", _bold("Options"), *_entries(own), *_row(f"-h, {HELP}", "Show this help.")]
    if common:
        lines += _row(HELP_ALL, "Show all options.")
    lines += _row(DEBUG, "Show the traceback of an error.")
    for name, members in _by_group(option for option in others if option not in brief):
        lines += ["", *_wrapped(f"{name.upper()} · {members[-1].heading}"), *_entries(members)]
    if brief:
        lines += ["", *map(_bold, _wrapped(f"More options (diptych {command} {HELP_ALL} explains them)"))]
        for name, members in _by_group(brief):
            lines += _row(name, "  ".join(map(_spelling, members)), SHORT_COLUMN)
    return "\n".join(lines)


def _by_group(options: Iterable[Option]) -> list[tuple[str, list[Option]]]:
    return [(name, list(members)) for name, members in groupby(options, lambda option: option.group)]


def _entries(options: Sequence[Option]) -> list[str]:
    lines = []
    for option in options:
        left = option.name if option.is_argument else f"{_spelling(option)} {option.metavar}".rstrip()
        lines += _row(left, option.help + _remark(option))
    return lines


def _spelling(option: Option) -> str:
    """The name of an option. A switch that may be on shows how to turn it off."""
    may_be_on = option.type is bool and option.default is not False
    return option.opposite.replace("no-", "[no-]", 1) if may_be_on else option.name


def _remark(option: Option) -> str:
    if option.is_required and not option.is_argument:
        return " (required)"
    if option.default is None or option.default is False or option.default == "" or option.is_argument:
        return ""
    number = f"{option.default:g}" if option.type is float else option.default
    return f" (default: {'on' if option.default is True else number})"


def _reflowed(text: str) -> Iterator[str]:
    """Wraps paragraphs, and keeps indented lines."""
    for is_prose, group in groupby(text.splitlines(), lambda line: bool(line) and not line.startswith(" ")):
        part = list(group)
        yield from _wrapped(" ".join(part)) if is_prose else part


def _row(left: str, right: str, column: int = COLUMN) -> list[str]:
    """One entry: ``right`` beside ``left``, or below it if that is long."""
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
    """``text`` in bold, in a terminal whose user accepts colours."""
    is_bare = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if is_bare else f"\x1b[1m{text}\x1b[0m"
