"""What an option declares besides its type: its range, whether a resumed run may change it, and its help text.

``width: Positive[int] = option(64, "Channels after the first layer.")``: type checkers see an ``int`` of 64.
"""

import types
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from diptych.errors import OptionError

T = TypeVar("T")
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Range:
    """The valid numbers of an option."""

    contains: Callable[[float], bool]
    description: str


ADJUSTABLE = "adjustable"

Positive = Annotated[Number, Range(lambda value: value > 0, "more than 0")]
NotNegative = Annotated[Number, Range(lambda value: value >= 0, "0 or more")]
Fraction = Annotated[float, Range(lambda value: 0 <= value < 1, "at least 0 and less than 1")]
PositiveFraction = Annotated[float, Range(lambda value: 0 < value <= 1, "more than 0 and at most 1")]
REQUIRED: Any = MISSING
"""The default of an option that must be given."""
Adjustable = Annotated[T, ADJUSTABLE]
"""An option that a resumed run may change."""


def option(default: T, help: str, metavar: str = "", *, is_argument: bool = False) -> T:
    """A dataclass field with a default and its help text. ``metavar`` stands for the value in the help."""
    return field(default=default, metadata={"help": help, "metavar": metavar, "is_argument": is_argument})


def resolved(value: T | None) -> T:
    """``value`` of an option that has been resolved, so it is not None."""
    assert value is not None, "resolve the config first"
    return value


def with_defaults(config: T, **values: Any) -> T:
    """A copy of ``config``: each field that is None gets its value from ``values``, if it is there."""
    assert is_dataclass(config)
    names = {member.name for member in fields(config) if getattr(config, member.name) is None}
    return replace(config, **{name: value for name, value in values.items() if name in names})  # type: ignore[type-var]


def argument(default: T, help: str, metavar: str) -> T:
    """An option that is a positional argument of the command line, called ``metavar``."""
    return option(default, help, metavar, is_argument=True)


def unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type hint without ``None`` and constraints, and those constraints."""
    constraints: tuple[Any, ...] = ()
    while True:
        if get_origin(hint) is Annotated:
            constraints, hint = constraints + hint.__metadata__, get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType) and types.NoneType in get_args(hint):
            (hint,) = (member for member in get_args(hint) if member is not types.NoneType)
        else:
            return hint, constraints


def iter_fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Every option of ``config``: its dotted name, its value and its constraints."""
    hints = get_type_hints(type(config), include_extras=True)
    for member in fields(config):
        value, (_, constraints) = getattr(config, member.name), unwrap(hints[member.name])
        if is_dataclass(value):
            yield from iter_fields(value, f"{prefix}{member.name}.")
        else:
            yield f"{prefix}{member.name}", value, constraints


def check_ranges(config: Any) -> None:
    """Checks every number against its range.

    Raises:
        OptionError: a number is out of its range.
    """
    for name, value, constraints in iter_fields(config):
        for constraint in constraints:
            if isinstance(constraint, Range) and value is not None and not constraint.contains(value):
                raise OptionError(f"{option_name(name)} is {value}", cure=f"give {constraint.description}")


def option_name(name: str) -> str:
    """The command-line name of the field with this dotted ``name``. Only options of networks keep a prefix."""
    *_, part, option = ["", *name.replace("_", "-").split(".")]
    return f"{part}.{option}" if part in ("generator", "discriminator") else option


def adjustable(config: Any) -> set[str]:
    """The dotted names of the options of ``config`` that a resumed run may change."""
    return {name for name, _, constraints in iter_fields(config) if ADJUSTABLE in constraints}
