"""The command line: the commands, and the only import of tyro. A user's mistake becomes one line and exit code 2."""

import contextlib
import difflib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, Union

import tyro

from diptych import __version__
from diptych.cli.check import Check
from diptych.cli.demo import Demo
from diptych.cli.evaluate import Evaluate
from diptych.cli.export import Export
from diptych.cli.import_ import Import
from diptych.cli.report import Report
from diptych.cli.runs import Runs, Show
from diptych.cli.train import Train, train_defaults
from diptych.cli.translate import Translate
from diptych.errors import UserError
from diptych.launched import is_first

EXIT_MISTAKE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 2, 130, 141
COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "train": Train,
    "translate": Translate,
    "check": Check,
    "evaluate": Evaluate,
    "report": Report,
    "runs": Runs,
    "show": Show,
    "import": Import,
    "export": Export,
}

DESCRIPTION = """Learn to translate pictures between two domains from two folders of pictures, without pairs.

  diptych demo                              try it on built-in pictures
  diptych check PHOTOS PAINTINGS            what is wrong with the pictures, before hours are spent
  diptych train PHOTOS PAINTINGS            train; the same command goes on where it stopped
  diptych translate runs/RUN INPUT OUTPUT   translate a picture or a folder
  diptych import latest_net_G_A.pth …       take the original code's checkpoints, and export gives them back
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command that ``arguments`` (by default those of the process) name, and exits."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments == ["--version"]:
        print(f"diptych {__version__}")
        sys.exit(0)
    try:
        sys.exit(parse(arguments)())
    except UserError as error:
        print(f"diptych: {error}", file=sys.stderr)
        sys.exit(EXIT_MISTAKE)
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_BROKEN_PIPE)
    except OSError as error:
        print(
            f"diptych: {error.filename or 'the disk'}: {error.strerror or error}: make room or give another place",
            file=sys.stderr,
        )
        sys.exit(EXIT_MISTAKE)
    except KeyboardInterrupt:
        goes_on = "; the same command goes on" if arguments[:1] in (["train"], ["demo"]) else ""
        if is_first():
            print(f"diptych: stopped{goes_on}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def parse(arguments: Sequence[str]) -> Any:
    """The command that ``arguments`` name, its options filled in; to be called.

    Raises:
        SystemExit: help was asked for, or the arguments are wrong (told in one line).
    """
    command: Any = Union[tuple(_subcommand(name, kind, arguments) for name, kind in COMMANDS.items())]  # noqa: UP007
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                command,
                args=list(arguments) or ["--help"],
                prog="diptych",
                description=DESCRIPTION,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as stop:
        if stop.code:
            if is_first():
                print(f"diptych: {explain(complaint.getvalue(), arguments)}", file=sys.stderr)
            raise SystemExit(EXIT_MISTAKE) from None
        raise


def _subcommand(name: str, kind: type[Any], arguments: Sequence[str]) -> Any:
    """``kind`` as the command ``name``; only the help of the command that is asked for shows its examples."""
    asked = arguments[:1] == [name]
    options: dict[str, Any] = {"description": None if asked else (kind.__doc__ or "").splitlines()[0]}
    if kind is Train:
        options["default"] = train_defaults(arguments)
    return Annotated[kind, tyro.conf.subcommand(name, **options)]


def explain(complaint: str, arguments: Sequence[str]) -> str:
    """tyro's boxed complaint as one line, with the nearest valid name where a word is unknown."""
    lines = [line.strip("│╭╮╰╯─ ") for line in complaint.splitlines()[1:]]
    text = " ".join(lines[: lines.index("")] if "" in lines else lines).strip().rstrip(".")
    name = next(iter(arguments), "")
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        return f"no command {name!r}: " + (f"did you mean {near[0]}?" if near else f"give one of {', '.join(COMMANDS)}")
    if unknown := re.search(r"Unrecognized (?:or misplaced )?options: (--[^ =,]+)", text):
        options = _options(name)
        near = difflib.get_close_matches(unknown[1], options, n=1)
        cure = f"did you mean {near[0]}?" if near else f"diptych {name} --help lists them"
        return f"{name} has no option {unknown[1]}: {cure}"
    return f"{text}: see diptych {name} --help"


def _options(command: str) -> list[str]:
    """The names of all options of ``command``, read from its help."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        parse([command, "--help"])
    return re.findall(r"--[\w.-]+", shown.getvalue())
