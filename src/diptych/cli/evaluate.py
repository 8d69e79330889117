"""``diptych evaluate``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from diptych.config import DeviceName

if TYPE_CHECKING:
    from rich.table import Table

    from diptych.evaluation.scores import Score

STYLE: dict[str, Any] = {"box": None, "pad_edge": False, "title_justify": "left", "title_style": "bold"}


@dataclass(frozen=True)
class Evaluate:
    """Score a model on pictures that it has not seen.

    Beside each score stands what it must be held against. A run is scored on the pictures that it holds out, and gets
    the result as scores.json.

    For example:
      diptych evaluate runs/photos2paintings
      diptych evaluate runs/horse2zebra --root horse2zebra
      diptych evaluate model.safetensors photos paintings --pairs
      diptych evaluate runs/photos2paintings --features inception:inception.pt
      diptych evaluate runs/streets --root cityscapes --label-maps b
    """

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run, or its model.safetensors."""
    a: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[A]")] = None
    """Folder with pictures of domain A. By default, the pictures that the run holds out."""
    b: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[B]")] = None
    """Folder with pictures of domain B."""
    root: Path | None = None
    """Folder that holds testA and testB, or test with pictures side by side, in place of A B."""
    pairs: bool | None = None
    """Pictures of one name are pairs (those without a partner are left out), or are none. By default they are where
    all names are common."""
    features: Annotated[str, tyro.conf.arg(metavar="NETWORK")] = "efficientnet-lite0"
    """What KID, FID and their kin see with: efficientnet-lite0 (extra: evaluate), inception:FILE (the standard
    Inception as TorchScript), another TorchScript file, or module:function of yours that returns a network."""
    label_maps: Literal["a", "b"] | None = None
    """The domain whose pictures are label maps: score each pixel's class, by the nearest colour."""
    colours: Path | None = None
    """Text file with a class's colour in each line, #rrggbb. By default, those in the true label maps, at most 64."""
    device: DeviceName = "auto"
    """Where to compute; auto takes CUDA, then MPS, then the CPU."""

    def __call__(self) -> int:
        from rich.console import Console

        from diptych.evaluation.evaluate import evaluate
        from diptych.report.report import write_report
        from diptych.report.tables import LEGEND
        from diptych.run import Run

        aside = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
        found = evaluate(
            self.model,
            self.a,
            self.b,
            root=self.root,
            pairs=self.pairs,
            features=self.features,
            label_maps=self.label_maps,
            colours=self.colours,
            device=self.device,
            report=aside.print,
        )
        if (run := Run(self.model)).exists:
            write_report(run)
        console = Console(highlight=False, markup=False, emoji=False)
        for direction, scores in found.scores.items():
            source, target = found.names.along(direction)
            console.print(_table(f"{source} to {target}", list(scores.values())))
            console.print(LEGEND, style="dim", soft_wrap=True)
            console.print()
        for remark in found.remarks:
            console.print(remark, soft_wrap=True)
        console.print(_protocol(found.protocol))
        return 0


def _table(title: str, scores: "list[Score]") -> "Table":
    from rich.table import Table

    from diptych.report.elements import figures

    table = Table(title=title, **STYLE, header_style="dim")
    table.add_column("")
    for heading in ("trained", "input", "untrained", "real"):
        table.add_column(heading, justify="right")
    for score in scores:
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[score.better]
        anchors = (score.untranslated, score.untrained, score.real)
        table.add_row(score.name + arrow, figures(score.trained), *map(figures, anchors))
        if score.interval is not None:
            table.add_row("  95 % of it between", " … ".join(map(figures, score.interval)), style="dim")
    return table


def _protocol(protocol: dict[str, object]) -> "Table":
    from rich.table import Table

    from diptych.config_json import flatten

    table = Table(title="protocol", **STYLE, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a hash that is cut off cannot be compared
    for name, value in flatten(protocol).items():
        table.add_row(name, str(value))
    return table
