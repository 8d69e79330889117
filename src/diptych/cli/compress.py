"""``diptych compress``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diptych.cli.console import tune_malloc
from diptych.cli.trust import TRUST_CODE
from diptych.config import DeviceName, Direction, InferenceEngine, LengthConfig, SourceConfig
from diptych.config.constraints import REQUIRED, NotNegative, Positive, argument, option
from diptych.errors import OptionError
from diptych.launcher import is_main

if TYPE_CHECKING:
    from diptych.compression.candidates import Request
    from diptych.compression.comparison import Comparison


@dataclass(frozen=True)
class Compress:
    """Train a small, fast model on the outputs of a trained one; the same command resumes.

    The size of the small generators is chosen by their measured speed on this machine. The result is a run like any
    other. At the end, both models are compared.

    For example:
      diptych compress runs/photos2paintings
      diptych compress runs/photos2paintings --faster 30 --time 20m
      diptych compress model.safetensors photos paintings --budget 10ms --time 1h
    """

    model: Path = argument(REQUIRED, "The teacher: a run, its model.safetensors, or hf:OWNER/NAME.", "MODEL")
    a: Path | None = argument(None, "Pictures of domain A, as for train. By default those of the run.", "[A]")
    b: Path | None = argument(None, "Pictures of domain B, in the same way.", "[B]")
    root: Path | None = option(None, "Instead of A and B: a folder that holds both domains, as for train.")
    run: Path | None = option(None, "Folder of the new run. An existing one is resumed. By default RUN-small.")
    faster: Positive[float] | None = option(
        None, "Speedup of the network over the teacher's, for a picture of 256×256. By default 15."
    )
    budget: str | None = option(
        None, "Instead of --faster: time of the network for such a picture, such as 10ms.", "TIME"
    )
    width: Positive[int] | None = option(None, "Channels after the first layer, instead of a choice by speed.")
    num_blocks: NotNegative[int] | None = option(
        None, "Residual blocks. By default as many as the teacher has, or fewer."
    )
    time: str | None = option(
        None, "How long to train, such as 10m. By default a third of the time that the teacher was trained.", "TIME"
    )
    pictures: Positive[int] | None = option(None, "Length in pictures per domain, instead of a time.")
    direction: Direction | None = option(None, "Compress only the generator from A to B, or from B to A.")
    engine: InferenceEngine = option("torch", "Engine whose times are measured; auto is the fastest that is installed.")
    device: DeviceName = option("auto", "Device to train on; auto tries CUDA, then MPS, then the CPU.")
    seed: NotNegative[int] = option(0, "Seed of every random choice in the run.")
    pairs: bool | None = option(None, "Score pictures of the same name as pairs: see evaluate.")
    features: str = option("efficientnet-lite0", "Feature network of the scores: see evaluate.", "NETWORK")
    score: bool = option(True, "Evaluate both models at the end, which may take minutes for a slow teacher.")
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        from diptych.compression.compress import compress
        from diptych.compression.plan import Options
        from diptych.monitoring.progress import Terminal

        if self.time is not None and self.pictures is not None:
            raise OptionError("--time and --pictures are given", cure="give one of them")
        options = Options(
            request=self._request(),
            direction=self.direction,
            source=SourceConfig(a=self.a, b=self.b, root=self.root),
            length=LengthConfig(time=self.time, pictures=self.pictures),
            engine=self.engine,
            device=self.device,
            seed=self.seed,
            features=self.features,
            pairs=self.pairs,
            score=self.score,
            trust_code=self.trust_code,
        )
        tune_malloc(self.device)
        run, comparison = compress(self.model, options, self.run, display=Terminal())
        if is_main():
            _show(comparison)
            print(run.folder)
        return 0

    def _request(self) -> "Request":
        from diptych.compression.candidates import Request
        from diptych.compression.plan import FASTER, parse_budget

        given = [f"--{name}" for name in ("faster", "budget", "width") if getattr(self, name) is not None]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} are given", cure="give one of them")
        return Request(
            faster=self.faster if given else FASTER,
            budget=None if self.budget is None else parse_budget(self.budget),
            width=self.width,
            num_blocks=self.num_blocks,
        )


def _show(comparison: "Comparison") -> None:
    """Prints the table before and after."""
    from rich.console import Console
    from rich.table import Table

    from diptych.cli.evaluate import STYLE
    from diptych.report.elements import three_digits

    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(**STYLE, header_style="dim")
    table.add_column("")
    for heading in ("teacher", "student"):
        table.add_column(heading, justify="right")
    for name, both in comparison.sizes.items():
        table.add_row(name, *map(three_digits, both))
    console.print(table)
    for name, speedup in comparison.speedups.items():
        console.print(f"{name}: {speedup:.1f} times as fast")
    pictures = "held-out pictures" if comparison.held_out else "training pictures, since none are held out"
    for direction, psnr in comparison.psnr.items():
        console.print(f"{direction}: {psnr:.1f} dB between the outputs of both, for {pictures}")
    for direction, scores in comparison.scores.items():
        table = Table(title=direction, **STYLE, header_style="dim")
        table.add_column("")
        for heading in ("teacher", "student", "input", "untrained", "real"):
            table.add_column(heading, justify="right")
        for before, after in scores.values():
            arrow = {"lower": " ↓", "higher": " ↑", None: ""}[after.better]
            anchors = (after.untranslated, after.untrained, after.real)
            table.add_row(after.name + arrow, *map(three_digits, (before.trained, after.trained, *anchors)))
        console.print(table)
        if (lost := comparison.lost_gain(direction)) is not None:
            console.print(f"the student loses {lost:.0%} of the KID that the teacher gains over the input")
