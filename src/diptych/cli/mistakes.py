"""What is wrong with the words of a command line, told with the nearest that would be right."""

import math
import re
from collections.abc import Collection, Sequence

from diptych.cli.options import Option
from diptych.cli.originals import option_here, value_here
from diptych.errors import OptionError, did_you_mean

NEEDED = {"int": "a whole number", "float": "a number"}


def refuse_unknown_command(name: str, commands: Collection[str]) -> None:
    """Says which command could be meant where there is none called ``name``.

    Raises:
        OptionError: there is none.
    """
    if name not in commands:
        near = did_you_mean(name, [*commands, "--help", "--version"])
        cure = near or f"give one of {', '.join(commands)}"
        raise OptionError(f"there is no command {name!r}", cure=cure)


def refuse_mistakes(command: str, words: Sequence[str], options: Sequence[Option]) -> None:
    """Says what is wrong with ``words``, which follow the name of the ``command``.

    Raises:
        OptionError: an unknown option, a value that is none, or arguments too many or too few.
    """
    known = {name: option for option in options if not option.is_argument for name in option_names(option)}
    given: dict[str, Option] = {}
    loose: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            loose.append(word)
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if name not in known:
            raise OptionError(f"{command} has no option {name}", cure=_other_option(command, name, known))
        option = given[name] = known[name]
        if option.kind == "switch":
            if equals:
                raise OptionError(f"{name} takes no value", cure=f"give {option.name}, or {option.opposite}")
            continue
        value = value if equals else next(rest, "--")
        if not equals and value.startswith("--"):
            raise OptionError(f"{name} has no value", cure=f"give {name} {option.metavar}")
        refuse_value(option, value)
    _refuse_both_ways(given)
    _refuse_arguments(command, given.values(), loose, options)


def _other_option(command: str, name: str, known: Collection[str]) -> str:
    """What could be meant by ``name``, which is none of the ``known`` options of ``command``."""
    if name.lower() in known:
        return f"did you mean {name.lower()}?"
    negated = re.fullmatch(r"--no-(.+\.)(.+)", name)
    if negated and (switched := f"--{negated[1]}no-{negated[2]}") in known:
        return f"did you mean {switched}?"
    here = option_here(name) if command == "train" else ""
    longer = [option for option in known if option.endswith(f".{name.removeprefix('--')}")]
    if longer and not here:
        return f"did you mean {' or '.join(longer)}?"
    return here or did_you_mean(name, [*known, "--help"], prefix="--") or f"diptych {command} --help lists them"


def refuse_value(option: Option, value: str) -> None:
    """Says what a ``value`` should be that the ``option`` cannot take.

    Raises:
        OptionError: it cannot.
    """
    if option.choices and value not in option.choices:
        listed = ", ".join(option.choices)
        near = value_here(option, value) or did_you_mean(value.lower(), option.choices)
        raise OptionError(
            f"{option.name} is {value!r}", cure=f"{near} (of {listed})" if near else f"give one of {listed}"
        )
    if not _is_number(option, value):
        raise OptionError(f"{option.name} is {value!r}", cure=f"give {NEEDED[option.kind]}")


def option_names(option: Option) -> list[str]:
    """How the option can be typed: a switch has two names."""
    return [option.name, option.opposite] if option.opposite else [option.name]


def _is_number(option: Option, value: str) -> bool:
    try:
        return option.kind not in NEEDED or math.isfinite(int(value) if option.kind == "int" else float(value))
    except ValueError:
        return False


def _refuse_both_ways(given: dict[str, Option]) -> None:
    for option in given.values():
        if option.opposite in given and option.name in given:
            raise OptionError(f"both {option.name} and {option.opposite} are given", cure="give one of them")


def _refuse_arguments(command: str, given: Collection[Option], loose: Sequence[str], options: Sequence[Option]) -> None:
    arguments = [option for option in options if option.is_argument]
    if len(loose) > len(arguments) and not any(option.is_repeated for option in arguments):
        takes = " ".join(option.metavar for option in arguments) or "no argument"
        problem = f"{command} takes {takes}, and {loose[len(arguments)]!r} is one too many"
        raise OptionError(problem, cure="put a name that holds spaces in quotes")
    for option, word in zip(arguments, loose, strict=False):
        refuse_value(option, word)
    needed = [option for option in arguments[len(loose) :] if option.is_required]
    needed += [option for option in options if option.is_required and not option.is_argument and option not in given]
    if needed:
        names = " and ".join(option.name for option in needed)
        usage = " ".join(_usage(option) for option in options if option.is_required)
        raise OptionError(f"{command} needs {names}", cure=f"give diptych {command} {usage}")


def _usage(option: Option) -> str:
    return option.metavar if option.is_argument else f"{option.name} {option.metavar}"
