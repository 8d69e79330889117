"""``diptych train``."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

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
from diptych.launched import is_first
from diptych.presets import DISCRIMINATORS, GENERATORS, METHODS, PRESETS

FLAT = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train on two folders of pictures. The same command goes on where a run stopped.

    For example:
      diptych train photos paintings
      diptych train --root horse2zebra --preset paper
      diptych train photos paintings --time 40m --run runs/first-try
      diptych train photos paintings --generator unet --generator.width 32
      diptych train --run runs/first-try
    """

    a: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[A]")] = None
    """Folder with pictures of domain A."""
    b: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[B]")] = None
    """Folder with pictures of domain B."""
    root: Path | None = None
    """In place of A and B: a folder that holds trainA, trainB and, if there are any, testA and testB."""
    run: Path | None = None
    """Folder of the run. By default runs/<A>2<B>."""
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
    """Make every choice, print the resulting options, and stop."""

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
        members = {field.name: getattr(self, field.name) for field in fields(TrainConfig) if field.name != "source"}
        source = SourceConfig(a=self.a, b=self.b, root=self.root)
        if source == SourceConfig() and self.run is not None and (self.run / "config.json").is_file():
            from diptych.run import Run

            source = Run(self.run).config().source
        return TrainConfig(source=source, **members)

    def __call__(self) -> int:
        if self.dry_run:
            return self.show()
        from diptych.training.loop import train
        from diptych.training.progress import Terminal

        run = train(self.config(), self.run, fork=self.fork, display=Terminal())
        if is_first():
            print(run.folder)
        return 0

    def show(self) -> int:
        """Prints what would be done."""
        if not is_first():
            return 0
        from diptych.config_json import flatten
        from diptych.training.plan import describe, make_plan
        from diptych.training.progress import Terminal

        plan = make_plan(self.config(), self.run, self.fork, Terminal())
        print(*describe(plan), "", *(f"{name} = {value}" for name, value in flatten(plan.config).items()), sep="\n")
        return 0


def train_defaults(arguments: Sequence[str]) -> Train:
    """The options that ``arguments`` begin from: those of the run that goes on, else those of the preset.

    ``--method``, ``--generator`` and ``--discriminator`` decide which options there are, so they are looked up first.
    """
    config = _stored(arguments) or _preset(arguments)
    generator, discriminator = config.generator.kind, config.discriminator.kind
    config = replace(
        config,
        generator=_member(GENERATORS, _given(arguments, "--generator", generator), config.generator),
        discriminator=_member(
            DISCRIMINATORS, _given(arguments, "--discriminator", discriminator), config.discriminator
        ),
    )
    members = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "source"}
    kinds = {f"{name}_kind": getattr(config, name).kind for name in ("method", "generator", "discriminator")}
    return Train(**members, **kinds)


def _preset(arguments: Sequence[str]) -> TrainConfig:
    root = Path(_given(arguments, "--root", ""))
    usual = "pix2pix" if root != Path() and is_side_by_side(root) else "cyclegan"
    method = METHODS.get(_given(arguments, "--method", usual), METHODS[usual])()
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


def _member(kinds: dict[str, type[Any]], kind: str, default: Any) -> Any:
    """``default`` if it is of ``kind`` (or there is no such), else a config of that kind."""
    known = kinds.get(kind, type(default))
    return default if isinstance(default, known) else known()
