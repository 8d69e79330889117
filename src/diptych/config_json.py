"""Configs to JSON and back, strictly, and as a flat table to compare and to show."""

import dataclasses
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from diptych.errors import OptionError, did_you_mean
from diptych.pair import Pair
from diptych.registry import REGISTRIES, Registry, kind_of, refuse_foreign

Config = TypeVar("Config")


def to_json(config: Any) -> Any:
    """The JSON value of a config: dataclasses as objects, with the ``kind`` of methods and networks; pairs as lists."""
    if isinstance(config, Pair):
        return [to_json(member) for member in config]
    if dataclasses.is_dataclass(config):
        kind = {"kind": kind_of(config)} if hasattr(config, "implementation") else {}
        return kind | {f.name: to_json(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return str(config) if isinstance(config, Path) else config


def from_json(kind: type[Config] | Any, value: Any, where: str = "config") -> Config:
    """The config of type ``kind`` in the JSON ``value``; the inverse of ``to_json``.

    Raises:
        OptionError: an unknown option, or a value of the wrong type; the message says where.
        UntrustedCodeError: a class outside of diptych, whose module is not imported: see ``registry.trust_code``.
    """
    config: Config = _from_json(kind, value, where)
    return config


def _from_json(kind: Any, value: Any, where: str) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return _from_optional(get_args(kind), value, where)
    if kind in REGISTRIES:
        return _from_registry(REGISTRIES[kind], value, where)
    if dataclasses.is_dataclass(kind):
        return _from_object(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise OptionError(f"{where} is {value!r}", cure=f"give one of {', '.join(map(str, get_args(kind)))}")
    if get_origin(kind) is Pair and isinstance(value, list) and len(value) == 2:
        return Pair(*(_from_json(get_args(kind)[0], member, where) for member in value))
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    raise OptionError(f"{where} is {value!r}", cure=f"give a value of type {getattr(kind, '__name__', kind)}")


def _from_optional(members: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in members:
        return None
    (member,) = (m for m in members if m is not types.NoneType)
    return _from_json(member, value, where)


def _from_registry(registry: Registry, value: Any, where: str) -> Any:
    """The config of the kind that ``value`` names."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise OptionError(f"{where} names no kind", cure=f"give an object with a kind: {', '.join(registry.kinds)}")
    refuse_foreign(value["kind"], f"{where}.kind")
    return _from_object(registry.config(value["kind"]), {k: v for k, v in value.items() if k != "kind"}, where)


def _from_object(kind: type[Any], value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise OptionError(f"{where} is {value!r}", cure="give an object of options")
    names = {f.name for f in dataclasses.fields(kind)}
    for unknown in value.keys() - names:
        cure = did_you_mean(unknown, names) or "remove it, or use the version of diptych that wrote it"
        raise OptionError(f"{where} has no option {unknown!r}", cure=cure)
    hints = get_type_hints(kind)
    given = {key: _from_json(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    return kind(**given)


def flatten(value: Any) -> dict[str, Any]:
    """The leaves of a config or of nested JSON objects, each under its dotted name, for comparing and showing."""
    flat: dict[str, Any] = {}
    for key, member in to_json(value).items():
        if isinstance(member, dict):
            flat |= {f"{key}.{name}": leaf for name, leaf in flatten(member).items()}
        else:
            flat[key] = member
    return flat
