"""The options of a command as a table, read from its dataclass: what help, completion and messages are made of."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tyro

from diptych.config.constraints import plain

Kind = Literal["switch", "choice", "int", "float", "path", "text"]
KINDS: dict[type, Kind] = {bool: "switch", int: "int", float: "float", Path: "path", str: "text"}
METAVARS: dict[Kind, str] = {"switch": "", "choice": "", "int": "INT", "float": "FLOAT", "path": "PATH", "text": "TEXT"}


@dataclass(frozen=True)
class Option:
    """An option of a command, or one of its arguments."""

    name: str
    """As it is typed, dashes included; of an argument, what the usage calls it."""
    kind: Kind
    metavar: str
    """What stands for the value; empty for a switch."""
    choices: tuple[str, ...]
    default: Any
    """None where there is none, or where it is chosen later."""
    about: str
    group: str
    """What the command calls the dataclass that holds it; empty for the command itself."""
    heading: str
    """What that dataclass is about."""
    is_argument: bool
    is_required: bool
    is_repeated: bool
    """Whether one or more values are taken."""

    @property
    def opposite(self) -> str:
        """The name that turns a switch off; empty where it is none."""
        before, dot, last = self.name.removeprefix("--").rpartition(".")
        return f"--{before}{dot}no-{last}" if self.kind == "switch" else ""


def options_of(command: type[Any], default: Any = None) -> list[Option]:
    """The arguments and options of ``command``, with the defaults of the instance ``default`` where it is given."""
    return list(_options(command, default, prefix="--", group="", heading=""))


def _options(kind: Any, instance: Any, *, prefix: str, group: str, heading: str) -> Iterator[Option]:
    hints, abouts = get_type_hints(kind, include_extras=True), _docstrings(kind)
    for field in fields(kind):
        hint, marks = plain(hints[field.name])
        named = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), field.name)
        default = _default(field) if instance is None else getattr(instance, field.name)
        if is_dataclass(default):
            inside = f"{prefix}{named}." if named else prefix
            yield from _options(type(default), default, prefix=inside, group=field.name, heading=summary(type(default)))
        else:
            name, about = f"{prefix}{named.replace('_', '-')}", abouts.get(field.name, "")
            yield _option(field, hint, marks, name=name, default=default, about=about, group=group, heading=heading)


def _option(
    field: "Field[Any]",
    hint: Any,
    marks: tuple[Any, ...],
    *,
    name: str,
    default: Any,
    about: str,
    group: str,
    heading: str,
) -> Option:
    is_argument = tyro.conf.Positional in marks
    is_repeated = get_origin(hint) is tuple
    value = get_args(hint)[0] if is_repeated else hint
    choices = tuple(map(str, get_args(value))) if get_origin(value) is Literal else ()
    kind = "choice" if choices else KINDS[value]
    usual = "TIME" if name == "--time" else "|".join(choices) or METAVARS[kind]
    metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), usual)
    return Option(
        name=metavar.strip("[]").removesuffix("...") if is_argument else name,
        kind=kind,
        metavar=metavar,
        choices=choices,
        default=default,
        about=about,
        group=group,
        heading=heading,
        is_argument=is_argument,
        is_required=field.default is MISSING and field.default_factory is MISSING,
        is_repeated=is_repeated,
    )


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def summary(kind: type[Any]) -> str:
    """The first line of a docstring, without its full stop."""
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].rstrip(".")


@cache  # reading the source takes most of the time that help takes
def _docstrings(kind: Any) -> dict[str, str]:
    """The docstring under each field of ``kind``, on one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for node, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[node.target.id] = " ".join(str(following.value.value).split())
    return found
