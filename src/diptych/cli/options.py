"""The options of a command as a table, read from its dataclass. The parser, the help and the completion use it."""

import inspect
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from diptych.config.constraints import option_name, unwrap
from diptych.errors import OptionError
from diptych.registry import REGISTRIES, Registry, kind_of

METAVARS: dict[Any, str] = {bool: "", int: "INT", float: "FLOAT", Path: "PATH", str: "TEXT"}
"""Placeholder of a value in the help, by its type."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a command, or one of its positional arguments."""

    key: str
    """The field that it sets: ``options.data.crop_size``."""
    name: str
    """As typed: ``--crop-size``. An argument has its name in the usage line: ``MODEL``."""
    type: Any
    """bool, int, float, Path or str."""
    metavar: str
    choices: tuple[Any, ...]
    default: Any
    help: str
    heading: str
    """Title of the config that it belongs to."""
    owner: str
    """The choice that adds this option, such as ``--generator unet``; empty if it needs no choice."""
    registry: Registry | None
    """The registry of its values, if it chooses a method or a network."""
    is_argument: bool
    is_required: bool
    is_repeated: bool
    """Whether an argument takes one or more values."""

    @property
    def opposite(self) -> str:
        """The name that turns a switch off; empty for other options."""
        before, dot, last = self.name.removeprefix("--").rpartition(".")
        return f"--{before}{dot}no-{last}" if self.type is bool else ""

    @property
    def group(self) -> str:
        """Name of the config that it belongs to, or that it chooses; empty for the command's own options."""
        before, _, last = self.key.rpartition(".")
        return last if self.registry else before.rpartition(".")[2]

    @property
    def names(self) -> list[str]:
        """The names that can be typed."""
        return [self.name, self.opposite] if self.opposite else [self.name]


def options_of(command: Any, instance: Any = None) -> list[Option]:
    """The options of the dataclass ``command``, with the defaults of ``instance``.

    Without an instance: the options of every built-in method and network.

    Raises:
        OptionError: an option has a type that the command line cannot read.
    """
    return list(_options(command, instance))


def config_options(chooser: Option, kind: str) -> list[Option]:
    """The options that choosing ``kind`` adds."""
    assert chooser.registry is not None
    return list(_options(chooser.registry.config(kind), None, f"{chooser.key}.", f"{chooser.name} {kind}"))


def summary(kind: Any) -> str:
    """The first line of a docstring, without its full stop."""
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].rstrip(".")


def _options(kind: Any, instance: Any, prefix: str = "", owner: str = "") -> Iterator[Option]:
    hints = get_type_hints(kind, include_extras=True)
    for member in fields(kind):
        hint, _ = unwrap(hints[member.name])
        value = member.default if instance is None else getattr(instance, member.name)
        if not is_dataclass(value):
            yield _option(kind, member, hint, None if value is MISSING else value, prefix, owner)
            continue
        if hint in REGISTRIES:
            chooser = _option(kind, member, hint, value, prefix, owner)
            yield chooser
            if instance is None:
                for name in REGISTRIES[hint].kinds:
                    yield from config_options(chooser, name)
                continue
        yield from _options(type(value), None if instance is None else value, f"{prefix}{member.name}.", owner)


def _option(kind: Any, member: "Field[Any]", hint: Any, value: Any, prefix: str, owner: str) -> Option:
    is_repeated, registry = get_origin(hint) is tuple, REGISTRIES.get(hint)
    hint = get_args(hint)[0] if is_repeated else hint
    choices = registry.kinds if registry else get_args(hint) if get_origin(hint) is Literal else ()
    if not choices and hint not in METAVARS:
        problem = f"{kind.__name__}.{member.name} has the type {hint}, which the command line cannot read"
        raise OptionError(problem, cure="use bool, int, float, str, Path or Literal")
    is_argument = member.metadata.get("is_argument", False)
    metavar = member.metadata.get("metavar") or "|".join(map(str, choices)) or METAVARS[hint]
    return Option(
        key=f"{prefix}{member.name}",
        name=metavar.strip("[].") if is_argument else f"--{option_name(prefix + member.name)}",
        type=str if choices else hint,
        metavar=metavar,
        choices=choices,
        default=kind_of(value) if registry else value,
        help=member.metadata.get("help", ""),
        heading=summary(kind),
        owner=owner,
        registry=registry,
        is_argument=is_argument,
        is_required=member.default is MISSING,
        is_repeated=is_repeated,
    )
