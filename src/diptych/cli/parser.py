"""The parser: one pass over the words of a command finds what is given, then the values are converted.

A choice such as ``--generator package.module:Class`` brings options of its own. The pass learns them when it meets the
choice, so a class must come before its options. If an option is repeated, the last one wins.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diptych.cli.options import Option, config_options, options_of
from diptych.cli.originals import all_cures, value_cure
from diptych.errors import OptionError, did_you_mean

HELP, HELP_ALL, DEBUG = "--help", "--help-all", "--debug"
NUMBERS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Given:
    """What the user typed after the name of a command."""

    values: dict[str, Any]
    """By option: its text, whether a switch is on, or the texts of a repeated argument."""
    known: dict[str, Option]
    """The options by every name that could be typed."""
    help: str
    """``--help`` or ``--help-all``, if it was typed; else empty."""


def scan(command: str, kind: type[Any], words: Sequence[str]) -> Given:
    """The one pass over ``words``, which follow the name of the ``command``.

    Raises:
        OptionError: an unknown option, an option without its value, a choice that does not exist, or too many words.
    """
    options = options_of(kind)
    known, arguments = _by_name(options), [option for option in options if option.is_argument]
    values: dict[str, Any] = {}
    help = ""
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if word == "--":
            _add_arguments(command, values, arguments, list(rest))
        elif not word.startswith("-") or word == "-":
            _add_arguments(command, values, arguments, [word])
        elif name in ("-h", HELP, HELP_ALL):
            help = HELP_ALL if HELP_ALL in (name, help) else HELP
        elif (option := known.get(name)) is None:
            raise OptionError(f"{command} has no option {name}", cure=_likely_option(command, [word, *rest], known))
        elif option.type is bool:
            if equals:
                raise OptionError(f"{name} takes no value", cure=f"give {option.name} or {option.opposite}")
            values[option.name] = name == option.name
        else:
            value = value if equals else next(rest, "--")
            if not equals and value.startswith("--"):
                raise OptionError(f"{name} has no value", cure=f"give {name} {option.metavar}")
            if not equals and option.metavar == "LOW HIGH" and value != "auto":
                value = f"{value} {next(rest, '')}"
            values[option.name] = value
            if option.registry is not None:
                _refuse_original_value(option, value)
                known |= _by_name(config_options(option, value))
    return Given(values, known, help)


def without_debug(words: Sequence[str]) -> list[str]:
    """``words`` without ``--debug``, which every command takes at any place before ``--``."""
    end = words.index("--") if "--" in words else len(words)
    return [*(word for word in words[:end] if word != DEBUG), *words[end:]]


def fill(command: str, kind: type[Any], default: Any, given: Given) -> Any:
    """The command ``kind`` with the values of ``given``, and those of ``default`` for the rest.

    Raises:
        OptionError: a wrong value, a missing one, or an option of a choice that was not made.
    """
    options = {option.name: option for option in options_of(kind, default)}
    values = {}
    for name, text in given.values.items():
        if name not in options:
            cure = f"it belongs to {given.known[name].owner}"
            raise OptionError(f"{command} has no option {name} here", cure=cure)
        if options[name].registry is None:
            values[options[name].key] = _convert(options[name], text)
    required = [option for option in options.values() if option.is_required]
    if missing := [option.name for option in required if option.key not in values]:
        usage = " ".join(each.metavar if each.is_argument else f"{each.name} {each.metavar}" for each in required)
        raise OptionError(f"{command} needs {' and '.join(missing)}", cure=f"give diptych {command} {usage}")
    return _with(kind if default is None else default, values)


def _with(target: Any, values: Mapping[str, Any]) -> Any:
    """``target``, a dataclass or an instance of one, with ``values`` by dotted name."""
    parts: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
    for part in {key.partition(".")[0] for key in values if "." in key}:
        inside = {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{part}.")}
        parts[part] = _with(getattr(target, part), inside)
    return target(**parts) if isinstance(target, type) else replace(target, **parts)


def _by_name(options: Sequence[Option]) -> dict[str, Option]:
    """The options by every name; of several options with one name, the first."""
    return {name: option for option in reversed(options) if not option.is_argument for name in option.names}


def _add_arguments(command: str, values: dict[str, Any], arguments: Sequence[Option], words: Sequence[str]) -> None:
    for word in words:
        free = [option for option in arguments if option.is_repeated or option.name not in values]
        if not free:
            takes = " ".join(option.metavar for option in arguments) or "no argument"
            problem = f"{command} takes {takes}, and {word!r} is one too many"
            raise OptionError(problem, cure="put patterns and names with spaces in quotes")
        name = free[0].name
        values[name] = (*values.get(name, ()), word) if free[0].is_repeated else word


def _likely_option(command: str, words: Sequence[str], known: Collection[str]) -> str:
    """The cure for the first of ``words``, which is none of the ``known`` options of ``command``."""
    if command == "train" and (cure := all_cures(words)):
        return cure
    name = words[0].partition("=")[0].replace("_", "-")
    negated = re.sub(r"^--no-(.+\.)", r"--\1no-", name.lower())
    likely = [option for option in known if option == negated or option.endswith(negated.replace("--", "."))]
    if likely:
        return f"did you mean {' or '.join(sorted(likely, reverse=True))}?"
    prefix = name[: name.rfind(".") + 1] or "--"
    near = did_you_mean(name, [option for option in (*known, HELP, DEBUG) if option.startswith(prefix)], prefix=prefix)
    chooser = prefix.rstrip(".")
    listed = f"name its class first: {chooser} package.module:Class" if chooser in known else ""
    return near or listed or f"diptych {command} {HELP} lists them"


def _convert(option: Option, text: Any) -> Any:
    if isinstance(text, tuple):
        return tuple(_convert(option, each) for each in text)
    if isinstance(text, bool) != (option.type is bool):  # another class has an option of this name
        raise OptionError(f"{option.name} is {text}", cure=f"name the class before {option.name} {option.metavar}")
    if option.choices:
        return _choice(option, text)
    try:
        value = option.type(text)
        if option.type in NUMBERS and not math.isfinite(value):
            raise ValueError
    except ValueError:
        raise OptionError(f"{option.name} is {text!r}", cure=f"give {NUMBERS[option.type]}") from None
    return value


def _choice(option: Option, text: str) -> Any:
    for choice in option.choices:
        if str(choice) == text:
            return choice
    _refuse_original_value(option, text)
    choices = ", ".join(map(str, option.choices))
    near = did_you_mean(text.lower(), map(str, option.choices))
    raise OptionError(f"{option.name} is {text!r}", cure=f"{near} (of {choices})" if near else f"give one of {choices}")


def _refuse_original_value(option: Option, text: str) -> None:
    if cure := value_cure(option.name, text):
        raise OptionError(f"{option.name} is {text!r}", cure=cure)
