"""``diptych train``."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from diptych.cli.options import Option, options_of
from diptych.config import (
    DataConfig,
    DiscriminatorConfig,
    EngineConfig,
    GeneratorConfig,
    LengthConfig,
    MethodConfig,
    OptimiserConfig,
    OutputConfig,
    SourceConfig,
    TrainConfig,
)
from diptych.data.sources import is_side_by_side
from diptych.errors import OptionError, did_you_mean_path
from diptych.launcher import is_main
from diptych.presets import PRESETS
from diptych.registry import DISCRIMINATORS, GENERATORS, METHODS, Registry, kind_of

FLAT = tyro.conf.arg(name="")
KINDS = {"--generator": GENERATORS, "--discriminator": DISCRIMINATORS, "--method": METHODS}
"""The options that decide which others there are."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train on two folders of pictures; the same command goes on.

    A run that stopped goes on where it stopped, however it stopped.

    What is not given is chosen from the pictures and the machine: --dry-run shows the choices, and what the run would
    take. Each --method, --generator and --discriminator has options of its own: give it beside --help to see them.

    For example:
      diptych train photos paintings
      diptych train photos paintings --time 40m --run runs/first-try
      diptych train --run runs/first-try
      diptych train --root horse2zebra --preset paper
      diptych train photos paintings --generator unet --generator.width 32
    """

    common: ClassVar[tuple[str, ...]] = (
        "--root", "--run", "--time", "--epochs", "--crop-size", "--batch-size", "--preset", "--method", "--generator",
        "--discriminator", "--dry-run",
    )  # fmt: skip
    """What the short help explains first; all that belong to no group are in it as well."""

    a: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[A]")] = None
    """Folder with pictures of domain A."""
    b: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[B]")] = None
    """Folder with pictures of domain B."""
    root: Path | None = None
    """In place of A and B: a folder that holds trainA, trainB and, if there are any, testA and testB."""
    run: Path | None = None
    """Folder of the run; the same one goes on. By default runs/<A>2<B>."""
    fork: Path | None = None
    """Folder of a new run that begins with the last checkpoint of --run, and may differ from it in other options."""
    preset: Literal["default", "paper"] = "default"
    """What the other options begin from: paper is the paper to the letter."""
    method_kind: Annotated[Literal["cyclegan", "pix2pix"], tyro.conf.arg(name="method")] = "cyclegan"
    """How to learn."""
    generator_kind: Annotated[Literal["resnet", "unet"], tyro.conf.arg(name="generator")] = "resnet"
    """Architecture of the generators."""
    discriminator_kind: Annotated[Literal["patchgan", "pixel"], tyro.conf.arg(name="discriminator")] = "patchgan"
    """Architecture of the discriminators."""

    dry_run: bool = False
    """Make every choice, print the resulting options and what they would take in time and memory, and stop."""

    length: Annotated[LengthConfig, FLAT]
    data: Annotated[DataConfig, FLAT]
    method: Annotated[MethodConfig, FLAT]
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig
    optimiser: Annotated[OptimiserConfig, FLAT]
    engine: Annotated[EngineConfig, FLAT]
    output: Annotated[OutputConfig, FLAT]

    def config(self) -> TrainConfig:
        """What is asked for, as Python code would ask."""
        self._refuse_misplaced()
        members = {field.name: getattr(self, field.name) for field in fields(TrainConfig) if field.name != "source"}
        source = SourceConfig(a=self.a, b=self.b, root=self.root)
        if source == SourceConfig() and self.run is not None:
            from diptych.run import Run

            source = Run(self.run).config().source
        return TrainConfig(source=source, **members)

    def _refuse_misplaced(self) -> None:
        """Where folders are missing, says what stands in their place.

        Raises:
            OptionError: there is no such run, a run stands where pictures are named, or pictures where a run is.
        """
        if self.a is None and self.root is None and self.run is not None and not (self.run / "config.json").is_file():
            cure = did_you_mean_path(self.run) or "give A B, or --root ROOT"
            raise OptionError(f"{self.run} is no run to go on with, and no pictures are named", cure=cure)
        if self.a is None or self.b is not None:
            return
        if (self.a / "config.json").is_file():
            raise OptionError(
                f"{self.a} is a run, no folder of pictures", cure=f"to go on with it, give --run {self.a}"
            )
        if self.run is not None and self.run.is_dir() and not (self.run / "config.json").is_file():
            problem = f"--run {self.run} is where the run would be written, so {self.a} is the only folder of pictures"
            raise OptionError(problem, cure=f"give diptych train {shlex.join([str(self.run), str(self.a)])}")

    def __call__(self) -> int:
        if self.dry_run:
            return self.show()
        from diptych.monitoring.progress import Terminal
        from diptych.training.loop import train

        run = train(self.config(), self.run, fork=self.fork, display=Terminal())
        if is_main():
            print(run.folder)
        return 0

    def show(self) -> int:
        """Prints what would be done, and what it would take."""
        if not is_main():
            return 0
        from diptych.config_json import flatten
        from diptych.monitoring.progress import Terminal
        from diptych.training.estimate import estimate, fit_to_time
        from diptych.training.plan.plan import describe, make_plan

        display = Terminal()
        plan = make_plan(self.config(), self.run, self.fork, display)
        if plan.is_open:
            plan = fit_to_time(plan, display)
        print(*describe(plan), "", *(f"{name} = {value}" for name, value in flatten(plan.config).items()), sep="\n")
        print(flush=True)
        if plan.done >= plan.total:
            print(f"{plan.run.folder} is complete: {plan.done:,} pictures")
        else:
            display.note("trying some updates, to tell what the run would take")
            print(estimate(plan.config, plan.split.train.map(len), done=plan.done).words)
        return 0


def train_defaults(arguments: Sequence[str]) -> Train:
    """The options that ``arguments`` begin from: those of the run that goes on, else those of the preset.

    ``--method``, ``--generator`` and ``--discriminator`` decide which options there are, so they are looked up first.
    """
    config = _stored(arguments) or _preset(arguments)
    generator, discriminator = kind_of(config.generator), kind_of(config.discriminator)
    config = replace(
        config,
        generator=_member(GENERATORS, _given(arguments, "--generator", generator), config.generator),
        discriminator=_member(
            DISCRIMINATORS, _given(arguments, "--discriminator", discriminator), config.discriminator
        ),
    )
    members = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "source"}
    kinds = {f"{name}_kind": kind_of(getattr(config, name)) for name in ("method", "generator", "discriminator")}
    return Train(**members, **kinds)


def refuse_options_of_others(words: Sequence[str], options: Sequence[Option]) -> None:
    """Says where an option belongs that another generator, discriminator or method than the one asked for has.

    Raises:
        OptionError: there is one among ``words``.
    """
    known = {option.name for option in options}
    given = [word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    for name in given:
        for choice, kinds in KINDS.items():
            for kind in kinds.built_in:
                if name not in known and name in {o.name for o in options_of(Train, train_defaults([choice, kind]))}:
                    raise OptionError(f"train has no option {name} here", cure=f"it belongs to {choice} {kind}")


def all_options() -> list[Option]:
    """The options of ``train`` with whatever generator, discriminator and method."""
    each = [
        options_of(Train, train_defaults([choice, kind])) for choice, kinds in KINDS.items() for kind in kinds.built_in
    ]
    return list({option.name: option for options in each for option in options}.values())


def _preset(arguments: Sequence[str]) -> TrainConfig:
    root = Path(_given(arguments, "--root", ""))
    usual = "pix2pix" if root != Path() and is_side_by_side(root) else "cyclegan"
    method = METHODS.built_in.get(_given(arguments, "--method", usual), METHODS.built_in[usual])()
    return PRESETS.get(_given(arguments, "--preset", "default"), PRESETS["default"])(method)


def _stored(arguments: Sequence[str]) -> TrainConfig | None:
    """The config of the run that ``--fork`` or ``--run`` names, where there is one and no ``--preset`` is given."""
    folders = [Path(_given(arguments, option, "")) for option in ("--fork", "--run") if _given(arguments, option, "")]
    folder = next((folder for folder in folders if (folder / "config.json").is_file()), None)
    if folder is None or _given(arguments, "--preset", ""):
        return None
    from diptych.run import Run  # brings torch with it, so only where there is a run to go on with

    return Run(folder).config()


def _given(arguments: Sequence[str], option: str, default: str) -> str:
    """The value of ``option`` among ``arguments``, in either spelling."""
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if argument == option:
            return following
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return default


def _member(registry: Registry, kind: str, default: Any) -> Any:
    """``default`` if it is of ``kind`` (or there is no such), else a config of that kind."""
    known = registry.built_in.get(kind, type(default))
    return default if isinstance(default, known) else known()
