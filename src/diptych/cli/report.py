"""``diptych report``."""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Report:
    """Write a run's report.html anew.

    Pictures, scores, curves and alarms on one page that opens from disk. A run writes it by itself as it goes; this
    brings it up to date.

    For example:
      diptych report runs/photos2paintings
      diptych report runs/photos2paintings --open
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    open: bool = False
    """Show it in the browser."""

    def __call__(self) -> int:
        from diptych.report.report import write_report
        from diptych.run import Run

        file = write_report(Run(self.run))
        print(file)
        if self.open:
            webbrowser.open(file.resolve().as_uri())
        return 0
