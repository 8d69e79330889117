"""What an option declares besides its type: its range, whether a resumed run may change it, and its help text.

``width: Positive[int] = option(64, "Channels after the first layer.")``: type checkers see an ``int`` of 64.
"""

import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from diptych.errors import OptionError

T = TypeVar("T")
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Range:
    """Which numbers make sense, whatever the pictures and the machine."""

    holds: Callable[[float], bool]
    words: str


ADJUSTABLE = "does not change what is computed from one picture to the next"

Positive = Annotated[Number, Range(lambda value: value > 0, "more than 0")]
NotNegative = Annotated[Number, Range(lambda value: value >= 0, "0 or more")]
Fraction = Annotated[float, Range(lambda value: 0 <= value < 1, "at least 0 and less than 1")]
GreyOrColour = Annotated[int, Range(lambda value: value in (1, 3), "1 (grey) or 3 (RGB)")]
PositiveFraction = Annotated[float, Range(lambda value: 0 < value <= 1, "more than 0 and at most 1")]
REQUIRED: Any = MISSING
"""The default of an option that must be given."""
Adjustable = Annotated[T, ADJUSTABLE]
"""An option that may differ when the same run goes on."""


def option(default: T, help: str, metavar: str = "", *, is_argument: bool = False) -> T:
    """A dataclass field with a default and its help text. ``metavar`` stands for the value there."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "is_argument": is_argument})


def argument(default: T, help: str, metavar: str) -> T:
    """An option that is a positional argument of the command line, called ``metavar``."""
    return option(default, help, metavar, is_argument=True)


def unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type hint without ``None`` and without marks, and those marks."""
    marks: tuple[Any, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            marks, hint = marks + hint.__metadata__, get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType) and types.NoneType in get_args(hint):
            (hint,) = (member for member in get_args(hint) if member is not types.NoneType)
        else:
            return hint, marks


def iter_fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Every option of ``config``: its dotted name, its value and its marks."""
    hints = get_type_hints(type(config), include_extras=True)
    for member in fields(config):
        value, (_, marks) = getattr(config, member.name), unwrap(hints[member.name])
        if is_dataclass(value):
            yield from iter_fields(value, f"{prefix}{member.name}.")
        else:
            yield f"{prefix}{member.name}", value, marks


def check_ranges(config: Any) -> None:
    """Refuses numbers that make no sense, whatever the pictures.

    Raises:
        OptionError: the first such number.
    """
    for name, value, marks in iter_fields(config):
        for mark in marks:
            if isinstance(mark, Range) and value is not None and not mark.holds(value):
                raise OptionError(f"{option_name(name)} is {value}", cure=f"give {mark.words}")


def option_name(name: str) -> str:
    """The dotted ``name`` of a field on the command line, where only options of networks keep their part."""
    *_, part, option = ["", *name.replace("_", "-").split(".")]
    return f"{part}.{option}" if part in ("generator", "discriminator") else option


def adjustable(config: Any) -> set[str]:
    """The dotted names of the options of ``config`` that may differ when the same run goes on."""
    return {name for name, _, marks in iter_fields(config) if ADJUSTABLE in marks}
