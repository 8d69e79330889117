"""``diptych train``."""

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from diptych.cli.console import tune_malloc
from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config import LengthConfig, SourceConfig, TrainConfig
from diptych.config.constraints import Positive, option
from diptych.data.layouts import is_side_by_side
from diptych.errors import OptionError, did_you_mean_path
from diptych.launcher import is_main
from diptych.presets import PRESETS
from diptych.registry import DISCRIMINATORS, GENERATORS, METHODS, Registry, kind_of

CONFIG_FILE = "config.json"
LENGTHS = ("--epochs", "--pictures", "--time")
"""Options of which at most one is given."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train on two folders of pictures; the same command resumes.

    A run that was stopped or killed continues from its last checkpoint.

    Options that you leave out get defaults that suit the pictures and the machine. --dry-run shows them, and how much
    time and memory the run needs. Each method, generator and discriminator has options of its own; for
    example, --generator unet --help shows those of unet. --method, --generator and --discriminator also take the config
    class of another package, as package.module:Class.

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
    """The first options of the short help."""

    run: Path | None = option(None, "Folder of the run. An existing run is resumed. By default runs/<A>2<B>.")
    fork: Path | None = option(
        None, "Start a new run in this folder from the last checkpoint of --run, with other options."
    )
    preset: Literal["default", "paper"] = option(
        "default", "Defaults of the other options; paper has the settings of the method's paper."
    )
    seeds: Positive[int] = option(
        1,
        "Train this number of runs, one after the other, with --seed and the seeds after it. Shows the mean and the "
        "spread of their scores, and keeps the best model. Each run takes the whole --time.",
    )
    dry_run: bool = option(False, "Print the resolved options and the estimated time and memory, without training.")
    trust_code: bool = option(False, f"For --init-from. {TRUST_CODE}")
    options: TrainConfig = TrainConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The values of options that are not ``given``: those of the run to resume or fork, or else of the preset.

        Raises:
            OptionError: two lengths are given.
        """
        config = _stored(given) or _preset(given)
        for name, registry in (("method", METHODS), ("generator", GENERATORS), ("discriminator", DISCRIMINATORS)):
            kind = given.get(f"--{name}")
            if kind is not None and kind != kind_of(getattr(config, name)):
                config = replace(config, **{name: _default_config(registry, kind)})
        if lengths := [name for name in LENGTHS if name in given]:
            if len(lengths) > 1:
                raise OptionError(f"{' and '.join(lengths)} are given", cure="give one of them")
            config = replace(config, length=LengthConfig(patience=config.length.patience))
        return cls(options=replace(config, source=SourceConfig()))

    def config(self) -> TrainConfig:
        """The config of the run, with the pictures of the run to resume if none are given.

        Raises:
            OptionError: no pictures are given, or a run instead of pictures.
        """
        source, run, init_from = self.options.source, self.run, self.options.optimiser.init_from
        if self.trust_code and init_from is not None:
            trust_files(init_from)
        if source == SourceConfig() and run is not None:
            if not (run / CONFIG_FILE).is_file():
                cure = did_you_mean_path(run) or "give A B, or --root ROOT"
                raise OptionError(f"{run} is not a run, and no pictures are given", cure=cure)
            from diptych.run import Run

            source = Run(run).config(trust_code=True).source
        if source.a is not None and source.b is None:
            if (source.a / CONFIG_FILE).is_file():
                cure = f"to resume it, give --run {source.a}"
                raise OptionError(f"{source.a} is a run, not a folder of pictures", cure=cure)
            if run is not None and run.is_dir() and not (run / CONFIG_FILE).is_file():
                problem = f"--run {run} is where the run would be written, so {source.a} is the only folder of pictures"
                raise OptionError(problem, cure=f"give diptych train {shlex.join([str(run), str(source.a)])}")
        return replace(self.options, source=source)

    def __call__(self) -> int:
        if self.dry_run:
            return self._show()
        started = time.monotonic()
        if self.seeds > 1:
            return self._train_seeds()
        from diptych.monitoring.progress import Terminal
        from diptych.training.loop import train

        tune_malloc(self.options.engine.device)
        run = train(self.config(), self.run, fork=self.fork, display=Terminal(), started=started)
        if is_main():
            print(run.folder)
        return 0

    def _train_seeds(self) -> int:
        from diptych.monitoring.progress import Terminal
        from diptych.training.seeds import best_of, in_words, train_seeds

        if self.fork is not None:
            raise OptionError("--seeds and --fork are given", cure="fork one run, or train new ones with --seeds")
        tune_malloc(self.options.engine.device)
        folder, scores = train_seeds(self.config(), self.run, number=self.seeds, display=Terminal())
        if is_main():
            print(*in_words(scores), f"best: {best_of(scores).run}; its model is in {folder}", sep="\n")
        return 0

    def _show(self) -> int:
        if not is_main():
            return 0
        from diptych.config_json import flatten
        from diptych.monitoring.progress import Terminal
        from diptych.training.estimate import estimate
        from diptych.training.fit_time import fit_to_time
        from diptych.training.plan.plan import describe, make_plan

        display = Terminal()
        plan = make_plan(self.config(), self.run, self.fork, display)
        if plan.length is None:
            plan = fit_to_time(plan, display)
        print(*describe(plan), "", *(f"{name} = {value}" for name, value in flatten(plan.config).items()), sep="\n")
        print(flush=True)
        if plan.done >= plan.total:
            print(f"{plan.run.folder} is complete: {plan.done:,} pictures")
        else:
            display.note("running some updates to estimate time and memory")
            sizes = plan.split.train.map(len)
            print(estimate(plan.config, sizes, done=plan.done, total=plan.total).words)
        return 0


def _preset(given: Mapping[str, Any]) -> TrainConfig:
    root = given.get("--root")
    usual = "pix2pix" if root and is_side_by_side(Path(root)) else "cyclegan"
    method = _default_config(METHODS, given.get("--method", usual))
    preset = PRESETS.get(given.get("--preset", ""), PRESETS["default"])  # a wrong name is reported by the parser
    return preset(method)


def _stored(given: Mapping[str, Any]) -> TrainConfig | None:
    """The config of the run that ``--fork`` or ``--run`` names, if it exists and no preset is given."""
    if "--preset" in given:
        return None
    folders = [Path(given[name]) for name in ("--fork", "--run") if name in given]
    folder = next((folder for folder in folders if (folder / CONFIG_FILE).is_file()), None)
    if folder is None:
        return None
    from diptych.run import Run

    return Run(folder).config(trust_code=True)


def _default_config(registry: Registry, kind: str) -> Any:
    try:
        return registry.config(kind)()
    except TypeError as error:  # the class of another package
        raise OptionError(f"{kind} cannot be created ({error})", cure="give each of its options a default") from None
