"""The command line: the commands, and how errors are reported. A user's mistake is one line and exit code 2."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from diptych import __version__
from diptych.cli.check import Check
from diptych.cli.completion import Completion
from diptych.cli.compress import Compress
from diptych.cli.demo import Demo
from diptych.cli.evaluate import Evaluate
from diptych.cli.export import Export
from diptych.cli.help import help_of, overview
from diptych.cli.hub import Pull, Push
from diptych.cli.import_ import Import
from diptych.cli.options import options_of
from diptych.cli.parser import DEBUG, HELP, HELP_ALL, fill, scan, without_debug
from diptych.cli.report import Report
from diptych.cli.runs import Runs, Show
from diptych.cli.serve import Serve
from diptych.cli.train import Train
from diptych.cli.translate import Translate
from diptych.errors import (
    EXIT_INTERRUPTED,
    EXIT_MISTAKE,
    OptionError,
    UserError,
    did_you_mean,
    os_problem,
    path_cure,
    print_traceback,
)
from diptych.launcher import is_main, world_size

EXIT_BROKEN, EXIT_BROKEN_PIPE = 1, 141
RESUMED = ("train", "demo", "compress", "translate")
COMMANDS: dict[str, type[Any]] = {
    "demo": Demo,
    "check": Check,
    "train": Train,
    "compress": Compress,
    "evaluate": Evaluate,
    "translate": Translate,
    "serve": Serve,
    "push": Push,
    "pull": Pull,
    "report": Report,
    "runs": Runs,
    "show": Show,
    "import": Import,
    "export": Export,
    "completion": Completion,
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command in ``arguments`` (by default ``sys.argv``), and exits."""
    given = sys.argv[1:] if arguments is None else arguments
    words = without_debug(given)
    try:
        code = _run(words, debug=len(words) < len(given) or os.environ.get("DIPTYCH_DEBUG", "0") != "0")
    except Exception as error:
        if world_size() == 1:
            raise
        print_traceback(error)
        code = EXIT_BROKEN
    if world_size() > 1:  # threads of torch.distributed may abort an ordinary exit
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str], *, debug: bool) -> int:
    """Runs the command; returns its exit code. With ``debug``, errors show their traceback."""
    try:
        if os.name != "posix":
            raise OptionError("diptych runs on Linux and macOS", cure="on Windows, install it in WSL")
        code: int = _parse_in_every_process(arguments)()
        sys.stdout.flush()
        return code
    except UserError as error:
        if debug:
            print_traceback(error)
        print(f"diptych: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if debug:
            print_traceback(error)
        path = f"{error.filename}: " if error.filename else ""
        print(f"diptych: {path}{os_problem(error)}: {path_cure(error)}", file=sys.stderr)
        return EXIT_MISTAKE
    except KeyboardInterrupt as error:
        if debug:
            print_traceback(error)
        resumes = "; the same command resumes" if arguments and arguments[0] in RESUMED else ""
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
        near = did_you_mean(name, [*COMMANDS, HELP, "--version", DEBUG])
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
