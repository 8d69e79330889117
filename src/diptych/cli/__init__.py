"""The command line: the commands, and how errors are reported. A user's mistake is one line and exit code 2."""

import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from diptych import __version__
from diptych.cli.check import Check
from diptych.cli.completion import Completion
from diptych.cli.demo import Demo
from diptych.cli.evaluate import Evaluate
from diptych.cli.export import Export
from diptych.cli.help import help_of, overview
from diptych.cli.import_ import Import
from diptych.cli.options import options_of
from diptych.cli.parser import HELP, HELP_ALL, fill, scan
from diptych.cli.report import Report
from diptych.cli.runs import Runs, Show
from diptych.cli.train import Train
from diptych.cli.translate import Translate
from diptych.errors import EXIT_INTERRUPTED, EXIT_MISTAKE, OptionError, UserError, did_you_mean
from diptych.launcher import is_main, world_size

EXIT_BROKEN, EXIT_BROKEN_PIPE = 1, 141
COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "check": Check,
    "train": Train,
    "evaluate": Evaluate,
    "translate": Translate,
    "report": Report,
    "runs": Runs,
    "show": Show,
    "import": Import,
    "export": Export,
    "completion": Completion,
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command in ``arguments`` (by default ``sys.argv``), and exits."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except Exception:
        if world_size() == 1:
            raise
        traceback.print_exc()
        code = EXIT_BROKEN
    if world_size() > 1:  # threads of torch.distributed may abort an ordinary exit
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Runs the command; returns its exit code."""
    try:
        code: int = _parse_in_every_process(arguments)()
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"diptych: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        print(
            f"diptych: {error.filename or 'the disk'}: {error.strerror or error}: free space, or give another path",
            file=sys.stderr,
        )
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        resumes = "; the same command resumes" if arguments[:1] in (["train"], ["demo"]) else ""
        if is_main():
            print(f"diptych: stopped{resumes}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _parse_in_every_process(arguments: Sequence[str]) -> Any:
    """The command to call. A mistake is the same in every process, so only the main one reports it."""
    try:
        return parse(arguments)
    except UserError:
        if is_main():
            raise
        return lambda: EXIT_MISTAKE


def parse(arguments: Sequence[str]) -> Any:
    """Parses ``arguments``; returns a callable that runs the command, or prints its help.

    Raises:
        OptionError: a mistake in the arguments.
    """
    if not arguments or arguments[0] in ("-h", HELP, HELP_ALL):
        return partial(_show, overview(COMMANDS))
    if arguments[0] == "--version":
        return partial(_show, f"diptych {__version__}")
    name, *words = arguments
    if name not in COMMANDS:
        near = did_you_mean(name, [*COMMANDS, HELP, "--version"])
        raise OptionError(f"there is no command {name!r}", cure=near or f"give one of {', '.join(COMMANDS)}")
    kind = COMMANDS[name]
    given = scan(name, kind, words)
    default = kind.defaults(given.values) if kind is Train else None
    if given.help:
        return partial(_show, help_of(name, kind, options_of(kind, default), given))
    return fill(name, kind, default, given)


def _show(text: str) -> int:
    print(text)
    return 0
