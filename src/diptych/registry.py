"""Registries of the methods, generators and discriminators, by kind.

A kind is a built-in name (``resnet``) or the class path of a config outside diptych (``package.module:Class``). Both
lead to a frozen dataclass of options. Its class variable ``implementation`` is the class path of the method or network
that the options describe, which is imported when it is first built: listing options needs no torch.
"""

import sys
from importlib import import_module
from typing import Any

from diptych.config import (
    CutConfig,
    CycleganConfig,
    DiscriminatorConfig,
    DistillationConfig,
    FastcutConfig,
    GeneratorConfig,
    MethodConfig,
    PairedDistillationConfig,
    PatchganConfig,
    Pix2pixConfig,
    PixelConfig,
    ResnetConfig,
    UnetConfig,
)
from diptych.errors import OptionError, UserError, did_you_mean, first_line


class Registry:
    """The kinds of one component, such as the generators."""

    def __init__(
        self, component: str, kinds: dict[str, type[Any]], internal: dict[str, type[Any]] | None = None
    ) -> None:
        """``internal`` are kinds that only a command of their own starts."""
        self.component, self.built_in = component, kinds | (internal or {})
        self.kinds = tuple(kinds)
        """The built-in kinds that a user may choose."""

    def config(self, kind: str) -> type[Any]:
        """The config class of ``kind``.

        Raises:
            OptionError: no such kind, or the class path does not name a config class.
        """
        if kind in self.built_in:
            return self.built_in[kind]
        if ":" not in kind:
            listed = f"give one of {', '.join(self.kinds)}, or package.module:Class"
            raise OptionError(f"there is no {self.component} {kind!r}", cure=did_you_mean(kind, self.kinds) or listed)
        found: type[Any] = load_class(kind, self.component)
        if not isinstance(getattr(found, "implementation", None), str):
            cure = f"give the config class of a {self.component}: a dataclass with a class variable `implementation`"
            raise OptionError(f"{kind} is not a {self.component} config", cure=cure)
        return found

    def config_in_file(self, kind: str, where: str, *, trust_code: bool = False) -> type[Any]:
        """The config class of ``kind``, which the file entry ``where`` names. Importing it may run its code.

        Raises:
            UntrustedCodeError: its module has not been imported, and ``trust_code`` is false.
            OptionError: as ``config``.
        """
        if not trust_code:
            refuse_foreign(kind, where)
        return self.config(kind)


METHODS = Registry(
    "method",
    {"cyclegan": CycleganConfig, "pix2pix": Pix2pixConfig, "cut": CutConfig, "fastcut": FastcutConfig},
    {"distillation": DistillationConfig, "paired-distillation": PairedDistillationConfig},
)
GENERATORS = Registry("generator", {"resnet": ResnetConfig, "unet": UnetConfig})
DISCRIMINATORS = Registry("discriminator", {"patchgan": PatchganConfig, "pixel": PixelConfig})
REGISTRIES: dict[type[Any], Registry] = {
    MethodConfig: METHODS,
    GeneratorConfig: GENERATORS,
    DiscriminatorConfig: DISCRIMINATORS,
}
"""By the protocol that the configs of a component satisfy."""


def kind_of(config: object) -> str:
    """The kind of ``config``, an instance: a built-in name, or its class path."""
    cls = type(config)
    built_in = (item for registry in REGISTRIES.values() for item in registry.built_in.items())
    return next((kind for kind, known in built_in if known is cls), f"{cls.__module__}:{cls.__qualname__}")


class UntrustedCodeError(UserError):
    """A file names a class outside of diptych, and nobody has agreed to run its code."""


def trust_code(value: Any) -> None:
    """Imports every class outside of diptych that ``value``, the JSON of a config, names. Then it can be read.

    Raises:
        ClassPathError: a class cannot be imported.
    """
    if isinstance(value, dict):
        if isinstance(kind := value.get("kind"), str) and ":" in kind:
            load_class(kind, "class")
        value = list(value.values())
    for member in value if isinstance(value, list) else ():
        trust_code(member)


def refuse_foreign(kind: str, where: str) -> None:
    """Checks that ``kind``, which a file names, is built in, or that its module has been imported.

    Raises:
        UntrustedCodeError: neither. Importing the module would run its code.
    """
    module, is_path, _ = kind.partition(":")
    if is_path and module not in sys.modules:
        problem = f"{where} is {kind}, and reading it would run the code of {module}"
        raise UntrustedCodeError(problem, cure="give --trust-code if you trust this file and that module")


class ClassPathError(OptionError):
    """A class path that does not name a class."""


def load_class(path: str, component: str) -> Any:
    """The class at ``package.module:Class``.

    Raises:
        ClassPathError: the module cannot be imported, or has no such class.
    """
    module, _, name = path.partition(":")
    try:
        found = import_module(module)
    except Exception as error:  # third-party modules may raise anything
        problem = f"{component} {path}: {module} cannot be imported ({first_line(error)})"
        raise ClassPathError(problem, cure="install the package, or put its folder on PYTHONPATH") from None
    if not hasattr(found, name):
        problem = f"{component} {path}: {module} has no {name!r}"
        raise ClassPathError(problem, cure="give the name of a class in it")
    return getattr(found, name)


def build(config: Any, *args: Any) -> Any:
    """The method or network that ``config`` describes: its implementation called with ``config`` and ``args``.

    Raises:
        ClassPathError: the implementation cannot be imported.
    """
    return load_class(config.implementation, type(config).__name__)(config, *args)
