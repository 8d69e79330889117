"""``diptych check``."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from diptych.config import SourceConfig
from diptych.config.constraints import option
from diptych.pair import Pair
from diptych.registry import METHODS

if TYPE_CHECKING:
    from diptych.training.inspection import Inspection

EXIT_WARNINGS, EXIT_ERRORS = 1, 2


@dataclass(frozen=True)
class Check:
    """Find problems in the pictures before training on them.

    Also shows the defaults that training would use, how long it would take and how much memory it needs.

    Exit code: 0 if nothing is wrong (there may be notes), 1 with warnings (training runs, but its result may
    be worse), 2 with errors (training would stop).

    For example:
      diptych check photos paintings
      diptych check --root horse2zebra --no-estimate
      diptych check drawings photos --method pix2pix
      diptych check photos paintings --json
    """

    source: SourceConfig = SourceConfig()
    method: str | None = option(
        None,
        "Method to check for. If it needs pairs, such as pix2pix, the pairs are checked too. By default cyclegan, or "
        "pix2pix if the root has a folder train of side-by-side pictures.",
        "|".join(METHODS.kinds),
    )
    range_a: str | None = option(
        None,
        "The value of domain A that becomes black and the one that becomes white, such as 0 4095; or auto, as in "
        "train.",
        "LOW HIGH",
    )
    range_b: str | None = option(None, "The same for domain B.", "LOW HIGH")
    preset: Literal["default", "paper"] = option("default", "Preset for the defaults and the estimate.")
    estimate: bool = option(True, "Run some updates to estimate the time and the memory that training needs.")
    json: bool = option(False, "Print everything as JSON.")

    def __call__(self) -> int:
        from diptych.training.inspection import inspect

        report = inspect(
            self.source,
            method=self.method,
            preset=self.preset,
            with_estimate=self.estimate,
            ranges=Pair(self.range_a, self.range_b),
        )
        severities = {finding.severity for finding in report.findings}
        code = EXIT_ERRORS if "error" in severities else EXIT_WARNINGS if "warning" in severities else 0
        if self.json:
            import json

            print(json.dumps({"exit_code": code} | report.json(), indent=2))
        else:
            show(report)
        return code


NUM_LISTED = 5
STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


def show(report: "Inspection") -> None:
    """Prints ``report`` as text."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    console.print(_table(report))
    for line in (*report.choices, *([report.estimate.words] if report.estimate else [])):
        console.print(printable(line))
    console.print()
    for finding in report.findings:
        message = f": {printable(finding.problem)}: {printable(finding.cure)}"
        console.print(Text.assemble((finding.severity, STYLES[finding.severity]), message))
        lines = finding.details or tuple(" = ".join(map(str, group)) for group in finding.files)
        for line in lines[:NUM_LISTED]:
            console.print(f"    {printable(line)}")
        if len(lines) > NUM_LISTED:
            console.print(f"    and {len(lines) - NUM_LISTED:,} more (--json lists all)")
    if not report.findings:
        console.print("nothing is wrong with these pictures")


def printable(text: str) -> str:
    """``text`` in the terminal's encoding. Names of files need not be valid UTF-8."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, errors="replace").decode(encoding)


def _table(report: "Inspection") -> Any:
    """The two domains side by side."""
    from rich.table import Table

    table = Table("", *map(printable, report.names), box=None, header_style="bold", pad_edge=False)
    for name, values in report.rows():
        table.add_row(name, *values)
    return table
