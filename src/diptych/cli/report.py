"""``diptych report``."""

from dataclasses import dataclass
from pathlib import Path

from diptych.cli.trust import TRUST_CODE, trust_files
from diptych.config.constraints import REQUIRED, argument, option


@dataclass(frozen=True)
class Report:
    """Update the report.html of a run.

    A single file with pictures, scores, curves and alarms. Training writes it too.

    For example:
      diptych report runs/photos2paintings
      diptych report runs/photos2paintings --open
    """

    run: Path = argument(REQUIRED, "Folder of the run.", "RUN")
    open: bool = option(False, "Open the report in the browser.")
    trust_code: bool = option(False, TRUST_CODE)

    def __call__(self) -> int:
        from diptych.report.report import write_report
        from diptych.run import Run

        if self.trust_code:
            trust_files(self.run)
        file = write_report(Run(self.run))
        print(file)
        if self.open:
            import webbrowser

            webbrowser.open(file.resolve().as_uri())
        return 0
