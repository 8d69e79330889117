"""``diptych evaluate``."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diptych.cli.console import stderr_console
from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config import DeviceName, InferenceEngine
from diptych.config.constraints import REQUIRED, argument, option

if TYPE_CHECKING:
    from rich.table import Table

    from diptych.evaluation.scores import Score

STYLE: dict[str, Any] = {"box": None, "pad_edge": False, "title_justify": "left", "title_style": "bold"}


@dataclass(frozen=True)
class Evaluate:
    """Score a model on pictures that it was not trained on.

    Each score is shown beside its reference values. A run is scored on its held-out pictures, and the result is written
    to its scores.json.

    For example:
      diptych evaluate runs/photos2paintings
      diptych evaluate runs/horse2zebra --root horse2zebra
      diptych evaluate model.safetensors photos paintings --pairs
      diptych evaluate paint.onnx photos paintings
      diptych evaluate runs/photos2paintings --features inception:inception.pt
      diptych evaluate runs/streets --root cityscapes --pairs --label-maps b
    """

    model: Path = argument(
        REQUIRED, "A run, its model.safetensors, hf:OWNER/NAME, or a file of diptych export (.onnx, .xml).", "MODEL"
    )
    a: Path | None = argument(
        None,
        "Pictures of domain A, as for train. By default the run's held-out pictures.",
        "[A]",
    )
    b: Path | None = argument(None, "Pictures of domain B, in the same way.", "[B]")
    root: Path | None = option(
        None,
        "Instead of A and B: a folder with testA and testB, or with a folder test that holds a folder for each domain, "
        "or side-by-side pictures.",
    )
    pairs: bool | None = option(
        None,
        "Treat pictures of the same name as pairs, and skip those without a partner. By default on for methods that "
        "need pairs, such as pix2pix.",
    )
    features: str = option(
        "efficientnet-lite0",
        "Feature network for KID, FID and similar scores: efficientnet-lite0 (extra: evaluate), inception:FILE (the "
        "standard Inception as TorchScript), another TorchScript file, or module:function that returns a network.",
        "NETWORK",
    )
    label_maps: Literal["a", "b"] | None = option(
        None, "Domain whose pictures are label maps. Scores the class of each pixel, found by the nearest colour."
    )
    colours: Path | None = option(
        None,
        "Text file with the colour of one class per line, as #rrggbb. By default the colours of the true label "
        "maps, at most 64.",
    )
    masks_a: Path | None = option(
        None,
        "Folder of masks of pictures of A, with the same names: what is not black must stay. By default those of the "
        "run.",
        "FOLDER",
    )
    masks_b: Path | None = option(None, "The same for domain B.", "FOLDER")
    device: DeviceName = option("auto", "Device to compute on; auto tries CUDA, then MPS, then the CPU.")
    engine: InferenceEngine = option(
        "torch",
        "What computes the translations on a CPU, in fp32: torch, openvino (extra: openvino), onnxruntime (extra: "
        "export), or auto, the fastest that is installed. Scores may differ in the third digit. An exported file "
        "is computed by an engine for its format.",
    )
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        from rich.console import Console

        from diptych.evaluation.evaluate import evaluate
        from diptych.report.report import write_report
        from diptych.report.tables import LEGEND
        from diptych.run import Run

        if self.trust_code and Run(self.model).exists:
            trust_files(self.model)
        stderr = stderr_console()
        evaluation = evaluate(
            self.model,
            self.a,
            self.b,
            root=self.root,
            pairs=self.pairs,
            features=self.features,
            label_maps=self.label_maps,
            colours=self.colours,
            masks_a=self.masks_a,
            masks_b=self.masks_b,
            device=self.device,
            engine=self.engine,
            trust_code=self.trust_code,
            report=stderr.print,
        )
        if (run := Run(self.model)).exists:
            write_report(run)
        console = Console(highlight=False, markup=False, emoji=False)
        for direction, scores in evaluation.scores.items():
            source, target = evaluation.names.along(direction)
            console.print(_table(f"{source} to {target}", list(scores.values())))
            console.print(LEGEND, style="dim", soft_wrap=True)
            console.print()
        for remark in evaluation.remarks:
            console.print(remark, soft_wrap=True)
        console.print(_protocol(evaluation.protocol))
        return 0


def _table(title: str, scores: "list[Score]") -> "Table":
    from rich.table import Table

    from diptych.report.elements import three_digits

    table = Table(title=title, **STYLE, header_style="dim")
    table.add_column("")
    for heading in ("trained", "input", "untrained", "real"):
        table.add_column(heading, justify="right")
    for score in scores:
        arrow = {"lower": " ↓", "higher": " ↑", None: ""}[score.better]
        references = (score.untranslated, score.untrained, score.real)
        table.add_row(score.name + arrow, three_digits(score.trained), *map(three_digits, references))
        if score.interval is not None:
            table.add_row("  95 % confidence interval", " … ".join(map(three_digits, score.interval)), style="dim")
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
