"""The command line: the commands, and the only import of tyro. A user's mistake becomes one line and exit code 2."""

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

import tyro

from diptych import __version__
from diptych.cli.check import Check
from diptych.cli.completion import Completion
from diptych.cli.demo import Demo
from diptych.cli.evaluate import Evaluate
from diptych.cli.export import Export
from diptych.cli.help import HELP, HELP_ALL, help_of, overview
from diptych.cli.import_ import Import
from diptych.cli.mistakes import refuse_mistakes, refuse_unknown_command
from diptych.cli.options import options_of
from diptych.cli.report import Report
from diptych.cli.runs import Runs, Show
from diptych.cli.train import Train, refuse_options_of_others, train_defaults
from diptych.cli.translate import Translate
from diptych.errors import OptionError, UserError
from diptych.launcher import is_main, world_size

EXIT_BROKEN, EXIT_MISTAKE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141
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
    """Runs the command that ``arguments`` (by default those of the process) name, and exits."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as stop:
        code = stop.code
    except Exception:
        if world_size() == 1:
            raise
        traceback.print_exc()
        code = EXIT_BROKEN
    if world_size() > 1:  # on an ordinary way out, threads of torch.distributed now and then abort the process
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)
    sys.exit(code)


def _run(arguments: list[str]) -> int | str | None:
    """What ``arguments`` ask for; the exit code."""
    try:
        code = _obey(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"diptych: {error}", file=sys.stderr)
        return EXIT_MISTAKE
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        print(
            f"diptych: {error.filename or 'the disk'}: {error.strerror or error}: make room or give another place",
            file=sys.stderr,
        )
        return EXIT_MISTAKE
    except KeyboardInterrupt:
        goes_on = "; the same command goes on" if arguments[:1] in (["train"], ["demo"]) else ""
        if is_main():
            print(f"diptych: stopped{goes_on}", file=sys.stderr)
        return EXIT_INTERRUPTED


def _obey(arguments: list[str]) -> int | str | None:
    if arguments == ["--version"]:
        print(f"diptych {__version__}")
        return 0
    try:
        command = parse(arguments)
    except UserError:
        if is_main():  # it is the same in every process
            raise
        return EXIT_MISTAKE
    return command()  # type: ignore[no-any-return]


def parse(arguments: Sequence[str]) -> Any:
    """The command that ``arguments`` name, its options filled in, or its help; to be called.

    Raises:
        OptionError: the arguments are wrong.
    """
    if not arguments or arguments[0] in ("-h", HELP, HELP_ALL):
        return partial(_show, overview(COMMANDS))
    name, words = arguments[0], list(arguments[1:])
    refuse_unknown_command(name, COMMANDS)
    kind = COMMANDS[name]
    default = train_defaults(words) if kind is Train else None
    options = options_of(kind, default)
    if {"-h", HELP, HELP_ALL} & set(words):
        return partial(_show, help_of(name, kind, options, words))
    if kind is Train:
        refuse_options_of_others(words, options)
    refuse_mistakes(name, words, options)
    return _filled_in(name, kind, words, default)


def _show(text: str) -> int:
    print(text)
    return 0


def _filled_in(name: str, kind: type[Any], words: list[str], default: Any) -> Any:
    """The command with the values that ``words`` give, in which no mistake was found."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=words,
                prog=f"diptych {name}",
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.DisallowNone),
            )
    except SystemExit:  # not foreseen in mistakes.py; said in tyro's words, without its box
        said = " ".join(line.strip("│╭╮╰╯─ ") for line in complaint.getvalue().splitlines())
        raise OptionError(" ".join(said.split()), cure=f"see diptych {name} --help") from None
